# Reference numbers for tests/python/golden/test_rubin_hochberg.py: Rscript rubin_hochberg.R > rubin_hochberg.json
# mice::pool.scalar takes the complete-data degrees of freedom as n - k.
suppressMessages({
  library(mice)
  library(jsonlite)
})

pooled <- function(estimate, std_error, df_complete) {
  found <- pool.scalar(estimate, std_error^2, n = df_complete + 1, k = 1)
  statistic <- found$qbar / sqrt(found$t)
  list(
    estimates = estimate, std_errors = std_error, df_complete = df_complete,
    estimate = found$qbar, within = found$ubar, between = found$b, total = found$t, df = found$df,
    relative_increase = found$r, fraction_missing_information = found$fmi,
    p_value = 2 * pt(-abs(statistic), found$df)
  )
}

cases <- list(
  pooled(c(-0.020, -0.030, -0.025, -0.018, -0.027), c(0.010, 0.011, 0.009, 0.012, 0.010), 23),
  pooled(c(0.61, 0.48, 0.72), c(0.21, 0.19, 0.24), 4.37),
  pooled(c(12.1, 13.4, 9.9, 11.2, 15.0, 8.7, 12.9, 10.5, 11.8, 13.1), rep(1.5, 10), 6),
  pooled(c(1.00, 1.02), c(0.30, 0.31), 150)
)

p_values <- list(
  c(0.01, 0.04, 0.03, 0.005), c(0.2, 0.2, 0.2), c(0.04), c(0.9, 0.001, 0.03, 0.03, 0.6, 0.045), c(0, 1, 0.5)
)
hochberg <- lapply(p_values, function(p) list(p = p, adjusted = p.adjust(p, method = "hochberg")))

cat(toJSON(
  list(
    made_with = paste0("R ", getRversion(), ", mice ", packageVersion("mice")),
    rubin = cases, hochberg = hochberg
  ),
  digits = NA, auto_unbox = FALSE, pretty = TRUE
), "\n")
