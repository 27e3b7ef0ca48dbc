# Reference weights of coarsened exact matching by R's MatchIt, one call per matched group (definitions, section 8).
# Reads matchit_cem_children.csv and matchit_cem_groups.csv, writes matchit_cem_weights.csv beside them.
# Run in this folder: Rscript matchit_cem.R
library(MatchIt)

as_text <- function(name) setNames("character", name)
children <- read.csv(
  "matchit_cem_children.csv",
  colClasses = c(as_text("child_id"), as_text("la_code"), as_text("gender"), as_text("ethnicity"),
                 as_text("is_disabled"), as_text("fsm_cem"), as_text("is_uasc")),
  na.strings = ""
)
groups <- read.csv("matchit_cem_groups.csv", colClasses = c(as_text("match_group"), as_text("la_code")))

children$index_date <- as.Date(children$index_date)
month <- as.integer(format(children$index_date, "%m"))
children$financial_year <- factor(as.integer(format(children$index_date, "%Y")) + (month >= 4))
# MatchIt refuses missing values; in the definitions missing is a level of its own.
for (name in c("gender", "ethnicity", "is_disabled", "fsm_cem", "is_uasc")) {
  children[[name]][is.na(children[[name]])] <- "missing"
  children[[name]] <- factor(children[[name]])
}
major_groups <- list(
  White = c("WBRI", "WOTH"), Mixed = "MWBC", Asian = c("APKN", "AIND"), Black = "BAFR", Other = "OOTH",
  missing = "missing"
)
# Bands 0-3 and 4-12, never and ever on a plan. (A single number would be a number of bins.)
cutpoints <- list(age_at_index = c(-0.5, 3.5, 12.5), n_previous_plans = c(-0.5, 0.5, 99.5))

child_covariates <- c("is_post", "gender", "age_at_index", "ethnicity", "is_disabled", "fsm_cem", "is_uasc",
                      "n_previous_plans")
strata <- list(
  with_financial_year = c("financial_year", child_covariates),
  without_financial_year = child_covariates
)

results <- list()
for (setting in names(strata)) {
  for (group in unique(groups$match_group)) {
    members <- groups[groups$match_group == group, ]
    rows <- children[children$la_code %in% members$la_code, ]
    rows$arm <- as.integer(rows$la_code %in% members$la_code[members$is_treated_authority == "true"])
    rows$is_post <- factor(rows$index_date >= as.Date(members$go_live[1]))
    matched <- matchit(
      reformulate(strata[[setting]], "arm"), data = rows, method = "cem", estimand = "ATT",
      cutpoints = cutpoints, grouping = list(ethnicity = major_groups)
    )
    results[[length(results) + 1]] <- data.frame(
      setting = setting, match_group = group, child_id = rows$child_id, arm = rows$arm,
      subclass = ifelse(is.na(matched$subclass), "", as.character(matched$subclass)),
      weight = sprintf("%.17g", matched$weights)
    )
  }
}
out <- file("matchit_cem_weights.csv", "w")
writeLines(sprintf("# %s, MatchIt %s", R.version.string, packageVersion("MatchIt")), out)
write.csv(do.call(rbind, results), out, row.names = FALSE, quote = FALSE)
close(out)
