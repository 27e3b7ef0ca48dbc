"""What the SSDA903 return of one authority and year holds, module by module, and its CSV and XML forms."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from csc_evaluation.synthetic import calendar
from csc_evaluation.synthetic.authorities import ETHNICITIES
from csc_evaluation.synthetic.calendar import NEVER, spell_uk
from csc_evaluation.synthetic.calibration import Calibration
from csc_evaluation.synthetic.care import CareDetails
from csc_evaluation.synthetic.census import SCHOOL_AGE_MONTHS, Identities
from csc_evaluation.synthetic.config import SynthesisConfig
from csc_evaluation.synthetic.lives import OUTCOMES_STREAM, Lives, draw_categories, stream

Numbers = NDArray[np.int64]
Values = dict[str, NDArray[np.object_]]

MODULES: dict[str, tuple[str, ...]] = {
    "header": ("CHILD", "SEX", "DOB", "ETHNIC", "UPN", "MOTHER", "MC_DOB"),
    "episodes": (
        "CHILD", "DECOM", "RNE", "LS", "CIN", "PLACE", "PLACE_PROVIDER", "DEC", "REC", "REASON_PLACE_CHANGE",
        "HOME_POST", "PL_POST", "URN",
    ),
    "uasc": ("CHILD", "SEX", "DOB", "DUC"),
    "reviews": ("CHILD", "DOB", "REVIEW", "REVIEW_CODE"),
    "missing": ("CHILD", "DOB", "MISSING", "MIS_START", "MIS_END"),
    "oc2": (
        "CHILD", "DOB", "SDQ_SCORE", "SDQ_REASON", "CONVICTED", "HEALTH_CHECK", "IMMUNISATIONS", "TEETH_CHECK",
        "HEALTH_ASSESSMENT", "SUBSTANCE_MISUSE", "INTERVENTION_RECEIVED", "INTERVENTION_OFFERED",
    ),
    "oc3": ("CHILD", "DOB", "IN_TOUCH", "ACTIV", "ACCOM"),
    "ad1": ("CHILD", "DOB", "DATE_INT", "DATE_MATCH", "FOSTER_CARE", "NB_ADOPTR", "SEX_ADOPTR", "LS_ADOPTR"),
    "placed_for_adoption": ("CHILD", "DOB", "DATE_PLACED", "DATE_PLACED_CEASED", "REASON_PLACED_CEASED"),
    "previous_permanence": ("CHILD", "DOB", "PREV_PERM", "LA_PERM", "DATE_PERM"),
}  # fmt: skip

_FIRST_YEAR_OF_LETTERS = 2025
# In XML a child's identifier and placement have other names, and the modules stand as groups inside CHILD.
IMPOSSIBLE_DATE = "31/02/2020"
_XML_NAMES = {"CHILD": "CHILDID", "PLACE": "PL"}
_GROUPS = {
    "header": "HEADER", "episodes": "EPISODE", "uasc": "UASC", "reviews": "AREVIEW", "missing": "MISSINGEPISODE",
    "oc2": "OC2", "oc3": "OC3", "ad1": "AD1", "placed_for_adoption": "PLACEDADOPTION",
    "previous_permanence": "PREVIOUSPERMANENCE",
}  # fmt: skip


@dataclass
class CareReturn:
    """The modules of one return: columns of text as the CSV files have them, and the child of every row."""

    la_code: str
    year: int
    modules: dict[str, Values]
    children: dict[str, Numbers]
    n_impossible_dates: int = 0
    """Episodes with a start that is no date, which the file has after the others."""


def care_return(
    config: SynthesisConfig,
    cal: Calibration,
    lives: Lives,
    details: CareDetails,
    names: Identities,
    la_code: str,
    year: int,
) -> CareReturn:
    """Every episode that overlaps the year, with the facts known on its 31 March, and the other modules."""
    first, last = calendar.year_start(year), calendar.year_end(year)
    people = lives.children
    here = np.array([area.codes[year] == la_code for area in lives.group.areas])[people.area]
    rng = stream(config, lives.group.key, OUTCOMES_STREAM, year, int(la_code))
    modules: dict[str, Values] = {}
    children: dict[str, Numbers] = {}

    def keep(name: str, child: Numbers, **columns: NDArray[np.object_] | list[str]) -> None:
        values: Values = {"CHILD": Identities.child_ids(la_code, child)}
        if "DOB" in MODULES[name]:
            values["DOB"] = np.array(spell_uk(people.birth[child]), dtype=object)
        values.update({key: np.asarray(column, dtype=object) for key, column in columns.items()})
        modules[name] = {column: values[column] for column in MODULES[name]}
        children[name] = child

    table = details.episodes
    row = np.flatnonzero((table.start <= last) & (table.end >= first) & here[table.child])
    episodes = table.take(row)
    is_open = episodes.end > last
    blank = np.full(len(row), "", dtype=object)
    keep(
        "episodes", episodes.child, DECOM=spell_uk(episodes.start), RNE=episodes.reason_new,
        LS=episodes.legal_status, CIN=episodes.need, PLACE=episodes.placement,
        PLACE_PROVIDER=episodes.provider, DEC=spell_uk(np.where(is_open, NEVER, episodes.end)),
        REC=np.where(is_open, "", episodes.reason_ceased),
        REASON_PLACE_CHANGE=np.where(is_open, "", episodes.reason_place_change),
        HOME_POST=_postcodes(episodes.child), PL_POST=_postcodes(row + 7), URN=np.where(blank == "", episodes.urn, ""),
    )  # fmt: skip
    looked_after = np.unique(episodes.child)
    uasc = looked_after[people.is_uasc[looked_after]]
    sex = _sexes(people.sex, year)
    keep("uasc", uasc, SEX=sex[uasc], DUC=spell_uk(calendar.add_months(people.birth[uasc], 216)))

    reviews = details.reviews
    row = np.flatnonzero((reviews.held >= first) & (reviews.held <= last) & here[reviews.child])
    keep("reviews", reviews.child[row], REVIEW=spell_uk(reviews.held[row]), REVIEW_CODE=reviews.code[row])
    missing = details.missing
    row = np.flatnonzero((missing.start <= last) & (missing.end >= first) & here[missing.child])
    keep(
        "missing", missing.child[row], MISSING=missing.kind[row], MIS_START=spell_uk(missing.start[row]),
        MIS_END=spell_uk(np.where(missing.end[row] > last, NEVER, missing.end[row])),
    )  # fmt: skip
    _health(keep, cal, rng, lives, here, last, year)
    leavers = _care_leavers(lives, here, first, last)
    _outcomes_of_leavers(keep, cal, rng, leavers, year)
    _adoption_modules(keep, rng, details, here, first, last)
    care = lives.care
    row = np.flatnonzero((care.start >= first) & (care.start <= last) & here[care.child])
    _previous_permanence(keep, rng, care.child[row], people.birth[care.child[row]], care.start[row], la_code)
    everyone = np.unique(np.concatenate([looked_after, *children.values()]))
    is_mother = (people.sex[everyone] == 2) & (last - people.birth[everyone] > 5500) & (everyone % 50 == 0)
    has_upn = calendar.month_index(np.full(len(everyone), last)) - calendar.month_index(
        people.birth[everyone]
    )
    upn = np.where(has_upn >= SCHOOL_AGE_MONTHS, names.upn[everyone], "UN1")
    upn = np.where(people.is_uasc[everyone] & (everyone % 3 == 0), "UN2", upn)
    keep(
        "header", everyone, SEX=sex[everyone], UPN=upn,
        ETHNIC=np.array(ETHNICITIES, dtype=object)[people.ethnicity[everyone]],
        MOTHER=np.where(people.sex[everyone] == 2, np.where(is_mother, "1", "0"), ""),
        MC_DOB=spell_uk(np.where(is_mother, np.minimum(last, people.birth[everyone] + 6000), NEVER)),
    )  # fmt: skip
    return CareReturn(
        la_code, year, {name: modules[name] for name in MODULES}, {name: children[name] for name in MODULES}
    )


def _sexes(sex: Numbers, year: int) -> NDArray[np.object_]:
    """1 and 2, from 2025 M and F."""
    codes = ("M", "F") if year >= _FIRST_YEAR_OF_LETTERS else ("1", "2")
    return np.where(sex == 1, codes[0], codes[1]).astype(object)


def _postcodes(number: Numbers) -> list[str]:
    """Postcodes in the area ZZ, which does not exist."""
    return [f"ZZ{value % 89 + 10} {value % 9 + 1}AA" for value in number.tolist()]


def _flags(rng: np.random.Generator, n: int, share: float) -> NDArray[np.object_]:
    return np.where(rng.random(n) < share, "1", "0").astype(object)


def _health(
    keep: object,
    cal: Calibration,
    rng: np.random.Generator,
    lives: Lives,
    here: NDArray[np.bool_],
    last: int,
    year: int,
) -> None:
    """Outcomes (OC2) of children looked after for at least twelve months on 31 March."""
    care, people = lives.care, lives.children
    row = (care.start <= last - 365) & (care.end > last) & here[care.child]
    child = np.unique(care.child[row])
    n = len(child)
    age = calendar.completed_years(people.birth[child], np.full(n, last))
    has_score = (age >= 5) & (age <= 16) & (rng.random(n) < cal.target("oc2_sdq_received_share", year))
    mean = cal.target("oc2_sdq_mean", year)
    score = np.clip(rng.normal(mean, 7, n), 0, 40).astype(np.int64).astype("U2")
    substance = rng.random(n) < cal.target("oc2_substance_misuse_share", year) * (age >= 10) * 1.8
    received = substance & (rng.random(n) < 0.5)
    keep(  # type: ignore[operator]
        "oc2", child,
        SDQ_SCORE=np.where(has_score, score, ""),
        SDQ_REASON=np.where((age >= 5) & (age <= 16) & ~has_score, "SDQ1", ""),
        CONVICTED=np.where(age >= 10, _flags(rng, n, cal.target("oc2_convicted_share", year)), "0"),
        HEALTH_CHECK=np.where(age < 5, _flags(rng, n, cal.target("oc2_development_check_share", year)), ""),
        IMMUNISATIONS=_flags(rng, n, cal.target("oc2_immunisations_share", year)),
        TEETH_CHECK=_flags(rng, n, cal.target("oc2_teeth_check_share", year)),
        HEALTH_ASSESSMENT=_flags(rng, n, cal.target("oc2_health_assessment_share", year)),
        SUBSTANCE_MISUSE=np.where(substance, "1", "0"),
        INTERVENTION_RECEIVED=np.where(substance, np.where(received, "1", "0"), ""),
        INTERVENTION_OFFERED=np.where(substance & ~received, _flags(rng, n, 0.8), ""),
    )  # fmt: skip


def _care_leavers(lives: Lives, here: NDArray[np.bool_], first: int, last: int) -> Numbers:
    """Former looked-after young people with a birthday from the 17th to the 21st in the year."""
    care, people = lives.care, lives.children
    birth = people.birth[care.child]
    left_late = (care.end <= last) & (care.end >= calendar.add_months(birth, 192)) & here[care.child]
    child = np.unique(care.child[left_late])
    birthday = np.zeros(len(child), dtype=bool)
    for years in range(17, 22):
        day = calendar.add_months(people.birth[child], 12 * years)
        birthday |= (day >= first) & (day <= last)
    return child[birthday]


def _outcomes_of_leavers(
    keep: object, cal: Calibration, rng: np.random.Generator, child: Numbers, year: int
) -> None:
    n = len(child)
    neet = rng.random(n) < cal.target("care_leavers_17_18_neet_share", year)
    busy = np.array(["F2", "F5", "F4", "F1", "P2", "P5"], dtype=object)
    idle = np.array(["G5", "G4", "G6"], dtype=object)
    activity = np.where(
        neet,
        idle[draw_categories(rng, np.array([0.81, 0.11, 0.08]), n)],
        busy[draw_categories(rng, np.array([0.66, 0.2, 0.04, 0.05, 0.02, 0.03]), n)],
    )
    in_touch = np.array(["YES", "NO", "REFU", "NREQ"], dtype=object)[
        draw_categories(rng, np.array([0.93, 0.03, 0.02, 0.02]), n)
    ]
    homes = np.array(["U", "V", "W", "B", "C", "E", "X", "Y"], dtype=object)
    known = in_touch == "YES"
    home = homes[draw_categories(rng, np.array([0.3, 0.15, 0.06, 0.15, 0.06, 0.15, 0.07, 0.06]), n)]
    suitable = np.where(rng.random(n) < 0.92, "1", "2").astype(object)
    keep(  # type: ignore[operator]
        "oc3", child, IN_TOUCH=in_touch, ACTIV=np.where(known, activity, ""),
        ACCOM=np.where(known, home + suitable, ""),
    )  # fmt: skip


def _adoption_modules(
    keep: object,
    rng: np.random.Generator,
    details: CareDetails,
    here: NDArray[np.bool_],
    first: int,
    last: int,
) -> None:
    table = details.adoptions
    row = np.flatnonzero((table.adopted >= first) & (table.adopted <= last) & here[table.child])
    n = len(row)
    two = rng.random(n) < 0.85
    couples = np.array(["MF", "FF", "MM"], dtype=object)[
        draw_categories(rng, np.array([0.82, 0.08, 0.10]), n)
    ]
    keep(  # type: ignore[operator]
        "ad1", table.child[row], DATE_INT=spell_uk(table.decided[row]), DATE_MATCH=spell_uk(table.matched[row]),
        FOSTER_CARE=_flags(rng, n, 0.15), NB_ADOPTR=np.where(two, "2", "1"),
        SEX_ADOPTR=np.where(two, couples, np.where(rng.random(n) < 0.85, "F1", "M1")),
        LS_ADOPTR=np.where(two, np.where(rng.random(n) < 0.75, "L11", "L3"), "L0"),
    )  # fmt: skip
    row = np.flatnonzero((table.placed <= last) & (table.adopted >= first) & here[table.child])
    blank = np.full(len(row), "", dtype=object)
    keep(  # type: ignore[operator]
        "placed_for_adoption", table.child[row], DATE_PLACED=spell_uk(table.placed[row]),
        DATE_PLACED_CEASED=blank, REASON_PLACED_CEASED=blank,
    )  # fmt: skip


def _previous_permanence(
    keep: object, rng: np.random.Generator, child: Numbers, birth: Numbers, start: Numbers, la_code: str
) -> None:
    n = len(child)
    codes = np.array(["Z1", "P1", "P2", "P3", "P4"], dtype=object)
    code = codes[draw_categories(rng, np.array([0.90, 0.015, 0.04, 0.015, 0.03]), n)]
    had = (code != "Z1") & (start - birth > 1500)
    code = np.where(had, code, "Z1")
    when = birth + ((start - birth) * rng.random(n) * 0.8).astype(np.int64)
    spelt = np.array(spell_uk(when), dtype=object)
    vague = rng.random(n) < 0.4
    unknown = np.array([f"zz/{text[3:]}" for text in spelt.tolist()], dtype=object)
    keep(  # type: ignore[operator]
        "previous_permanence", child, PREV_PERM=code, LA_PERM=np.where(had, la_code, ""),
        DATE_PERM=np.where(had, np.where(vague, unknown, spelt) if n else spelt, ""),
    )  # fmt: skip


def is_xml_authority(la_code: str) -> bool:
    """A few authorities return SSDA903 as XML."""
    return int(la_code) % 16 == 7


def write_csv(care: CareReturn, folder: Path) -> list[str]:
    """Write the ten files of a return; returns their names."""
    folder.mkdir(parents=True)
    written = []
    for name, columns in MODULES.items():
        values = care.modules[name]
        lines = [",".join(row) for row in zip(*(values[column].tolist() for column in columns), strict=True)]
        if name == "episodes":
            lines += [_junk_row(care, number) for number in range(care.n_impossible_dates)]
        text = "\n".join([",".join(columns), *lines]) + "\n"
        (folder / f"{name}.csv").write_text(text, encoding="utf-8", newline="\n")
        written.append(f"{name}.csv")
    return written


def _junk_row(care: CareReturn, number: int) -> str:
    """An episode whose start is no date."""
    values = dict.fromkeys(MODULES["episodes"], "")
    values.update(
        CHILD=f"X{care.year}{number:04d}", DECOM=IMPOSSIBLE_DATE, RNE="S", LS="C2", CIN="N1", PLACE="U6"
    )
    return ",".join(values.values())


def _element(name: str, value: str) -> str:
    return f"<{name}>{value}</{name}>" if value else ""


def write_xml(care: CareReturn, path: Path) -> None:
    """Write a return as ``EXPSSDA903``: one ``CHILD`` with its groups after another, children in one order."""
    blocks: dict[int, list[str]] = {int(child): [] for child in care.children["header"]}
    for name, columns in MODULES.items():
        values = care.modules[name]
        written = (
            columns if name == "header" else tuple(c for c in columns if c not in {"CHILD", "DOB", "SEX"})
        )
        group = _GROUPS[name]
        spelt = [[_element(_XML_NAMES.get(c, c), v) for v in values[c].tolist()] for c in written]
        for child, leaves in zip(care.children[name].tolist(), zip(*spelt, strict=True), strict=True):
            blocks[child].append(f"<{group}>{''.join(leaves)}</{group}>")
    texts = [f"<CHILD>{''.join(parts)}</CHILD>\n" for parts in blocks.values()]
    for _ in range(care.n_impossible_dates):
        # In the last child, so that no child is made up.
        episode = f"<EPISODE><DECOM>{IMPOSSIBLE_DATE}</DECOM><RNE>S</RNE></EPISODE>"
        if texts:
            texts[-1] = texts[-1].replace("</CHILD>\n", f"{episode}</CHILD>\n")
    body = "".join(texts)
    path.write_text(
        f'<?xml version="1.0" encoding="utf-8"?>\n<EXPSSDA903>\n{body}</EXPSSDA903>\n',
        encoding="utf-8",
        newline="\n",
    )
