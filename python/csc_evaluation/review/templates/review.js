// The page itself: where the reviewer is, what is drawn, which key does what.
"use strict";

const byId = (id) => document.getElementById(id);
const CHOICES = [["holds", true], ["does not hold", false], ["not yet", null]];
const SIGNS = { accepted: "✓", rejected: "✗", left: "✗", open: "", empty: "–", done: "•" };
const WORDS = { accepted: "accepted", rejected: "rejected", left: "none accepted", open: "no decision yet", empty: "no candidate", done: "all decided" };
let isRejecting = false;

function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const here = () => {
  const set = DATA.sets[Work.place.set];
  return { set, candidate: set?.candidates[Work.place.candidate] ?? null, outcome: set ? outcomeOf(set.outcome) : null };
};
const treatedOf = (outcome) => DATA.sets.filter((set) => set.outcome === outcome);
const setName = (set) => `${nameOf(set.treated)}: ${outcomeOf(set.outcome).label}`;

function say(text) {
  byId("message").textContent = text;
}

// ---------------------------------------------------------------------------------------------- moving about

function goTo(setPlace, candidatePlace = null) {
  const set = DATA.sets[setPlace];
  if (!set) return;
  const firstOpen = set.candidates.findIndex((candidate) => Work.of(set, candidate.code).decision === null);
  Work.place = { set: setPlace, candidate: candidatePlace ?? Math.max(firstOpen, 0) };
  isRejecting = false;
  Work.keep();
  render();
  window.scrollTo(0, 0);
  const { candidate } = here();
  say(candidate ? `${nameOf(set.treated)}, rank ${candidate.rank}: ${nameOf(candidate.code)}` : setName(set));
}

function stepCandidate(by) {
  const { set } = here();
  const next = Work.place.candidate + by;
  if (next < 0) say("This is the first candidate.");
  else if (next >= set.candidates.length) say("This is the last candidate. u goes to the next without a decision.");
  else goTo(Work.place.set, next);
}

function stepAuthority(by) {
  const { set } = here();
  const sets = treatedOf(set.outcome);
  const next = sets[(sets.indexOf(set) + by + sets.length) % sets.length];
  goTo(DATA.sets.indexOf(next));
}

function stepOutcome(by) {
  const { set } = here();
  const keys = DATA.outcomes.map((outcome) => outcome.key);
  const key = keys[(keys.indexOf(set.outcome) + by + keys.length) % keys.length];
  const sets = treatedOf(key);
  goTo(DATA.sets.indexOf(sets.find((one) => one.treated === set.treated) ?? sets[0]));
}

function goToOpen() {
  const { set, candidate } = here();
  // Within this authority and outcome first, then onwards, then from the start.
  if (Work.stateOf(set) === "open") {
    const codes = set.candidates.map((one) => one.code);
    const from = codes.indexOf(candidate.code);
    const order = [...codes.slice(from + 1), ...codes.slice(0, from + 1)];
    const code = order.find((one) => Work.of(set, one).decision === null);
    if (code && code !== candidate.code) return goTo(Work.place.set, codes.indexOf(code));
    if (code) return say("This is the only one of this list without a decision.");
  }
  const start = Work.place.set;
  for (let offset = 1; offset <= DATA.sets.length; offset += 1) {
    const place = (start + offset) % DATA.sets.length;
    if (Work.stateOf(DATA.sets[place]) === "open") return goTo(place);
  }
  return say("Every authority and outcome has a decision. Export the file (e).");
}

// ---------------------------------------------------------------------------------------------- deciding

const today = () => {
  const now = new Date();
  return [now.getFullYear(), String(now.getMonth() + 1).padStart(2, "0"), String(now.getDate()).padStart(2, "0")].join("-");
};
const stamp = () => ({ reviewer: Work.reviewer, reviewed_on: today() });

function setVerdict(name, value) {
  const { set, candidate } = here();
  if (!candidate) return;
  const record = { ...Work.of(set, candidate.code), [name]: value };
  const changes = { [name]: value };
  let message = `${name[0].toUpperCase()}${name.slice(1)}: ${CHOICES.find((choice) => choice[1] === value)[0]}`;
  const isLost = (record.decision === "accepted" && !Work.holdsAll(record)) || (record.decision === "rejected" && !Work.hasAll(record));
  if (isLost) {
    Object.assign(changes, { decision: null, reviewer: "", reviewed_on: "" });
    message = `The decision is taken back: ${name} is now “${CHOICES.find((choice) => choice[1] === value)[0]}”.`;
  } else if (record.decision) {
    Object.assign(changes, stamp());
  }
  Work.put(set, candidate.code, changes);
  render();
  say(message);
}

function cycleVerdict(name) {
  const { set, candidate } = here();
  if (!candidate) return;
  const order = [null, true, false];
  setVerdict(name, order[(order.indexOf(Work.of(set, candidate.code)[name]) + 1) % order.length]);
}

const listed = (items) => (items.length < 2 ? items.join("") : `${items.slice(0, -1).join(", ")} and ${items.at(-1)}`);

function whyNotAccept(record) {
  const lacking = VERDICTS.filter((name) => record[name] !== true);
  return lacking.length ? `Accept needs all three to hold; ${listed(lacking)} ${lacking.length > 1 ? "do" : "does"} not so far.` : "";
}

function accept() {
  const { set, candidate } = here();
  if (!candidate) return;
  const record = Work.of(set, candidate.code);
  const why = whyNotAccept(record);
  if (why) return say(why);
  if (!Work.reviewer) return askReviewer(accept);
  Work.put(set, candidate.code, { decision: "accepted", ...stamp() });
  isRejecting = false;
  render();
  const skipped = Work.skippedRanks(set);
  return say(`${nameOf(candidate.code)} accepted.` + (skipped.length ? ` Rank ${listed(skipped.map(String))} before it has no decision yet; pairs are looked at in order of rank.` : ""));
}

function reject() {
  const { set, candidate } = here();
  if (!candidate) return;
  const record = Work.of(set, candidate.code);
  const lacking = VERDICTS.filter((name) => record[name] === null);
  if (lacking.length) {
    say(`Say first of ${listed(lacking)} whether it holds: the record keeps all three.`);
    byId(`verdict-${lacking[0]}`).querySelector("input").focus();
    return;
  }
  if (!record.reason.trim()) {
    isRejecting = true;
    render();
    byId("reason").focus();
    say("Write the reason, then press Enter to reject.");
    return;
  }
  if (!Work.reviewer) { askReviewer(reject); return; }
  Work.put(set, candidate.code, { decision: "rejected", ...stamp() });
  isRejecting = false;
  render();
  say(Work.stateOf(set) === "left" ? leftWords(set) : `${nameOf(candidate.code)} rejected.`);
}

function clearDecision() {
  const { set, candidate } = here();
  if (!candidate || !Work.of(set, candidate.code).decision) return say("There is no decision here to take back.");
  Work.put(set, candidate.code, { decision: null, reviewer: "", reviewed_on: "" });
  render();
  return say("Decision taken back; the verdicts stay.");
}

function editReason(text) {
  const { set, candidate } = here();
  const record = Work.of(set, candidate.code);
  const changes = { reason: text };
  if (record.decision === "rejected" && !text.trim()) {
    Object.assign(changes, { decision: null, reviewer: "", reviewed_on: "" });
    say("A rejection needs its reason: the decision is taken back.");
  } else if (record.decision) {
    Object.assign(changes, stamp());
  }
  Work.put(set, candidate.code, changes);
  renderVerdict();
  renderPlaces();
  renderProgress();
}

function leftWords(set) {
  const n = set.candidates.length;
  const count = n === 10 ? "ten" : String(n);
  return `None of the ${count} is accepted: ${nameOf(set.treated)} leaves the outcome “${outcomeOf(set.outcome).label}”.`;
}

// ---------------------------------------------------------------------------------------------- drawing

function render() {
  const focused = document.activeElement?.dataset?.focus;
  renderPlaces();
  renderPair();
  renderVerdict();
  renderProgress();
  byId("storage-warning").hidden = Work.isKept;
  byId("open-reviewer").textContent = Work.reviewer ? `Reviewer: ${Work.reviewer}` : "Reviewer?";
  // Lists are drawn anew: whoever stood on one of them with the keyboard stays there.
  if (focused && document.activeElement?.dataset?.focus !== focused) document.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus();
}

function renderProgress() {
  const needed = DATA.sets.filter((set) => set.candidates.length);
  const done = needed.length - Work.openSets().length;
  byId("progress").max = Math.max(needed.length, 1);
  byId("progress").value = done;
  byId("progress-words").textContent = `${done} of ${needed.length} decided`;
}

function placeButton(focus, sign, state, text, count, isCurrent, go) {
  return h("li", {}, h("button", { type: "button", "data-focus": focus, "aria-current": isCurrent ? "true" : null, onclick: go },
    h("span", { class: `sign ${state}`, "aria-hidden": "true" }, sign), h("span", { class: "text", title: text.length > 45 ? text : null }, text, h("span", { class: "visually-hidden" }, `, ${WORDS[state] ?? state}`)),
    h("span", { class: "count" }, count)));
}

function renderPlaces() {
  const { set, candidate } = here();
  const outcomes = DATA.outcomes.map((outcome) => {
    const needed = treatedOf(outcome.key).filter((one) => one.candidates.length);
    const done = needed.filter((one) => Work.stateOf(one) !== "open").length;
    const state = !needed.length ? "empty" : done === needed.length ? "done" : "open";
    return placeButton(`outcome ${outcome.key}`, SIGNS[state], state, outcome.label, needed.length ? `${done}/${needed.length}` : "none", outcome.key === set.outcome,
      () => goTo(DATA.sets.indexOf(treatedOf(outcome.key).find((one) => one.treated === set.treated) ?? treatedOf(outcome.key)[0])));
  });
  const authorities = treatedOf(set.outcome).map((one) => {
    const state = Work.stateOf(one);
    const decided = one.candidates.filter((each) => Work.of(one, each.code).decision).length;
    return placeButton(`treated ${one.treated}`, state === "open" ? "" : SIGNS[state], state === "left" ? "rejected" : state, nameOf(one.treated),
      state === "left" ? "leaves" : one.candidates.length ? `${decided}/${one.candidates.length}` : "none", one === set, () => goTo(DATA.sets.indexOf(one)));
  });
  const candidates = set.candidates.map((one, place) => {
    const record = Work.of(set, one.code);
    const state = record.decision ?? "open";
    return placeButton(`candidate ${one.code}`, SIGNS[state], state, `${one.rank} ${nameOf(one.code)}`, one.distance, one === candidate, () => goTo(Work.place.set, place));
  });
  byId("places").replaceChildren(
    h("h2", {}, "Outcome"), h("ol", {}, outcomes), h("h2", {}, "Treated authority"), h("ol", {}, authorities),
    h("h2", {}, "Candidates, distance"), candidates.length ? h("ol", {}, candidates) : h("p", { class: "small" }, "none"));
  // On a low screen the list scrolls within its column: where the reviewer is stays in sight.
  const current = [...byId("places").querySelectorAll('[aria-current="true"]')].at(-1);
  const below = current.getBoundingClientRect().bottom - byId("places").getBoundingClientRect().bottom;
  if (below > 0) byId("places").scrollTop += below + 8;
}

function renderPair() {
  const { set, candidate, outcome } = here();
  const parts = [];
  const open = Work.openSets();
  if (!open.length && Work.rows().length) {
    parts.push(h("p", { class: "finished" }, "All decided. Export the file (", h("kbd", {}, "e"), "), then run ", h("code", {}, "csceval review --import FILE"), "."));
  }
  if (Work.stateOf(set) === "left") parts.push(h("p", { class: "left" }, leftWords(set)));
  if (!candidate) {
    parts.push(h("h2", {}, nameOf(set.treated)), h("p", {}, outcome.label), h("p", { class: "absent" }, `Nothing to decide here: no candidate. ${set.why_none ?? ""}`), excluded(set));
    byId("pair").replaceChildren(...parts);
    return;
  }
  parts.push(h("div", { class: "pair-title" },
    h("h2", {}, h("span", { class: "treated" }, nameOf(set.treated)), " and ", h("span", { class: "comparator" }, nameOf(candidate.code))),
    h("span", {}, `rank ${candidate.rank} of ${set.candidates.length}`)));
  parts.push(h("p", {}, outcome.label, h("br"), h("small", {}, `${set.window_words} ${set.pandemic}`)));
  for (const remark of set.remarks) parts.push(h("p", { class: "remark" }, remark));
  parts.push(h("figure", {}, trendChart(set, candidate.code, outcome),
    h("figcaption", {}, `Bands: ${DATA.confidence} from each quarter's standard error, cut where they would flatten the lines. Filled marks: quarters of the matching window. Circles and the solid line: `,
      `${nameOf(set.treated)}; diamonds and the dashed line: ${nameOf(candidate.code)}. Left out: quarters whose follow-up may reach the programme; nothing after the window is drawn.`,
      hasEmptyError(set, candidate) ? " Where no child or every child had the outcome, the band closes: that is a gap in the formula, not certainty." : "")));
  parts.push(h("div", { class: "beside" },
    h("div", {}, h("h3", {}, "Changes that enter the distance"), h("figure", {}, changesChart(set, candidate.code),
      h("figcaption", {}, "z: standard deviations from the mean of all candidates in that quarter. The distance is the root mean square of the grey gaps."))),
    h("div", {}, h("h3", {}, "Distance beside its noise"),
      h("p", { class: "distance-value" }, candidate.distance, " ", h("small", {}, `expected from noise alone ${candidate.noise}`)),
      h("p", {}, candidate.distance_words), ranks(candidate))));
  parts.push(h("h3", {}, "Placebos before the programme"), evidence(set, candidate));
  parts.push(h("h3", {}, "The two authorities side by side"), context(set, candidate));
  parts.push(h("h3", {}, "Shocks to all authorities"), set.common_shocks.length ? h("ul", { class: "plain" }, set.common_shocks.map((text) => h("li", {}, text))) : h("p", { class: "absent" }, "None in the seed."));
  parts.push(h("h3", {}, "Tests over all matched groups of this outcome"), checks(outcome));
  if (set.earlier.length) parts.push(fold(`Decisions on an earlier list (${set.earlier.length})`, h("ul", { class: "plain" }, set.earlier.map((text) => h("li", {}, text)))));
  parts.push(fold("The numbers behind the charts", numbers(set, candidate)));
  parts.push(excluded(set));
  byId("pair").replaceChildren(...parts);
}

const hasEmptyError = (set, candidate) => [set.treated, candidate.code].some((code) => (set.series[code] ?? []).some((row) => row[ROW.mean] !== null && row[ROW.error] === 0));

const fold = (title, ...content) => h("details", {}, h("summary", {}, title), ...content);

function ranks(candidate) {
  return h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Distance on"), h("th", { scope: "col", class: "number" }, "distance"), h("th", { scope: "col", class: "number" }, "rank"))),
    h("tbody", {}, candidate.ranks.map(([name, distance, rank]) => h("tr", {}, h("th", { scope: "row" }, name === "changes" ? "changes (used)" : name),
      h("td", { class: "number" }, distance), h("td", { class: "number" }, rank === null ? "–" : String(rank))))));
}

function evidence(set, candidate) {
  if (!candidate.evidence.length) return h("p", { class: "absent" }, DATA.has_evidence ? "None for this pair." : "Not computed in this run.");
  const told = candidate.evidence.filter((finding) => finding.dots), other = candidate.evidence.filter((finding) => !finding.dots);
  const cards = told.map((finding) => {
    const values = set.dots[finding.dots];
    return h("div", { class: finding.is_extreme ? "card extreme" : "card" }, h("h4", {}, finding.label), h("p", { class: "figures" }, finding.figures),
      values?.length ? h("figure", {}, dotPlot(values, finding.value, finding.axis, finding.key.startsWith("placebo_"))) : null, h("p", {}, finding.words));
  });
  return h("div", {}, h("div", { class: "cards" }, cards),
    other.length ? h("ul", { class: "plain" }, other.map((finding) => h("li", {}, h("strong", {}, finding.label), `: ${finding.words}`))) : null);
}

function context(set, candidate) {
  return h("table", { class: "context" }, h("colgroup", {}, h("col", { class: "label" }), h("col"), h("col"), h("col", { class: "same" })),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, h("span", { class: "visually-hidden" }, "What")), h("th", { scope: "col", class: "treated" }, nameOf(set.treated)),
      h("th", { scope: "col", class: "comparator" }, nameOf(candidate.code)), h("th", { scope: "col" }, "Alike?"))),
    h("tbody", {}, candidate.context.map(([label, one, other, same]) => h("tr", {}, h("th", { scope: "row" }, label), h("td", {}, one), h("td", {}, other),
      h("td", {}, same ? h("span", { class: `tag ${same.replace(" ", "-")}` }, same) : "")))));
}

function checks(outcome) {
  if (!outcome.checks.length) return h("p", { class: "absent" }, "Not computed in this run.");
  const trends = outcome.checks.filter((row) => row.assumption !== "common shocks"), shocks = outcome.checks.filter((row) => row.assumption === "common shocks");
  const found = shocks.filter((row) => row.is_significant).length;
  return h("div", {}, h("p", { class: "small" }, `Estimates in ${outcome.unit}; those of what should react to a shock in the unit of that measure. Few authorities stand behind each: finding nothing is not finding none.`),
    trends.length ? checkTable(trends) : null,
    shocks.length ? fold(`Common shocks: ${shocks.length} rows, ${found} with p below ${DATA.significance}`, checkTable(shocks)) : null);
}

function checkTable(checks) {
  const heads = ["Test", "Term", `Estimate (${DATA.confidence})`, "Statistic", "p"];
  const rows = checks.flatMap((row) => [
    h("tr", { class: row.note ? "noted" : null }, h("th", { scope: "row" }, row.check), [row.term, row.estimate, row.test, row.p].map((text) => h("td", {}, text))),
    row.note ? h("tr", { class: "note" }, h("td", { colspan: heads.length }, row.note)) : null,
  ]);
  return h("table", { class: "checks" }, h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))), h("tbody", {}, rows.filter(Boolean)));
}

function numbers(set, candidate) {
  const one = set.series[set.treated] ?? [], other = new Map((set.series[candidate.code] ?? []).map((row) => [row[ROW.name], row]));
  const value = (cell, decimals) => (cell === null || cell === undefined ? "–" : cell.toFixed(decimals).replace("-", "−"));
  const cells = (row) => [value(row?.[ROW.mean], 2), value(row?.[ROW.error], 2), row?.[ROW.children] ?? "–", value(row?.[ROW.z], 2), value(row?.[ROW.change], 2)]
    .map((text) => h("td", { class: "number" }, text));
  const heads = ["mean", "s.e.", "children", "z", "change"];
  return h("table", {}, h("thead", {},
    h("tr", {}, h("th", {}), h("th", { colspan: 5, scope: "colgroup", class: "treated" }, nameOf(set.treated)), h("th", { colspan: 5, scope: "colgroup", class: "comparator" }, nameOf(candidate.code))),
    h("tr", {}, h("th", { scope: "col" }, "quarter"), [...heads, ...heads].map((head) => h("th", { scope: "col", class: "number" }, head)))),
  h("tbody", {}, one.map((row) => h("tr", {}, h("th", { scope: "row" }, row[ROW.name] + (row[ROW.inWindow] ? " •" : "")), ...cells(row), ...cells(other.get(row[ROW.name]))))),
  h("caption", {}, "• a quarter of the matching window"));
}

function excluded(set) {
  const groups = new Map();
  for (const [code, reason] of set.excluded) groups.set(reason, [...(groups.get(reason) ?? []), nameOf(code)]);
  const order = [...groups].sort((a, b) => a[1].length - b[1].length);
  return fold(`Authorities that are not on this list, and why (${set.excluded.length})`, h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Reason"), h("th", { scope: "col" }, "Authorities"))),
    h("tbody", {}, order.map(([reason, names]) => h("tr", {}, h("th", { scope: "row" }, DATA.reasons[reason]), h("td", {}, names.join(", ")))))));
}

function renderVerdict() {
  const { set, candidate } = here();
  byId("verdict-form").hidden = !candidate;
  if (candidate) {
    const record = Work.of(set, candidate.code);
    byId("verdict-heading").replaceChildren(`Rank ${candidate.rank}: `, h("span", { class: "comparator" }, nameOf(candidate.code)));
    for (const name of VERDICTS) {
      for (const input of byId(`verdict-${name}`).querySelectorAll("input")) input.checked = input.value === String(record[name]);
    }
    const reason = byId("reason");
    if (reason.value !== record.reason) reason.value = record.reason;
    byId("reason-hint").textContent = isRejecting ? "Enter rejects, Esc leaves" : "needed to reject";
    const why = whyNotAccept(record);
    byId("accept").setAttribute("aria-disabled", String(Boolean(why)));
    byId("accept-why").textContent = record.decision ? "" : why;
    byId("clear").setAttribute("aria-disabled", String(!record.decision));
    const decision = byId("decision");
    decision.className = `decision ${record.decision ?? ""}`;
    decision.textContent = record.decision ? `${SIGNS[record.decision]} ${record.decision} by ${record.reviewer}, ${record.reviewed_on}` : "";
  } else {
    byId("verdict-heading").textContent = "Nothing to decide here";
  }
  const accepted = set.candidates.filter((one) => Work.of(set, one.code).decision === "accepted");
  const words = {
    accepted: `${nameOf(set.treated)} is decided: ${listed(accepted.map((one) => nameOf(one.code)))} accepted. More may be.`,
    left: leftWords(set),
    open: `${nameOf(set.treated)} has no decision yet: accept at least one, or reject all ${set.candidates.length}.`,
    empty: "No candidate: this authority is not in this outcome.",
  }[Work.stateOf(set)];
  const n = Work.openSets().length;
  byId("set-state").replaceChildren(h("p", {}, words), n ? h("p", {}, h("strong", {}, `${n} without a decision: `), "until then their nearest is taken, unreviewed.") : h("p", {}, "Nothing is left undecided."));
}

// ---------------------------------------------------------------------------------------------- windows

function askReviewer(then = null) {
  const dialog = byId("reviewer-dialog");
  byId("reviewer").value = Work.reviewer;
  // At once, not when the window has closed: the next key may already be a decision.
  dialog.querySelector("form").onsubmit = () => {
    const name = byId("reviewer").value.trim();
    if (!name) return;
    Work.reviewer = name;
    Work.keep();
    render();
    if (then) then();
  };
  dialog.showModal();
  byId("reviewer").focus();
}

function openExport() {
  const rows = Work.rows(), open = Work.openSets();
  const skipped = DATA.sets.filter((set) => Work.skippedRanks(set).length);
  const undecided = open.map((set) => h("li", {}, h("button", { type: "button", onclick: () => { byId("export-dialog").close(); goTo(DATA.sets.indexOf(set)); } }, setName(set))));
  byId("export-summary").replaceChildren(...[
    h("p", {}, rows.length ? `${rows.length} ${rows.length === 1 ? "pair with a decision goes" : "pairs with a decision go"} into the file.` : "No pair has a decision yet, so there is nothing to export."),
    open.length ? h("p", { class: "alert" }, `${open.length} without a decision. Each stays unreviewed, with its nearest candidate:`) : h("p", {}, "Every authority and outcome is decided."),
    open.length ? h("ul", { class: "open-list" }, undecided) : null,
    skipped.length ? h("p", { class: "alert" }, "Accepted past a nearer candidate without a decision: " + skipped.map((set) => `${setName(set)} (rank ${listed(Work.skippedRanks(set).map(String))})`).join("; ") + ".") : null,
    h("p", { class: "small" }, "Then: ", h("code", {}, `csceval review --import ${DATA.programme}_reviews.csv`)),
  ].filter(Boolean));
  byId("download").setAttribute("aria-disabled", String(!rows.length));
  byId("copy").setAttribute("aria-disabled", String(!rows.length));
  byId("export-text").value = rows.length ? Work.csv() : "";
  byId("export-message").textContent = "";
  byId("export-dialog").showModal();
  byId("download").focus();
}

function download() {
  if (!Work.rows().length) return;
  const address = URL.createObjectURL(new Blob([Work.csv()], { type: "text/csv;charset=utf-8" }));
  const link = h("a", { href: address, download: `${DATA.programme}_reviews.csv` });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
  byId("export-message").textContent = `Written as ${DATA.programme}_reviews.csv to the downloads folder. If your browser blocked it, copy the text below into a file.`;
}

async function copy() {
  if (!Work.rows().length) return;
  const text = byId("export-text");
  try {
    await navigator.clipboard.writeText(text.value);
    byId("export-message").textContent = "Copied. Paste it into a text file whose name ends in .csv.";
  } catch {
    text.focus();
    text.select();
    byId("export-message").textContent = document.execCommand("copy") ? "Copied. Paste it into a text file whose name ends in .csv." : "Copying is blocked here: the text is selected, copy it by hand.";
  }
}

async function load(file) {
  const { records, problems } = Work.parse(await file.text());
  const differing = records.filter(([set, code, record]) => {
    const own = Work.of(set, code);
    return own.decision && (own.decision !== record.decision || VERDICTS.some((name) => own[name] !== record[name]));
  });
  const takesAll = !differing.length || window.confirm(`${differing.length} decisions in the file differ from those on this page. Replace those on this page?`);
  const taken = records.filter((row) => takesAll || !differing.includes(row));
  for (const [set, code, record] of taken) Work.decisions[pairKey(set, code)] = record;
  Work.keep();
  render();
  byId("load-summary").replaceChildren(h("p", {}, `${taken.length} decisions taken over from ${file.name}.`),
    ...(problems.length ? [h("p", { class: "alert" }, `${problems.length} could not be:`), h("ul", { class: "open-list" }, problems.map((text) => h("li", {}, text)))] : []));
  byId("load-dialog").showModal();
}

// ---------------------------------------------------------------------------------------------- keys

const KEYS = {
  n: () => stepCandidate(1), p: () => stepCandidate(-1),
  t: () => stepAuthority(1), T: () => stepAuthority(-1),
  o: () => stepOutcome(1), O: () => stepOutcome(-1),
  u: goToOpen, 1: () => cycleVerdict("trend"), 2: () => cycleVerdict("placebo"), 3: () => cycleVerdict("shocks"),
  a: accept, r: reject, x: clearDecision, e: openExport, "?": () => byId("help-dialog").showModal(),
};
const isTyping = (element) => element instanceof HTMLTextAreaElement || (element instanceof HTMLInputElement && !["radio", "checkbox", "button"].includes(element.type));

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing || !Work.shortcuts) return;
  if (isTyping(event.target) || document.querySelector("dialog[open]") || !Object.hasOwn(KEYS, event.key)) return;
  event.preventDefault();
  if (!event.repeat || "nptTo".includes(event.key)) KEYS[event.key]();
});

byId("reason").addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    isRejecting = false;
    renderVerdict();
    byId("pair").focus({ preventScroll: true });
  } else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    if (isRejecting) {
      reject();
      if (here().candidate && Work.of(here().set, here().candidate.code).decision) byId("pair").focus({ preventScroll: true });
    } else byId("pair").focus({ preventScroll: true });
  }
});
byId("reason").addEventListener("input", (event) => editReason(event.target.value));

for (const name of VERDICTS) {
  byId(`verdict-${name}`).append(h("div", { class: "choices" }, CHOICES.map(([text, value]) => h("label", {},
    h("input", { type: "radio", name: `verdict-${name}`, value: String(value), "data-focus": `${name} ${value}`, onchange: () => setVerdict(name, value) }), text))));
}
byId("accept").addEventListener("click", accept);
byId("reject").addEventListener("click", reject);
byId("clear").addEventListener("click", clearDecision);
byId("next-open").addEventListener("click", goToOpen);
byId("open-reviewer").addEventListener("click", () => askReviewer());
byId("open-help").addEventListener("click", () => byId("help-dialog").showModal());
byId("open-export").addEventListener("click", openExport);
byId("open-load").addEventListener("click", () => byId("file").click());
byId("download").addEventListener("click", download);
byId("copy").addEventListener("click", copy);
byId("shortcuts").addEventListener("change", (event) => { Work.shortcuts = event.target.checked; Work.keep(); });
byId("file").addEventListener("change", (event) => {
  const [file] = event.target.files;
  event.target.value = "";
  if (file) load(file);
});
window.addEventListener("storage", (event) => {
  const kept = event.key === DATA.storage_key ? Work.read() : null;
  if (kept) { Object.assign(Work, kept, { place: Work.place }); render(); }
});
window.addEventListener("beforeunload", (event) => { if (!Work.isKept && Work.rows().length) event.preventDefault(); });

Work.begin();
byId("shortcuts").checked = Work.shortcuts;
if (DATA.sets.length) {
  const set = DATA.sets[Work.place.set];
  if (!set.candidates[Work.place.candidate]) Work.place.candidate = 0;
  render();
  if (!Work.reviewer) askReviewer();
} else {
  byId("pair").replaceChildren(h("p", { class: "absent" }, "This run has no candidates."));
}
