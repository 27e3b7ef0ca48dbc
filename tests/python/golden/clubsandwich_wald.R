# Reference numbers for tests/python/golden/test_wald_clubsandwich.py: Rscript clubsandwich_wald.R > clubsandwich_wald.json
# Data are drawn here and rounded to six decimals, so that the JSON file holds exactly what was analysed.
suppressMessages({
  library(clubSandwich)
  library(jsonlite)
})

wald <- function(fit, cluster, restrictions) {
  covariance <- vcovCR(fit, cluster = cluster, type = "CR2")
  lapply(restrictions, function(weights) {
    # One row per restriction: named weights of coefficients that must sum to zero.
    matrix_of <- t(sapply(weights, function(row) {
      line <- setNames(rep(0, length(coef(fit))), names(coef(fit)))
      line[names(row)] <- unlist(row)
      line
    }))
    found <- Wald_test(fit, constraints = matrix_of, vcov = covariance, test = "HTZ")
    list(
      restrictions = lapply(unname(weights), as.list),
      f = found$Fstat, df_numerator = found$df_num, df_denominator = found$df_denom, p_value = found$p_val
    )
  })
}

three_slopes <- list(
  list(list(x1 = 1)),
  list(list(x1 = 1), list(x2 = 1)),
  list(list(x1 = 1), list(x2 = 1), list(x3 = 1)),
  list(list(x1 = 1, x2 = -1), list(x1 = 0.5, x3 = 2))
)

regression <- function(seed, sizes, weighted) {
  set.seed(seed)
  cluster <- rep(seq_along(sizes), sizes)
  n <- length(cluster)
  x1 <- round(rnorm(n), 6)
  x2 <- round(rnorm(length(sizes))[cluster] + 0.3 * rnorm(n), 6)
  x3 <- round((cluster %% 2) * runif(n), 6)
  weight <- if (weighted) round(exp(rnorm(n, sd = 0.8)), 6) else rep(1, n)
  y <- round(1 + 0.3 * x1 - 0.2 * x2 + rnorm(length(sizes), sd = 0.5)[cluster] + rnorm(n), 6)
  fit <- lm(y ~ x1 + x2 + x3, weights = weight)
  list(
    data = list(cluster = cluster, x1 = x1, x2 = x2, x3 = x3, weight = weight, y = y),
    tests = wald(fit, cluster, three_slopes)
  )
}

# Treated and comparison units by period, unit and period dummies, three leads; weights differ between rows of a unit.
leads <- function(seed, sizes, weighted) {
  set.seed(seed)
  n_units <- length(sizes)
  unit <- rep(seq_len(n_units), sizes * 4)
  period <- unlist(lapply(sizes, function(size) rep(1:4, size)))
  n <- length(unit)
  treated <- unit <= n_units %/% 2
  lead2 <- as.numeric(treated & period == 3)
  lead3 <- as.numeric(treated & period == 2)
  lead4 <- as.numeric(treated & period == 1)
  weight <- if (weighted) round(runif(n, 0.2, 4), 6) else rep(1, n)
  y <- round(0.1 * unit + 0.2 * period + rnorm(n_units * 4, sd = 0.3)[(unit - 1) * 4 + period] + rnorm(n), 6)
  fit <- lm(y ~ factor(unit) + factor(period) + lead2 + lead3 + lead4, weights = weight)
  list(
    data = list(unit = unit, period = period, lead2 = lead2, lead3 = lead3, lead4 = lead4, weight = weight, y = y),
    tests = wald(fit, unit, list(
      list(list(lead2 = 1)),
      list(list(lead2 = 1), list(lead3 = 1)),
      list(list(lead2 = 1), list(lead3 = 1), list(lead4 = 1))
    ))
  )
}

cat(toJSON(
  list(
    source = paste0(
      R.version.string, "; clubSandwich ", packageVersion("clubSandwich"),
      ": Wald_test(lm(...), vcov = vcovCR(type = 'CR2'), test = 'HTZ'); script clubsandwich_wald.R"
    ),
    regressions = list(
      balanced = regression(1, rep(6, 9), FALSE),
      balanced_weighted = regression(2, rep(6, 9), TRUE),
      unbalanced = regression(3, c(2, 3, 4, 5, 8, 12, 20, 30), FALSE),
      unbalanced_weighted = regression(4, c(2, 3, 4, 5, 8, 12, 20, 30), TRUE),
      few_clusters_weighted = regression(5, c(4, 6, 9, 14, 20), TRUE)
    ),
    leads = list(
      balanced = leads(6, rep(3, 8), FALSE),
      unbalanced_weighted = leads(7, c(1, 2, 3, 5, 8, 1, 2, 4, 6, 9), TRUE)
    )
  ),
  auto_unbox = TRUE, digits = NA
), "\n")
