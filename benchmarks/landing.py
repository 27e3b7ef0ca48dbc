"""How fast, and in how much memory, CIN census XML lands, against a bare pass of the parser over the same file.

Makes files of the sizes asked for, and for each measures in this one run, each in a process of its own so that
peak memory is that step's:

* bare: ``for _, element in iterparse(file): element.clear()``
* land: :func:`csc_evaluation.landing.land` of the file into a new warehouse

Usage: ``python benchmarks/landing.py [--megabytes 10 500] [--folder DIR] [--repeat 1]``

Prints a row per size: seconds of both, speed of landing as a share of the bare pass (the project asks for at least
a fifth), and the peak resident memory of both.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

ETHNICITIES = ("WBRI", "WOTH", "MWBC", "APKN", "BAFR", "OOTH", "NOBT")
FACTORS = ("1B", "2B", "3B", "4B", "5A", "7A", "8B", "13A", "18B", "21")
CATEGORIES = ("NEG", "EMO", "PHY", "SAB")
ENOUGH = 0.2
UPN_DIGITS = 10**12


def write_census(path: Path, megabytes: float, *, seed: int = 1) -> int:
    """Write a census file of about that size; returns the number of children in it."""
    draw = random.Random(seed)
    target = megabytes * 1e6
    n_children = 0
    with path.open("w", encoding="utf-8") as out:
        out.write(
            '<?xml version="1.0" encoding="utf-8"?>\n<Message>\n <Header>\n  <CollectionDetails>\n'
            "   <Collection>CIN</Collection>\n   <Year>2022</Year>\n   <ReferenceDate>2022-03-31</ReferenceDate>\n"
            "  </CollectionDetails>\n  <Source>\n   <SourceLevel>L</SourceLevel>\n   <LEA>335</LEA>\n"
            "   <SoftwareCode>benchmark</SoftwareCode>\n   <DateTime>2022-06-01T09:00:00</DateTime>\n  </Source>\n"
            " </Header>\n <Children>\n"
        )
        written = 0
        while written < target:
            n_children += 1
            written += out.write(_child(draw, n_children))
        out.write(" </Children>\n</Message>\n")
    return n_children


def _child(draw: random.Random, number: int) -> str:
    referral = date(2021, 4, 1) + timedelta(days=draw.randrange(365))
    birth = referral - timedelta(days=draw.randrange(6200))
    parts = [
        "  <Child>\n   <ChildIdentifiers>\n",
        f"    <LAchildID>{number:08d}</LAchildID>\n",
        f"    <UPN>A{draw.randrange(UPN_DIGITS):012d}</UPN>\n",
        f"    <PersonBirthDate>{birth}</PersonBirthDate>\n",
        f"    <GenderCurrent>{draw.randint(1, 2)}</GenderCurrent>\n   </ChildIdentifiers>\n",
        f"   <ChildCharacteristics>\n    <Ethnicity>{draw.choice(ETHNICITIES)}</Ethnicity>\n",
        "    <Disabilities>\n     <Disability>NONE</Disability>\n    </Disabilities>\n   </ChildCharacteristics>\n",
    ]
    for _ in range(1 + (draw.random() < 0.2)):
        parts.append(
            f"   <CINdetails>\n    <CINreferralDate>{referral}</CINreferralDate>\n"
            "    <ReferralSource>5A</ReferralSource>\n    <PrimaryNeedCode>N1</PrimaryNeedCode>\n"
        )
        if draw.random() < 0.6:
            parts.append(
                f"    <CINclosureDate>{referral + timedelta(days=90)}</CINclosureDate>\n"
                "    <ReasonForClosure>RC8</ReasonForClosure>\n"
            )
        parts.append(
            f"    <Assessments>\n     <AssessmentActualStartDate>{referral}</AssessmentActualStartDate>\n"
            f"     <AssessmentAuthorisationDate>{referral + timedelta(days=40)}</AssessmentAuthorisationDate>\n"
            "     <FactorsIdentifiedAtAssessment>\n"
        )
        parts.extend(
            f"      <AssessmentFactors>{code}</AssessmentFactors>\n"
            for code in draw.sample(FACTORS, draw.randint(1, 5))
        )
        parts.append("     </FactorsIdentifiedAtAssessment>\n    </Assessments>\n")
        if draw.random() < 0.35:
            parts.append(
                f"    <Section47>\n     <S47ActualStartDate>{referral}</S47ActualStartDate>\n"
                f"     <InitialCPCtarget>{referral + timedelta(days=15)}</InitialCPCtarget>\n"
                "     <ICPCnotRequired>0</ICPCnotRequired>\n    </Section47>\n"
            )
        parts.append("    <ReferralNFA>0</ReferralNFA>\n")
        if draw.random() < 0.15:
            category = draw.choice(CATEGORIES)
            parts.append(
                f"    <ChildProtectionPlans>\n     <CPPstartDate>{referral + timedelta(days=20)}</CPPstartDate>\n"
                f"     <InitialCategoryOfAbuse>{category}</InitialCategoryOfAbuse>\n"
                f"     <LatestCategoryOfAbuse>{category}</LatestCategoryOfAbuse>\n"
                "     <NumberOfPreviousCPP>0</NumberOfPreviousCPP>\n     <Reviews>\n"
                f"      <CPPreviewDate>{referral + timedelta(days=110)}</CPPreviewDate>\n     </Reviews>\n"
                "    </ChildProtectionPlans>\n"
            )
        parts.append("   </CINdetails>\n")
    parts.append("  </Child>\n")
    return "".join(parts)


def bare(path: Path) -> None:
    """Nothing but the parser, every element met and let go."""
    from lxml.etree import iterparse

    for _, element in iterparse(str(path)):
        element.clear()


def landed(path: Path) -> None:
    """Land the file into a new warehouse."""
    from csc_evaluation.landing import land

    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        report = land([path], warehouse=Path(folder) / "benchmark.duckdb")
        if report.n_failed or not report.n_landed:
            raise SystemExit(f"did not land: {report.files}")


def measure(step: str, path: Path) -> dict[str, float]:
    """Seconds and peak resident megabytes of one step in a process of its own, imports not counted in the seconds."""
    command = [sys.executable, __file__, "--step", step, "--file", str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=float, nargs="+", default=[10, 500])
    parser.add_argument(
        "--folder", type=Path, default=None, help="where the files go (default: a temporary folder)"
    )
    parser.add_argument("--repeat", type=int, default=1, help="times each step is run; the fastest counts")
    parser.add_argument("--step", choices=["bare", "land"], help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.step:
        import csc_evaluation.landing  # noqa: F401 - so that imports are not in the seconds

        run = bare if chosen.step == "bare" else landed
        began = time.perf_counter()
        run(chosen.file)
        seconds = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds, "peak_mb": peak}))
        return
    print(
        f"{'MB':>6} {'children':>9} {'bare s':>8} {'land s':>8} {'share':>6} {'bare peak MB':>13} {'land peak MB':>13}"
    )
    is_enough = True
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        for megabytes in chosen.megabytes:
            path = Path(folder) / f"census_{megabytes:g}.xml"
            n_children = write_census(path, megabytes)
            results = {
                step: min((measure(step, path) for _ in range(chosen.repeat)), key=lambda one: one["seconds"])
                for step in ("bare", "land")
            }
            share = results["bare"]["seconds"] / results["land"]["seconds"]
            is_enough &= share >= ENOUGH
            print(
                f"{os.path.getsize(path) / 1e6:>6.0f} {n_children:>9,} {results['bare']['seconds']:>8.2f} "
                f"{results['land']['seconds']:>8.2f} {share:>6.2f} {results['bare']['peak_mb']:>13.0f} "
                f"{results['land']['peak_mb']:>13.0f}",
                flush=True,
            )
            path.unlink()
    if not is_enough:
        raise SystemExit(f"landing ran at less than {ENOUGH} of the bare parser's speed")


if __name__ == "__main__":
    main()
