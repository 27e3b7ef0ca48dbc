"""Writes ``matchit_cem_children.csv``: the synthetic children that ``matchit_cem.R`` matches.

Run from the repository: ``PYTHONPATH=python:tests/python python tests/python/golden/make_matchit_cem_children.py``. Two groups (go-live
in the file) with a comparator in both, missing values in four covariates, and many strata with one arm only.
"""

from __future__ import annotations

from pathlib import Path

from support.cem_children import GO_LIVE, PAIRS, random_children

COLUMNS = [
    "child_id",
    "la_code",
    "index_date",
    "gender",
    "age_at_index",
    "ethnicity",
    "is_disabled",
    "fsm_cem",
    "is_uasc",
    "n_previous_plans",
]


def main() -> None:
    """Write the children and the groups beside this file."""
    here = Path(__file__).parent
    children = random_children(seed=20261125, n_children=900)
    children["child_id"] = [f"child_{number:03d}" for number in range(len(children))]
    children[COLUMNS].to_csv(here / "matchit_cem_children.csv", index=False)
    groups = ["match_group,la_code,is_treated_authority,go_live"]
    for treated, go_live in GO_LIVE.items():
        groups.append(f"{treated},{treated},true,{go_live}")
        groups += [f"{treated},{comparator},false,{go_live}" for site, comparator in PAIRS if site == treated]
    (here / "matchit_cem_groups.csv").write_text("\n".join(groups) + "\n")


if __name__ == "__main__":
    main()
