"""Charts as inline SVG without scripts: altair specifications drawn by vl-convert in this process.

Arms differ by line dash, shape and a label at the line's end, never by colour alone; each drawing carries a title
and a description for screen readers.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import altair as alt
import pandas as pd
import vl_convert
from lxml import etree

from csc_evaluation.report.formatting import MINUS, quarter

FONT = "Helvetica, Arial, sans-serif"
TREATED_INK = "#0b3c5d"
COMPARATOR_INK = "#b5541c"
INK = "#222222"
SHADE = "#e6e6e6"
CHART_WIDTH = 600


@dataclass(frozen=True)
class Drawing:
    """An inline drawing: ``svg`` is markup without outside references, ``alt_text`` says what it shows."""

    svg: str
    title: str
    alt_text: str


@dataclass(frozen=True)
class Interval:
    """One estimate with its interval, in the unit of the axis."""

    label: str
    estimate: float
    low: float | None
    high: float | None
    text: str
    is_headline: bool


@dataclass(frozen=True)
class TrendPoint:
    """Mean of an authority in a quarter, in the unit of the axis."""

    authority: str
    is_treated: bool
    quarter_start: dt.date
    value: float
    is_in_distance: bool


@dataclass(frozen=True)
class BalancePoint:
    """Standardised difference of a covariate's level before and after matching."""

    label: str
    before: float | None
    after: float | None


def trend_chart(
    points: Sequence[TrendPoint],
    *,
    key: str,
    title: str,
    unit: str,
    go_live: dt.date,
    excluded_from: dt.date,
    height: int = 210,
) -> Drawing:
    """Quarterly means of a treated authority and one comparator around go-live.

    Args:
        points: both authorities' quarters; a missing quarter breaks nothing, the line spans it.
        key: unique on the page; prefixes the drawing's identifiers.
        title: what a screen reader announces.
        unit: label of the vertical axis.
        go_live: vertical line.
        excluded_from: start of the shaded stretch before go-live whose follow-up would overlap it.
        height: of the plot, in pixels.

    Raises:
        ValueError: there are no points.
    """
    if not points:
        raise ValueError("a trend needs at least one point")
    frame = pd.DataFrame(
        {
            "quarter": [_day(point.quarter_start) for point in points],
            "value": [point.value for point in points],
            "arm": ["treated" if point.is_treated else "comparator" for point in points],
            "fill": [point.is_in_distance for point in points],
        }
    )
    first = min(point.quarter_start for point in points)
    last = max(*(point.quarter_start for point in points), go_live)
    span = (last - first).days or 90
    domain = [_day(first - dt.timedelta(days=30)), _day(last + dt.timedelta(days=int(span * 0.3) + 30))]
    low, high = _padded([point.value for point in points], floor=0.0)
    time = alt.Scale(type="utc", domain=domain, nice=False)
    x = alt.X(
        "quarter:T",
        title="Quarter of the index event",
        scale=time,
        axis=alt.Axis(
            format="%Y",
            values=[
                _day(dt.date(year, 1, 1))
                for year in range(first.year + (first > dt.date(first.year, 1, 1)), last.year + 1)
            ],
            grid=False,
            labelFlush=False,
        ),
    )
    y = alt.Y(
        "value:Q",
        title=unit,
        scale=alt.Scale(domain=[low, high], nice=False, zero=False),
        axis=alt.Axis(tickCount=5, grid=True),
    )
    arms = ["treated", "comparator"]
    inks = alt.Scale(domain=arms, range=[TREATED_INK, COMPARATOR_INK])
    arm_colour = alt.Color("arm:N", scale=inks, legend=None)
    dash = alt.StrokeDash("arm:N", scale=alt.Scale(domain=arms, range=[[1, 0], [6, 4]]), legend=None)
    shape = alt.Shape("arm:N", scale=alt.Scale(domain=arms, range=["circle", "square"]), legend=None)
    base = alt.Chart(frame)
    shade = (
        alt.Chart(pd.DataFrame({"from": [_day(excluded_from)], "to": [_day(go_live)]}))
        .mark_rect(color=SHADE, clip=True)
        .encode(x=alt.X("from:T", scale=time), x2="to:T")
    )
    rule = (
        alt.Chart(pd.DataFrame({"quarter": [_day(go_live)]}))
        .mark_rule(color=INK, strokeWidth=1.5)
        .encode(x=x)
    )
    captions = pd.DataFrame(
        {
            "quarter": [_day(go_live), _day(max(excluded_from, first))],
            "value": [high, high],
            "words": ["go-live", "not matched on"],
        }
    )
    go_live_label = _text(captions.iloc[:1], dx=4, dy=7, weight="bold").encode(x=x, y=y, text="words:N")
    shade_label = _text(captions.iloc[1:], dx=4, dy=7).encode(x=x, y=y, text="words:N")
    lines = base.mark_line(strokeWidth=2).encode(x=x, y=y, color=arm_colour, detail="arm:N", strokeDash=dash)
    inside = (
        base.transform_filter("datum.fill")
        .mark_point(size=70, opacity=1, filled=True, strokeWidth=0)
        .encode(x=x, y=y, color=arm_colour, shape=shape)
    )
    outside = (
        base.transform_filter("!datum.fill")
        .mark_point(size=34, opacity=1, filled=True, fill="white", strokeWidth=1.5)
        .encode(x=x, y=y, stroke=alt.Stroke("arm:N", scale=inks, legend=None), shape=shape)
    )
    ends = _line_ends(points, low, high, height)
    labels = [
        _text(ends[ends["arm"] == arm], dx=9, colour=colour, weight="bold").encode(x=x, y=y, text="words:N")
        for arm, colour in (("treated", TREATED_INK), ("comparator", COMPARATOR_INK))
        if (ends["arm"] == arm).any()
    ]
    chart = alt.layer(shade, lines, inside, outside, rule, go_live_label, shade_label, *labels).properties(
        width=CHART_WIDTH, height=height
    )
    return _draw(chart, key=key, title=title, alt_text=_describe_trend(points, go_live, excluded_from, unit))


def interval_chart(
    rows: Sequence[Interval], *, key: str, title: str, unit: str, truth: float | None = None
) -> Drawing:
    """Estimates with their intervals, one line each, in the order given.

    Args:
        rows: at least one estimate.
        key: unique on the page.
        title: what a screen reader announces.
        unit: label of the axis.
        truth: known true effect in the same unit (synthetic data), drawn as a dashed line.

    Raises:
        ValueError: there are no rows.
    """
    if not rows:
        raise ValueError("an interval chart needs at least one estimate")
    frame = pd.DataFrame(
        {
            "label": [row.label for row in rows],
            "estimate": [row.estimate for row in rows],
            "low": [row.low for row in rows],
            "high": [row.high for row in rows],
            "words": [row.text for row in rows],
            "headline": [row.is_headline for row in rows],
        }
    )
    values = [value for row in rows for value in (row.estimate, row.low, row.high) if value is not None] + [
        0.0
    ]
    if truth is not None:
        values.append(truth)
    spread = (max(values) - min(values)) or 1.0
    domain = [min(values) - 0.05 * spread, max(values) + 0.05 * spread]
    scale = alt.Scale(domain=domain, nice=False)
    x = alt.X("estimate:Q", title=unit, scale=scale, axis=alt.Axis(tickCount=7, grid=True))
    # The order is named: each layer sees only part of the rows, and "as they come" would differ between them.
    order = [row.label for row in rows]
    y = alt.Y(
        "label:N",
        sort=order,
        title=None,
        axis=alt.Axis(labelLimit=320, grid=False, ticks=False, domain=False, labelPadding=10),
    )
    base = alt.Chart(frame)
    zero = alt.Chart(pd.DataFrame({"estimate": [0.0]})).mark_rule(color=INK, strokeWidth=1.5).encode(x=x)
    spans = (
        base.transform_filter("isValid(datum.low)")
        .mark_rule(color=INK)
        .encode(
            x=alt.X("low:Q", scale=scale, title=unit),
            x2="high:Q",
            y=y,
            strokeWidth=alt.condition("datum.headline", alt.value(3.5), alt.value(1.5)),
        )
    )
    headline = (
        base.transform_filter("datum.headline")
        .mark_point(shape="diamond", size=190, filled=True, color=TREATED_INK, opacity=1)
        .encode(x=x, y=y)
    )
    others = (
        base.transform_filter("!datum.headline")
        .mark_point(
            shape="circle", size=60, filled=True, fill="white", stroke=INK, strokeWidth=1.5, opacity=1
        )
        .encode(x=x, y=y)
    )
    words = base.mark_text(align="left", fontSize=11, font=FONT, color=INK).encode(
        x=alt.value(0), y=alt.Y("label:N", sort=order, axis=None), text="words:N"
    )
    layers: list[Any] = [zero]
    if truth is not None:
        known = pd.DataFrame({"estimate": [truth], "words": ["known truth"]})
        layers.append(
            alt.Chart(known).mark_rule(color=COMPARATOR_INK, strokeDash=[5, 3], strokeWidth=2).encode(x=x)
        )
        name = alt.Chart(known).mark_text(
            baseline="bottom", dy=-4, color=COMPARATOR_INK, fontWeight="bold", fontSize=11, font=FONT
        )
        layers.append(name.encode(x=x, y=alt.value(0), text="words:N"))
    layers += [spans, others, headline]
    plot = alt.layer(*layers).properties(width=CHART_WIDTH - 280, height=alt.Step(30))
    chart = alt.hconcat(plot, words.properties(width=150, height=alt.Step(30)), spacing=8)
    described = "; ".join(
        f"{row.label}{' (headline)' if row.is_headline else ''}: {row.text}" for row in rows
    )
    known_truth = "" if truth is None else f" The known truth is marked at {_signed(truth)}."
    return _draw(
        chart, key=key, title=title, alt_text=f"Estimates with intervals, {unit}. {described}.{known_truth}"
    )


def love_plot(points: Sequence[BalancePoint], *, key: str, title: str, reference: float) -> Drawing:
    """Standardised differences between the arms before and after matching.

    Args:
        points: at least one covariate, in the order to draw.
        key: unique on the page.
        title: what a screen reader announces.
        reference: size of a difference marked by dashed lines on both sides of zero.

    Raises:
        ValueError: there are no points.
    """
    if not points:
        raise ValueError("a balance plot needs at least one covariate")
    frame = pd.DataFrame(
        [
            {"label": point.label, "when": when, "value": value}
            for point in points
            for when, value in (("before matching", point.before), ("after matching", point.after))
            if value is not None
        ]
    )
    pairs = pd.DataFrame(
        [
            {"label": point.label, "before": point.before, "after": point.after}
            for point in points
            if point.before is not None and point.after is not None
        ]
    )
    reach = max(1.1 * max([abs(value) for value in frame["value"]], default=0.0), 1.25 * reference)
    scale = alt.Scale(domain=[-reach, reach], nice=False)
    axis_title = "Standardised mean difference, treated minus comparators"
    x = alt.X("value:Q", title=axis_title, scale=scale)
    y = alt.Y(
        "label:N",
        sort=[point.label for point in points],
        title=None,
        axis=alt.Axis(
            labelLimit=260, grid=True, gridColor="#eeeeee", ticks=False, domain=False, labelPadding=8
        ),
    )
    zero = alt.Chart(pd.DataFrame({"value": [0.0]})).mark_rule(color=INK, strokeWidth=1.2).encode(x=x)
    limits = (
        alt.Chart(pd.DataFrame({"value": [-reference, reference]}))
        .mark_rule(color="#666666", strokeDash=[4, 4])
        .encode(x=x)
    )
    when = ["before matching", "after matching"]
    shape = alt.Shape("when:N", scale=alt.Scale(domain=when, range=["circle", "diamond"]), legend=None)
    fill = alt.Fill("when:N", scale=alt.Scale(domain=when, range=["#ffffff", TREATED_INK]), legend=None)
    marks = alt.Chart(frame).mark_point(size=75, filled=True, opacity=1, strokeWidth=1.6, stroke=INK)
    layers: list[Any] = [zero, limits]
    if not pairs.empty:
        layers.append(
            alt.Chart(pairs)
            .mark_rule(color="#999999")
            .encode(x=alt.X("before:Q", scale=scale, title=axis_title), x2="after:Q", y=y)
        )
    layers.append(marks.encode(x=x, y=y, shape=shape, fill=fill))
    # The names of the marks stand above the plot as marks themselves: a drawn legend would lose the outline.
    for name, place in zip(when, (20, 150), strict=True):
        above = alt.Chart(pd.DataFrame({"when": [name]}))
        layers.append(
            above.mark_point(size=75, filled=True, opacity=1, strokeWidth=1.6, stroke=INK).encode(
                x=alt.value(place), y=alt.value(-14), shape=shape, fill=fill
            )
        )
        layers.append(
            above.mark_text(align="left", baseline="middle", dx=9, fontSize=11, font=FONT, color=INK).encode(
                x=alt.value(place), y=alt.value(-14), text="when:N"
            )
        )
    chart = alt.layer(*layers).properties(width=CHART_WIDTH - 220, height=alt.Step(19))
    before = [abs(point.before) for point in points if point.before is not None]
    after = [abs(point.after) for point in points if point.after is not None]
    text = (
        f"{len(points)} characteristics. Largest absolute standardised difference before matching "
        f"{_largest(before)}, after matching {_largest(after)}; differences beyond {reference:g}: "
        f"{sum(value > reference for value in before)} before, {sum(value > reference for value in after)} after."
    )
    return _draw(chart, key=key, title=title, alt_text=text)


def _text(
    frame: pd.DataFrame,
    *,
    dx: int,
    dy: int = 0,
    colour: str = INK,
    weight: Literal["normal", "bold"] = "normal",
) -> alt.Chart:
    return alt.Chart(frame).mark_text(
        align="left", baseline="middle", dx=dx, dy=dy, color=colour, fontWeight=weight, fontSize=11, font=FONT
    )


def _line_ends(points: Sequence[TrendPoint], low: float, high: float, height: int) -> pd.DataFrame:
    """Where each line's name goes: beside its last point, the two kept a line of text apart."""
    lasts = [
        max(
            (point for point in points if point.is_treated is is_treated),
            key=lambda point: point.quarter_start,
        )
        for is_treated in (True, False)
        if any(point.is_treated is is_treated for point in points)
    ]
    heights = [point.value for point in lasts]
    apart = 15 * (high - low) / height
    if len(heights) == 2 and abs(heights[0] - heights[1]) < apart:
        middle = (heights[0] + heights[1]) / 2
        up = apart / 2 if heights[0] >= heights[1] else -apart / 2
        heights = [middle + up, middle - up]
    return pd.DataFrame(
        {
            "quarter": [_day(point.quarter_start) for point in lasts],
            "value": heights,
            "arm": ["treated" if point.is_treated else "comparator" for point in lasts],
            "words": [_shortened(point.authority) for point in lasts],
        }
    )


def _shortened(name: str, limit: int = 22) -> str:
    return name if len(name) <= limit else name[: limit - 1].rstrip() + "…"


def _describe_trend(points: Sequence[TrendPoint], go_live: dt.date, excluded_from: dt.date, unit: str) -> str:
    said = []
    for is_treated in (True, False):
        own = sorted((p for p in points if p.is_treated is is_treated), key=lambda p: p.quarter_start)
        if own:
            role = "treated" if is_treated else "comparator"
            said.append(
                f"{own[0].authority} ({role}) goes from {own[0].value:.1f} in {quarter(own[0].quarter_start)} "
                f"to {own[-1].value:.1f} in {quarter(own[-1].quarter_start)}"
            )
    inside = sorted({p.quarter_start for p in points if p.is_in_distance})
    matched = (
        f"{len(inside)} quarters, {quarter(inside[0])} to {quarter(inside[-1])}, enter the distance"
        if inside
        else "no quarter enters the distance"
    )
    return (
        f"{unit} by quarter: {'; '.join(said)}. Go-live in {quarter(go_live)}; "
        f"quarters from {quarter(excluded_from)} to go-live are left out of matching; {matched}."
    )


def _padded(values: Sequence[float], *, floor: float) -> tuple[float, float]:
    low, high = min(values), max(values)
    spread = (high - low) or max(abs(high), 1.0)
    bottom = low - 0.08 * spread
    if low >= floor and bottom < floor:
        bottom = floor
    return bottom, high + 0.22 * spread


def _day(value: dt.date) -> str:
    return f"{value.isoformat()}T00:00:00Z"


def _signed(value: float) -> str:
    return f"{MINUS if value < 0 else ''}{abs(value):.2f}"


def _largest(values: Sequence[float]) -> str:
    return f"{max(values):.2f}" if values else "not available"


def _draw(chart: Any, *, key: str, title: str, alt_text: str) -> Drawing:
    styled = (
        chart.configure(
            background="white", font=FONT, padding={"left": 16, "right": 10, "top": 4, "bottom": 4}
        )
        .configure_view(stroke=None)
        .configure_axis(
            labelFontSize=11,
            titleFontSize=11,
            titleFontWeight="normal",
            labelColor=INK,
            titleColor=INK,
            gridColor="#e2e2e2",
            domainColor="#888888",
            tickColor="#888888",
        )
        .configure_legend(labelFontSize=11, labelColor=INK)
    )
    version = "_".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2]).replace("_", ".")
    spec = styled.to_dict()
    supported = vl_convert.get_vegalite_versions()
    svg = vl_convert.vegalite_to_svg(
        spec, vl_version=version if version in supported else None, allowed_base_urls=[]
    )
    return Drawing(inline_svg(svg, key=key, title=title, alt_text=alt_text), title, alt_text)


def inline_svg(svg: str, *, key: str, title: str, alt_text: str) -> str:
    """An SVG document as markup to put into a page.

    Scales with its container, announces itself as one image with title and description, and its identifiers
    start with ``key`` so that several drawings on a page do not refer to each other's parts.

    Example:
        >>> inline_svg('<svg xmlns="http://www.w3.org/2000/svg" width="2" height="1"/>',
        ...            key="a", title="T", alt_text="D")[:66]
        '<svg viewBox="0 0 2 1" role="img" aria-labelledby="a-title a-descr'
    """
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    root = etree.fromstring(svg.encode(), parser)
    # Vega numbers parts over the life of the process; numbering them anew makes equal drawings equal text.
    found = [str(element.get("id")) for element in root.iter() if element.get("id")]
    parts = {name: f"{key}-{number}" for number, name in enumerate(found, start=1)}
    for element in root.iter():
        if not isinstance(element.tag, str):
            continue
        attributes = {str(name): str(value) for name, value in element.attrib.items()}
        element.attrib.clear()
        for name, value in attributes.items():
            # Vega announces every mark; the drawing is one image here, so these go.
            if name.startswith("aria-") or name in ("role", "class"):
                continue
            element.set(name, parts[value] if name == "id" else _with_new_parts(value, parts))
    attributes = {str(name): str(value) for name, value in root.attrib.items()}
    root.attrib.clear()
    width, height = attributes.pop("width"), attributes.pop("height")
    root.set("viewBox", attributes.pop("viewBox", f"0 0 {width} {height}"))
    root.set("role", "img")
    root.set("aria-labelledby", f"{key}-title {key}-description")
    root.set("style", f"width:100%;max-width:{float(width):g}px;height:auto;display:block;overflow:visible")
    attributes.pop("version", None)
    for name, value in attributes.items():
        root.set(name, value)
    for position, (tag, text) in enumerate((("title", title), ("desc", alt_text))):
        element = etree.Element(tag)
        element.set("id", f"{key}-{'title' if tag == 'title' else 'description'}")
        element.text = text
        root.insert(position, element)
    markup = etree.tostring(root, encoding="unicode")
    # Inside HTML the parser knows SVG by its tag: declarations of namespaces are not needed.
    return re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", markup)


def _with_new_parts(value: str, parts: dict[str, str]) -> str:
    return re.sub(r"url\(#([^)]+)\)", lambda found: f"url(#{parts[found.group(1)]})", value)
