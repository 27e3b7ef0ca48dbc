// Charts as SVG from rows of numbers. Arms differ by dash and marker as well as by colour (Okabe and Ito's blue and a vermilion
// dark enough for text).
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const TREATED = "#0072b2";
const COMPARATOR = "#b94700";
const ROW = { quarter: 0, name: 1, mean: 2, error: 3, z: 4, change: 5, inWindow: 6, inDistance: 7, children: 8 };

function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== null && value !== undefined) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null));
  return element;
}

const time = (iso) => Date.parse(`${iso}T00:00:00Z`);
const DAY = 86400000;
const middle = (iso) => time(iso) + 45 * DAY;
const quarterEnd = (iso) => { const day = new Date(time(iso)); day.setUTCMonth(day.getUTCMonth() + 3); return day.getTime(); };
const scale = ([from, to], [low, high]) => (value) => low + ((value - from) / (to - from || 1)) * (high - low);
const place = (value) => Math.round(value * 10) / 10;

function niceTicks(low, high, count) {
  const raw = (high - low || 1) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= raw);
  const ticks = [];
  for (let value = Math.ceil(low / step - 1e-9) * step; value <= high + step * 1e-9; value += step) ticks.push(Number(value.toPrecision(12)));
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9) + (String(step / power).startsWith("2.5") ? 1 : 0));
  return { ticks, say: (value) => value.toFixed(decimals).replace(/^-(?=0\.?0*$)/, "").replace("-", "−") };
}

const words = (x, y, text, more = {}) => s("text", { x: place(x), y: place(y), ...more }, text);
const rule = (x1, y1, x2, y2, more = {}) => s("line", { x1: place(x1), y1: place(y1), x2: place(x2), y2: place(y2), stroke: "#222", ...more });

function marker(x, y, isTreated, isFilled, size = 4) {
  const colour = isTreated ? TREATED : COMPARATOR;
  const more = { stroke: colour, "stroke-width": 1.6, fill: isFilled ? colour : "#fff" };
  return isTreated
    ? s("circle", { cx: place(x), cy: place(y), r: size, ...more })
    : s("path", { d: `M${place(x)} ${place(y - size - 1.2)}l${size + 1.2} ${size + 1.2}l${-size - 1.2} ${size + 1.2}l${-size - 1.2} ${-size - 1.2}z`, ...more });
}

function frame(width, height, label) {
  return s("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
}

function valueAxis(svg, y, range, left, right, title) {
  const { ticks, say } = niceTicks(range[0], range[1], 5);
  for (const tick of ticks) {
    svg.append(rule(left, y(tick), right, y(tick), { stroke: "#e2e2e2" }), words(left - 6, y(tick) + 4, say(tick), { "text-anchor": "end" }));
  }
  svg.append(words(4, 11, title));
}

const pieces = (rows, value) => {
  const found = [[]];
  for (const row of rows) {
    if (value(row) === null) found.push([]);
    else found.at(-1).push(row);
  }
  return found.filter((piece) => piece.length);
};

// The two trends up to the last quarter of the window; what follows is shaded and empty.
function trendChart(set, code, outcome) {
  const width = 760, height = 272, top = 34, bottom = 226, left = 46, right = 752;
  const arms = [[set.treated, true], [code, false]].map(([la, isTreated]) => ({ la, isTreated, rows: set.series[la] ?? [] }));
  const all = arms.flatMap((arm) => arm.rows).filter((row) => row[ROW.mean] !== null);
  const label = `Quarterly means of ${nameOf(set.treated)} and ${nameOf(code)} up to the last quarter of the matching window. ` +
    "The numbers stand in the table below.";
  const svg = frame(width, height, label);
  if (!all.length) {
    svg.append(words(left, 120, "No quarter of either authority can be drawn."));
    return svg;
  }
  const low = (row) => Math.max(0, row[ROW.mean] - DATA.band_factor * (row[ROW.error] ?? 0));
  const high = (row) => row[ROW.mean] + DATA.band_factor * (row[ROW.error] ?? 0);
  // A small authority's wide band must not flatten the lines: the axis follows the lines first.
  const means = all.map((row) => row[ROW.mean]);
  const spread = Math.max(...means) - Math.min(...means) || Math.max(...means) || 1;
  const floor = Math.max(0, Math.max(Math.min(...all.map(low)), Math.min(...means) - spread));
  const ceiling = Math.min(Math.max(...all.map(high)), Math.max(...means) + spread);
  const y = scale([floor, ceiling], [bottom, top]);
  const first = Math.min(...arms.flatMap((arm) => arm.rows.map((row) => time(row[ROW.quarter]))));
  const embedding = set.embedding?.map(time);
  const last = Math.max(time(set.go_live), embedding?.[1] ?? 0);
  const x = scale([first - 20 * DAY, last + Math.max(75 * DAY, (last - first) * 0.055)], [left, right]);
  const id = (name) => `${name}-${set.outcome}-${set.treated}-${code}`;
  svg.append(s("defs", {},
    s("clipPath", { id: id("clip") }, s("rect", { x: left, y: top, width: right - left, height: bottom - top })),
    s("pattern", { id: id("hatch"), width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      s("rect", { width: 6, height: 6, fill: "#f1f1f1" }), s("line", { x1: 0, y1: 0, x2: 0, y2: 6, stroke: "#b5b5b5", "stroke-width": 2 }))));
  const windowStart = time(set.first_quarter), windowEnd = quarterEnd(set.last_quarter);
  const block = (from, to, fill) => s("rect", { x: place(x(from)), y: top, width: place(Math.max(0, x(to) - x(from))), height: bottom - top, fill });
  svg.append(block(windowStart, windowEnd, "#eef5fa"));
  svg.append(block(time(set.cut_off), time(set.starts_on), "#e4e4e4"));
  if (embedding) svg.append(block(embedding[0], embedding[1], `url(#${id("hatch")})`));
  valueAxis(svg, y, [floor, ceiling], left, right, `${outcome.axis}, by quarter of the index event`);
  for (const [from, to] of set.pandemic_spans) {
    const begins = Math.max(time(from), first), ends = Math.min(to ? time(to) : Infinity, last);
    if (ends > begins) {
      svg.append(s("rect", { x: place(x(begins)), y: top, width: place(x(ends) - x(begins)), height: 5, fill: "#777" }));
      svg.append(words((x(begins) + x(ends)) / 2, top + 17, "pandemic", { "text-anchor": "middle" }));
    }
  }
  const years = [];
  for (let year = new Date(first).getUTCFullYear(); year <= new Date(last).getUTCFullYear() + 1; year += 1) years.push(year);
  for (const year of years) {
    const at = x(Date.UTC(year, 0, 1));
    if (at >= left && at <= right) svg.append(rule(at, bottom, at, bottom + 5, { stroke: "#666" }), words(at + 2, bottom + 14, String(year), years.length > 10 ? { "font-size": 10 } : {}));
  }
  svg.append(rule(left, bottom, right, bottom, { stroke: "#666" }));
  // The window as a bracket below the axis, the stretch left out beside it.
  const mark = bottom + 24;
  svg.append(s("path", { d: `M${place(x(windowStart))} ${mark - 4}v4H${place(x(windowEnd))}v-4`, fill: "none", stroke: "#0b3c5d", "stroke-width": 2 }));
  const quarters = set.series[set.treated]?.filter((row) => row[ROW.inWindow]).length ?? 0;
  svg.append(words(x(windowEnd) - 2, mark + 14, `matching window, ${quarters} quarters`, { "text-anchor": "end", "font-weight": "bold" }));
  svg.append(words(x(time(set.cut_off)) + 4, mark + 14, "left out and not shown"));
  const body = s("g", { "clip-path": `url(#${id("clip")})` });
  svg.append(body);
  for (const arm of arms) {
    const colour = arm.isTreated ? TREATED : COMPARATOR;
    for (const piece of pieces(arm.rows, (row) => row[ROW.mean])) {
      const point = (value) => (row) => `${place(x(middle(row[ROW.quarter])))} ${place(y(value(row)))}`;
      const band = [...piece.map(point(high)), ...[...piece].reverse().map(point(low))];
      body.append(s("path", { d: `M${band.join("L")}Z`, fill: colour, "fill-opacity": 0.11, stroke: colour, "stroke-opacity": 0.55,
        "stroke-width": 0.8, "stroke-dasharray": arm.isTreated ? null : "2 3" }));
    }
  }
  for (const arm of arms) {
    const colour = arm.isTreated ? TREATED : COMPARATOR;
    for (const piece of pieces(arm.rows, (row) => row[ROW.mean])) {
      const line = piece.map((row) => `${place(x(middle(row[ROW.quarter])))} ${place(y(row[ROW.mean]))}`);
      body.append(s("path", { d: `M${line.join("L")}`, fill: "none", stroke: colour, "stroke-width": 2.2, "stroke-dasharray": arm.isTreated ? null : "7 4" }));
    }
    for (const row of arm.rows.filter((one) => one[ROW.mean] !== null)) {
      const dot = marker(x(middle(row[ROW.quarter])), y(row[ROW.mean]), arm.isTreated, row[ROW.inWindow] === 1);
      dot.append(s("title", {}, `${nameOf(arm.la)}, ${row[ROW.name]}: ${row[ROW.mean].toFixed(2)}${outcome.suffix}, ${row[ROW.children]} children`));
      body.append(dot);
    }
  }
  const line = (at, text, anchor) => svg.append(
    rule(at, top - 12, at, bottom, { "stroke-width": 2, "stroke-dasharray": "2 2" }), words(at + (anchor === "end" ? -4 : 4), top - 16, text, { "text-anchor": anchor }));
  line(x(time(set.go_live)), `go-live ${set.go_live_words}${set.is_assumed ? " (assumed)" : ""}`, "end");
  if (embedding) svg.append(words((x(embedding[0]) + x(embedding[1])) / 2, bottom - 8, "embedding period", { "text-anchor": "middle", "font-weight": "bold" }));
  endNames(svg, arms, x, y, top, bottom);
  return svg;
}

// Names in the empty stretch beside each line's last point, a line of text apart.
function endNames(svg, arms, x, y, top, bottom) {
  const ends = arms.map((arm) => ({ arm, row: arm.rows.filter((row) => row[ROW.mean] !== null).at(-1) })).filter((end) => end.row);
  for (const end of ends) end.at = Math.min(Math.max(y(end.row[ROW.mean]), top + 12), bottom - 8);
  if (ends.length === 2 && Math.abs(ends[0].at - ends[1].at) < 16) {
    const centre = Math.min(Math.max((ends[0].at + ends[1].at) / 2, top + 20), bottom - 16);
    const sign = ends[0].at <= ends[1].at ? -1 : 1;
    ends[0].at = centre + sign * 8;
    ends[1].at = centre - sign * 8;
  }
  for (const { arm, row, at } of ends) {
    svg.append(words(x(middle(row[ROW.quarter])) + 12, at + 4, nameOf(arm.la),
      { "font-weight": "bold", style: `fill:${arm.isTreated ? TREATED : COMPARATOR};paint-order:stroke;stroke:#fff;stroke-width:3px` }));
  }
}

// Changes of z from quarter to quarter; the grey lines between the two are what the distance is made of.
function changesChart(set, code) {
  const width = 440, height = 216, top = 22, bottom = 172, left = 38, right = 434;
  const arms = [[set.treated, true], [code, false]].map(([la, isTreated]) => ({ isTreated, rows: (set.series[la] ?? []).filter((row) => row[ROW.change] !== null) }));
  const svg = frame(width, height, `Changes of the standardised mean from quarter to quarter, ${nameOf(set.treated)} and ${nameOf(code)}.`);
  const quarters = arms[0].rows.map((row) => row[ROW.name]);
  if (!quarters.length) {
    svg.append(words(left, 90, "No change of z in this run."));
    return svg;
  }
  const values = arms.flatMap((arm) => arm.rows.map((row) => row[ROW.change]));
  const reach = Math.max(...values.map(Math.abs), 0.5) * 1.08;
  const y = scale([-reach, reach], [bottom, top]);
  const x = (name) => left + ((quarters.indexOf(name) + 0.5) / quarters.length) * (right - left);
  valueAxis(svg, y, [-reach, reach], left, right, "change of z");
  svg.append(rule(left, y(0), right, y(0), { stroke: "#666" }));
  for (const row of arms[0].rows) {
    const other = arms[1].rows.find((one) => one[ROW.name] === row[ROW.name]);
    if (other) svg.append(rule(x(row[ROW.name]), y(row[ROW.change]), x(row[ROW.name]), y(other[ROW.change]), { stroke: "#8a8a8a", "stroke-width": 5, "stroke-opacity": 0.5 }));
    const [year, name] = row[ROW.name].split(" ");
    svg.append(words(x(row[ROW.name]), bottom + 15, name, { "text-anchor": "middle" }));
    if (name === "Q1" || row === arms[0].rows[0]) svg.append(words(x(row[ROW.name]), bottom + 28, year, { "text-anchor": "middle" }));
  }
  for (const arm of arms) {
    const line = arm.rows.map((row) => `${place(x(row[ROW.name]))} ${place(y(row[ROW.change]))}`);
    svg.append(s("path", { d: `M${line.join("L")}`, fill: "none", stroke: arm.isTreated ? TREATED : COMPARATOR, "stroke-width": 1.6, "stroke-dasharray": arm.isTreated ? null : "6 4" }));
    for (const row of arm.rows) svg.append(marker(x(row[ROW.name]), y(row[ROW.change]), arm.isTreated, true));
  }
  svg.append(marker(left + 8, height - 7, true, true), words(left + 17, height - 3, nameOf(set.treated)));
  const next = left + 40 + nameOf(set.treated).length * 6.2;
  svg.append(marker(next, height - 7, false, true), words(next + 10, height - 3, nameOf(code)));
  return svg;
}

// Other authorities as if treated, one dot each, and where this pair stands among them.
function dotPlot(values, own, axis, hasZero) {
  const width = 360, height = 112, bottom = 78, left = 10, right = 350, radius = 2.7;
  const svg = frame(width, height, `${values.length} other authorities as if treated on ${axis}, and this pair${own === null ? "" : ` at ${own}`}.`);
  const inside = own === null ? values : [...values, own];
  let low = Math.min(...inside, hasZero ? 0 : Infinity), high = Math.max(...inside, hasZero ? 0 : -Infinity);
  const pad = (high - low || 1) * 0.05;
  [low, high] = [low - pad, high + pad];
  const x = scale([low, high], [left, right]);
  const { ticks, say } = niceTicks(low, high, 6);
  for (const tick of ticks) svg.append(rule(x(tick), bottom, x(tick), bottom + 4, { stroke: "#666" }), words(x(tick), bottom + 15, say(tick), { "text-anchor": "middle", "font-size": 10 }));
  svg.append(rule(left, bottom, right, bottom, { stroke: "#666" }), words((left + right) / 2, bottom + 27, axis, { "text-anchor": "middle", "font-size": 10 }));
  if (hasZero) svg.append(rule(x(0), 14, x(0), bottom, { stroke: "#888", "stroke-dasharray": "3 3" }));
  const columns = new Map();
  const step = radius * 2 + 0.4;
  for (const value of values) {
    const column = Math.round(x(value) / step);
    columns.set(column, (columns.get(column) ?? 0) + 1);
  }
  const tallest = Math.max(...columns.values(), 1);
  const rise = Math.min(step, (bottom - 26) / tallest);
  for (const [column, count] of columns) {
    for (let level = 0; level < count; level += 1) {
      svg.append(s("circle", { cx: place(column * step), cy: place(bottom - 4 - level * rise), r: radius, fill: "#bdbdbd", stroke: "#6b6b6b", "stroke-width": 0.6 }));
    }
  }
  if (own !== null) {
    const at = x(own);
    svg.append(rule(at, 16, at, bottom, { stroke: "#222", "stroke-width": 1.8 }));
    svg.append(s("path", { d: `M${place(at)} ${place(bottom - 10)}l5 5l-5 5l-5 -5z`, fill: "#222" }));
    const anchor = at > 290 ? "end" : at < 70 ? "start" : "middle";
    svg.append(words(at, 11, "this pair", { "text-anchor": anchor, "font-weight": "bold" }));
  }
  return svg;
}
