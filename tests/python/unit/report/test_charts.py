"""The drawings say what their numbers say."""

from __future__ import annotations

import re

from lxml import html

from csc_evaluation.report.charts import Interval, interval_chart


def heights(svg: str, texts: list[str]) -> list[float]:
    """The height on the drawing at which each text stands, summed over the groups that hold it."""
    found = {}
    for element in html.fromstring(svg).iter("text"):
        text = "".join(element.itertext())
        if text in texts:
            moves = [
                re.search(r"translate\(\s*[-\d.]+\s*,\s*([-\d.]+)\s*\)", node.get("transform") or "")
                for node in (element, *element.iterancestors())
            ]
            found[text] = sum(float(move.group(1)) for move in moves if move)
    return [found[text] for text in texts]


def test_a_row_without_an_interval_keeps_its_place():
    rows = [
        Interval("first", -1.0, -2.0, 0.0, "minus one", True),
        Interval("second", -0.5, None, None, "minus a half", False),
        Interval("third", 0.5, 0.1, 0.9, "a half", False),
    ]
    svg = interval_chart(rows, key="k", title="t", unit="points").svg
    labels = heights(svg, [row.label for row in rows])
    texts = heights(svg, [row.text for row in rows])
    assert labels == sorted(labels)
    assert [round(a - b, 6) for a, b in zip(labels, texts, strict=True)] == [
        round(labels[0] - texts[0], 6)
    ] * 3
