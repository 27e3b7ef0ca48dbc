"""Who found a match and who fell away with a stratum that held one arm only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from csc_evaluation.matching.coarsening import FINANCIAL_YEAR
from csc_evaluation.matching.groups import Places
from csc_evaluation.matching.sample import PLACE, Sample
from csc_evaluation.matching.strata import Strata, level_names

if TYPE_CHECKING:
    from ibis.expr.types import Table

TREATED_ARM = "treated"
COMPARATOR_ARM = "comparator"


def matched_shares(sample: Sample, strata: Strata, places: Places) -> pd.DataFrame:
    """Rows of ``results.matched_shares``: children and matched children by arm, authority and financial year."""
    rows: Table = sample.profiles.left_join(strata.by_profile.select("profile", "n_groups"), "profile")
    counted = rows.select(
        "n_children",
        n_matched=rows.n_groups.notnull().ifelse(rows.n_children, 0),
        place=sample.profile.unpack(rows.profile, PLACE),
        year=sample.profile.unpack(rows.profile, FINANCIAL_YEAR),
    )
    summed = counted.group_by(["place", "year"]).agg(
        n_children=counted.n_children.sum().cast("int64"), n_matched=counted.n_matched.sum().cast("int64")
    )
    frame = summed.to_pandas()
    authority = places.by_segment.drop_duplicates(PLACE).set_index(PLACE).la_code
    years = np.array([*sample.variables[FINANCIAL_YEAR].values, None], dtype=object)
    frame["la_code"] = frame.place.map(authority).astype(object)
    frame["financial_year"] = years[frame.year.to_numpy(int)]
    frame["arm"] = np.where(frame.la_code.isin(places.treated), TREATED_ARM, COMPARATOR_ARM)
    keys = ["arm", "la_code", "financial_year"]
    return (
        frame.groupby(keys, as_index=False, dropna=False)[["n_children", "n_matched"]]
        .sum()
        .sort_values(keys, ignore_index=True)
    )


def dropped(sample: Sample, strata: Strata) -> pd.DataFrame:
    """Rows of ``results.cem_dropped``: by arm, stratum variable and level all children and those whose stratum fell away.

    A child counts once per group that it is in.
    """
    cells = strata.cells
    parts = []
    for arm, count in ((TREATED_ARM, cells.n_treated), (COMPARATOR_ARM, cells.n_control)):
        counts = pd.DataFrame({"n_children": count, "n_dropped": count.where(~cells.is_matched, 0)})
        for name in strata.variables:
            summed = counts.groupby(level_names(sample, strata, name), sort=True).sum()
            summed = summed[summed.n_children > 0]
            parts.append(summed.rename_axis("level").reset_index().assign(arm=arm, covariate=name))
    frame = pd.concat(parts, ignore_index=True)
    return frame[["arm", "covariate", "level", "n_children", "n_dropped"]]
