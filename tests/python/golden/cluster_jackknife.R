# Reference numbers for tests/python/golden/test_cr3_clubsandwich.py: Rscript cluster_jackknife.R > cluster_jackknife.json
# Data are drawn here and rounded to six decimals, so that the JSON file holds exactly what was analysed.
suppressMessages({
  library(clubSandwich)
  library(jsonlite)
})

# clubSandwich's CR3 is the sum of squared changes without (G-1)/G; it cannot be had with cluster dummies, whose own block
# is singular. There lm is refitted without each cluster.
example <- function(seed, sizes, with_dummies) {
  set.seed(seed)
  cluster <- rep(seq_along(sizes), sizes)
  n <- length(cluster)
  x <- round(rnorm(n) + 0.3 * cluster, 6)
  weight <- round(exp(rnorm(n, sd = 0.8)), 6)
  y <- round(1 + 0.3 * x + rnorm(length(sizes), sd = 0.5)[cluster] + rnorm(n), 6)
  rows <- data.frame(cluster, x, weight, y)
  model <- if (with_dummies) y ~ factor(cluster) + x else y ~ x
  fit <- lm(model, data = rows, weights = weight)
  without <- sapply(seq_along(sizes), function(g) {
    kept <- rows[rows$cluster != g, ]
    coef(lm(model, data = kept, weights = weight))[["x"]]
  })
  list(
    data = rows, with_dummies = with_dummies, estimate = coef(fit)[["x"]], without = without,
    variance_cr3 = if (with_dummies) NULL else vcovCR(fit, cluster = cluster, type = "CR3")["x", "x"]
  )
}

cat(toJSON(list(
  source = paste("clubSandwich", packageVersion("clubSandwich"), "and lm of", R.version.string),
  examples = list(example(1, c(4, 5, 9, 6, 12, 7), FALSE), example(2, c(40, 5, 9, 6, 12, 7, 3), TRUE))
), auto_unbox = TRUE, digits = NA, null = "null", dataframe = "columns"))
