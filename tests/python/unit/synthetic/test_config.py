from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from csc_evaluation.errors import CscError
from csc_evaluation.synthetic import SynthesisConfig, synthesise
from csc_evaluation.synthetic import calendar as days


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"scale": 0}, "scale is 0"),
        ({"scale": -1}, "above 0"),
        ({"seed": -1}, "seed is -1"),
        ({"first_year": 2016}, "XML from 2017 only"),
        ({"first_year": 2016, "format": "raw"}, "give the format extracts"),
        ({"first_year": 2021, "last_year": 2020}, "the first no later than the last"),
        ({"first_year": 2008, "format": "extracts"}, "2009"),
        ({"format": "spreadsheet"}, "returns, extracts, raw"),
        ({"effect": -2}, "effect is -2"),
        ({"partial_exposure": 1.5}, "partial exposure is 1.5"),
        ({"messiness": -0.1}, "messiness"),
        ({"census_terms": ("WIN",)}, "SPR"),
        ({"authorities": 0}, "number from 1"),
        ({"authorities": "335"}, "list of authority codes"),
    ],
)
def test_says_which_value_is_out_of_range(values: dict[str, object], words: str) -> None:
    with pytest.raises(CscError, match=words):
        SynthesisConfig(**values)


@pytest.mark.parametrize(
    ("authorities", "words"),
    [
        (("335", "999"), "authority '999' is unknown"),
        ((), "list of authorities is empty"),
        (("838",), "makes no return in the years 2018 to 2018"),
        (3, "give a number from 5"),
        (1000, "leave it out for all of England"),
    ],
)
def test_says_which_authorities_cannot_be_generated(tmp_path: Path, authorities: object, words: str) -> None:
    config = SynthesisConfig(scale=0.001, first_year=2018, last_year=2018, authorities=authorities)
    with pytest.raises(CscError, match=words):
        synthesise(config, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_number_of_authorities_takes_the_sites_and_others_by_seed(tmp_path: Path) -> None:
    def chosen(seed: int) -> set[str]:
        out = tmp_path / str(seed)
        config = SynthesisConfig(scale=0.001, seed=seed, first_year=2018, last_year=2018, authorities=9)
        synthesise(config, out)
        return {path.stem.split("_")[1] for path in (out / "cin").iterdir()}

    one, two = chosen(1), chosen(2)
    assert len(one) == len(two) == 9
    assert {"335", "888", "894", "212", "866"} <= one & two
    assert one != two


def test_refuses_a_folder_with_something_in_it_and_leaves_it_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    config = SynthesisConfig(scale=0.001, first_year=2018, last_year=2018, authorities=("335",))
    with pytest.raises(CscError, match="is not empty"):
        synthesise(config, out)
    assert (out / "mine.txt").read_text() == "keep"
    synthesise(config, out, overwrite=True)
    assert not (out / "mine.txt").exists()


def test_refuses_an_old_truth_beside_the_folder(tmp_path: Path) -> None:
    config = SynthesisConfig(scale=0.001, first_year=2018, last_year=2018, authorities=("335",))
    synthesise(config, tmp_path / "out")
    with pytest.raises(CscError, match="is not empty"):
        synthesise(config, tmp_path / "out")


def test_says_so_when_a_file_stands_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    config = SynthesisConfig(scale=0.001, first_year=2018, last_year=2018, authorities=("335",))
    with pytest.raises(CscError, match="is a file"):
        synthesise(config, tmp_path / "file")
    with pytest.raises(CscError, match="cannot write"):
        synthesise(config, tmp_path / "file" / "below")


def test_raw_needs_a_warehouse_with_empty_raw_tables(tmp_path: Path) -> None:
    config = SynthesisConfig(scale=0.001, first_year=2018, last_year=2018, authorities=("335",), format="raw")
    with pytest.raises(CscError, match="path of one"):
        synthesise(config, tmp_path / "a")
    warehouse = tmp_path / "w.duckdb"
    synthesise(config, tmp_path / "a", warehouse=warehouse, overwrite=True)
    with pytest.raises(CscError, match="already holds rows"):
        synthesise(config, tmp_path / "b", warehouse=warehouse)
    synthesise(config, tmp_path / "b", warehouse=warehouse, overwrite=True)


@pytest.mark.parametrize(
    ("start", "months", "end"),
    [
        ((2019, 8, 31), 6, (2020, 2, 29)),
        ((2018, 8, 31), 18, (2020, 2, 29)),
        ((2017, 8, 31), 18, (2019, 2, 28)),
        ((2020, 1, 31), 1, (2020, 2, 29)),
        ((2020, 12, 15), 18, (2022, 6, 15)),
    ],
)
def test_months_end_clipped(start: tuple[int, int, int], months: int, end: tuple[int, int, int]) -> None:
    assert days.add_months(np.array([days.day(*start)]), months).tolist() == [days.day(*end)]


@pytest.mark.parametrize(
    ("birth", "at", "age"),
    [
        ((2005, 6, 30), (2018, 6, 1), 13),
        ((2005, 6, 1), (2018, 5, 31), 12),
        ((2018, 9, 1), (2018, 6, 1), 0),
        ((2018, 6, 30), (2018, 6, 1), 0),
    ],
)
def test_age_counts_whole_months_between_months(
    birth: tuple[int, int, int], at: tuple[int, int, int], age: int
) -> None:
    assert days.completed_years(np.array([days.day(*birth)]), np.array([days.day(*at)])).tolist() == [age]


def test_financial_years_turn_on_the_first_of_april() -> None:
    assert days.return_year_of(np.array([days.day(2018, 3, 31), days.day(2018, 4, 1)])).tolist() == [
        2018,
        2019,
    ]
