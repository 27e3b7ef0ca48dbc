// What the reviewer has decided: kept in this browser, written to and read from match_reviews.csv. No drawing here.
"use strict";

const DATA = JSON.parse(document.getElementById("data").textContent);
const VERDICTS = ["trend", "placebo", "shocks"];

const pairKey = (set, code) => [set.outcome, set.treated, code].join("|");
const nameOf = (code) => DATA.authorities[code] ?? code;
const outcomeOf = (key) => DATA.outcomes.find((outcome) => outcome.key === key);

const Work = {
  reviewer: "",
  shortcuts: true,
  place: { set: 0, candidate: 0 },
  decisions: {},
  isKept: true,

  begin() {
    const kept = this.read();
    if (kept) {
      Object.assign(this, kept);
    } else {
      for (const set of DATA.sets) {
        for (const row of set.installed ?? []) {
          if (set.candidates.some((candidate) => candidate.code === row.comparator)) {
            const { comparator, ...record } = row;
            this.decisions[pairKey(set, comparator)] = record;
          }
        }
      }
      this.keep();
    }
    const last = DATA.sets.length - 1;
    this.place.set = Math.min(Math.max(this.place.set, 0), Math.max(last, 0));
  },

  read() {
    try {
      const text = window.localStorage.getItem(DATA.storage_key);
      const kept = text ? JSON.parse(text) : null;
      if (!kept || kept.format !== DATA.format) return null;
      const { reviewer, shortcuts, place, decisions } = kept;
      return { reviewer, shortcuts, place, decisions };
    } catch {
      return null;
    }
  },

  keep() {
    const { reviewer, shortcuts, place, decisions } = this;
    try {
      window.localStorage.setItem(
        DATA.storage_key, JSON.stringify({ format: DATA.format, reviewer, shortcuts, place, decisions }),
      );
      this.isKept = true;
    } catch {
      this.isKept = false;
    }
  },

  // The record of a pair; made on the first verdict.
  of(set, code) {
    return this.decisions[pairKey(set, code)] ??
      { trend: null, placebo: null, shocks: null, decision: null, reason: "", reviewer: "", reviewed_on: "" };
  },

  put(set, code, changes) {
    this.decisions[pairKey(set, code)] = { ...this.of(set, code), ...changes };
    this.keep();
  },

  holdsAll: (record) => VERDICTS.every((name) => record[name] === true),
  hasAll: (record) => VERDICTS.every((name) => record[name] !== null),

  // accepted: at least one is; left: every candidate is rejected; open: neither yet; empty: nobody to decide on.
  stateOf(set) {
    if (!set.candidates.length) return "empty";
    const decided = set.candidates.map((candidate) => this.of(set, candidate.code).decision);
    if (decided.includes("accepted")) return "accepted";
    return decided.every((decision) => decision === "rejected") ? "left" : "open";
  },

  openSets() {
    return DATA.sets.filter((set) => this.stateOf(set) === "open");
  },

  // Ranks before an accepted candidate without a decision: pairs are looked at in order of rank.
  skippedRanks(set) {
    const decided = set.candidates.map((candidate) => this.of(set, candidate.code).decision);
    return set.candidates
      .filter((_, place) => decided[place] === null && decided.slice(place).includes("accepted"))
      .map((candidate) => candidate.rank);
  },

  // Pairs with a decision, as rows of the seed in its order of columns.
  rows() {
    const rows = [];
    for (const set of DATA.sets) {
      for (const candidate of set.candidates) {
        const record = this.of(set, candidate.code);
        if (record.decision) {
          rows.push({
            programme: DATA.programme, outcome: set.outcome, treated_la_code: set.treated, comparator_la_code: candidate.code,
            trend: String(record.trend), placebo: String(record.placebo), shocks: String(record.shocks),
            decision: record.decision, reason: record.reason.replace(/\s+/g, " ").trim(),
            reviewer: record.reviewer, reviewed_on: record.reviewed_on, candidates_hash: set.hash,
          });
        }
      }
    }
    const by = (row) => [row.outcome, row.treated_la_code, row.comparator_la_code].join("|");
    return rows.sort((one, other) => (by(one) < by(other) ? -1 : 1));
  },

  csv() {
    const cell = (text) => (/[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    const lines = [DATA.columns, ...this.rows().map((row) => DATA.columns.map((column) => row[column]))];
    return lines.map((cells) => cells.map(cell).join(",")).join("\n") + "\n";
  },

  // Reads an exported file: { records: [[set, code, record]], problems: [text] }. Nothing is taken over yet.
  parse(text) {
    const lines = csvRows(text.replace(/^\uFEFF/, ""));
    const header = lines.shift()?.cells ?? [];
    const lacking = DATA.columns.filter((column) => !header.includes(column));
    if (lacking.length) {
      return { records: [], problems: [`This is no exported review: it has no column ${lacking.join(", ")}.`] };
    }
    const records = [];
    const problems = [];
    for (const { cells, line } of lines) {
      const row = Object.fromEntries(header.map((column, place) => [column, cells[place] ?? ""]));
      const set = DATA.sets.find((one) => one.outcome === row.outcome && one.treated === row.treated_la_code);
      const verdicts = Object.fromEntries(VERDICTS.map((name) => [name, { true: true, false: false }[row[name].toLowerCase()]]));
      if (row.programme !== DATA.programme || !set) {
        problems.push(`Line ${line}: ${row.programme}, ${row.outcome}, ${row.treated_la_code} is not on this page.`);
      } else if (row.candidates_hash !== set.hash || !set.candidates.some((one) => one.code === row.comparator_la_code)) {
        problems.push(`Line ${line}: a decision on another list of candidates of ${nameOf(set.treated)}; decide again.`);
      } else if (Object.values(verdicts).includes(undefined) || !["accepted", "rejected"].includes(row.decision) ||
          (row.decision === "accepted" && Object.values(verdicts).includes(false))) {
        problems.push(`Line ${line}: verdicts or decision cannot be read, or contradict each other.`);
      } else {
        const { decision, reason, reviewer, reviewed_on } = row;
        records.push([set, row.comparator_la_code, { ...verdicts, decision, reason, reviewer, reviewed_on }]);
      }
    }
    return { records, problems };
  },
};

// Rows of a CSV text with quotes (RFC 4180), each with the line it starts on; empty lines are left out.
function csvRows(text) {
  const rows = [];
  let cells = [], cell = "", isQuoted = false, line = 1, start = 1;
  const endRow = () => {
    cells.push(cell);
    if (cells.length > 1 || cells[0] !== "") rows.push({ cells, line: start });
    cells = [];
    cell = "";
  };
  for (let place = 0; place < text.length; place += 1) {
    const character = text[place];
    if (character === "\n") line += 1;
    if (isQuoted) {
      if (character !== '"') cell += character;
      else if (text[place + 1] === '"') { cell += '"'; place += 1; }
      else isQuoted = false;
    } else if (character === '"' && cell === "") {
      isQuoted = true;
    } else if (character === ",") {
      cells.push(cell);
      cell = "";
    } else if (character === "\n") {
      endRow();
      start = line;
    } else if (character !== "\r") {
      cell += character;
    }
  }
  if (cell !== "" || cells.length) endRow();
  return rows;
}
