# Reference numbers for tests/python/golden/test_logit_r.py: Rscript logit.R > logit.json
# Data are drawn here and rounded to six decimals, so that the JSON file holds exactly what was analysed.
suppressMessages({
  library(survival)
  library(sandwich)
  library(jsonlite)
})

set.seed(11)
sizes <- c(12, 30, 18, 25, 40, 15)
cluster <- rep(seq_along(sizes), sizes)
n <- length(cluster)
x <- round(rnorm(n) + 0.2 * cluster, 6)
z <- rbinom(n, 1, 0.4)
weight <- round(exp(rnorm(n, sd = 0.5)), 6)
y <- rbinom(n, 1, plogis(-1 + 0.5 * x - 0.4 * z + rnorm(length(sizes), sd = 0.5)[cluster]))
rows <- data.frame(cluster, x, z, weight, y)

conditional <- clogit(y ~ x + z + strata(cluster), data = rows, method = "exact",
                      control = coxph.control(eps = 1e-12, iter.max = 50))
logit <- suppressWarnings(glm(y ~ x + z, data = rows, family = binomial, weights = weight,
                              control = glm.control(epsilon = 1e-14, maxit = 50)))
robust <- vcovCL(logit, cluster = rows$cluster, type = "HC1", cadjust = TRUE)

cat(toJSON(list(
  source = paste("survival", packageVersion("survival"), "and sandwich", packageVersion("sandwich"), "of",
                 R.version.string),
  data = rows,
  conditional = list(coefficients = unname(coef(conditional)), std_errors = unname(sqrt(diag(vcov(conditional)))),
                     log_likelihood = conditional$loglik[2]),
  logistic = list(coefficients = unname(coef(logit)), std_errors_cr1 = unname(sqrt(diag(robust))))
), auto_unbox = TRUE, digits = NA, dataframe = "columns"))
