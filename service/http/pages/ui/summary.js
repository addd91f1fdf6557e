"use strict";
// All pictures together: progress, what was found, the order, and the table to download.

const MOST_CLASSES = 10; // named in the summary
const COLUMNS = ["path", "label", "score", "known", "novelty", "set", "error"]; // as `service.predict --csv`

function showSummary() {
  const done = items.filter(({ state }) => state === "done"), failed = items.filter(({ state }) => state === "failed");
  const isDone = done.length + failed.length === items.length, isMany = items.length > 1;
  Object.assign(byId("progress"), { max: items.length || 1, value: done.length + failed.length, hidden: isDone });
  const again = failed.filter(({ isTemporary }) => isTemporary).length;
  byId("retry").textContent = again > 1 ? `Try ${again} pictures again` : "Try again";
  byId("retry").hidden = !isDone || !again;
  byId("order").hidden = byId("table").hidden = !isDone || !isMany;
  byId("clear").hidden = !items.length;
  if (!isDone) return;
  const [first] = items;
  byId("status").textContent = isMany ? totals(done, failed) : first ? `${first.path}: ${outcome(first)}` : "";
  arrange();
}

function totals(done, failed) {
  const found = { sure: new Map(), likely: 0, unsure: 0, unknown: 0 };
  for (const { answer } of done) {
    const { kind } = verdict(answer);
    if (answer.labels && kind !== "unknown") {
      for (const name of answer.labels.length ? answer.labels.map(({ label }) => label) : ["without a label"]) add(found.sure, name);
    } else if (kind === "sure") add(found.sure, answer.label);
    else found[kind]++;
  }
  const classes = [...found.sure].sort(([, one], [, other]) => other - one);
  const parts = classes.slice(0, MOST_CLASSES).map(([label, number]) => `${number.toLocaleString("en")} ${label}`);
  const others = classes.slice(MOST_CLASSES).reduce((sum, [, number]) => sum + number, 0);
  if (others) parts.push(`${others.toLocaleString("en")} in ${count(classes.length - MOST_CLASSES, "other class", "other classes")}`);
  if (found.likely) parts.push(`${found.likely} only probable`);
  if (found.unsure) parts.push(`${found.unsure} not sure`);
  if (found.unknown) parts.push(`${found.unknown} unlike the training pictures`);
  const temporary = failed.filter(({ isTemporary }) => isTemporary).length;
  if (failed.length > temporary) parts.push(`${failed.length - temporary} not readable`);
  if (temporary) parts.push(`${temporary} without an answer`);
  return `${count(done.length + failed.length, "picture")}: ${parts.join(", ")}`;
}

function add(counts, name) {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

function arrange() { // the pictures that were added last come first
  const isByDoubt = byId("doubt").checked;
  const sorted = [...items].sort((one, other) =>
    other.group - one.group || (isByDoubt && (rank(one) - rank(other) || score(one) - score(other))) || one.number - other.number);
  if (sorted.every(({ row }, index) => row === rows.children[index])) return;
  const focused = document.activeElement;
  rows.replaceChildren(...sorted.map(({ row }) => row));
  focused.focus({ preventScroll: true }); // moving an element takes the focus away from it
}

function rank({ answer }) { // files without an answer come first
  return answer ? ["unknown", "unsure", "likely", "sure"].indexOf(verdict(answer).kind) : -1;
}

function score({ answer }) { return answer?.score ?? 0; }

function makeTable() {
  const isMultiLabel = items.some(({ answer }) => answer?.labels);
  const lines = [...rows.children].map((row) => {
    const { path, answer = {}, error } = itemOf.get(row);
    const { label = "", score = "", known = "", novelty = "", set, labels = [] } = answer;
    const joined = isMultiLabel ? [labels.map(({ label }) => label).sort().join("|")] : [];
    return [path, label, score, `${known}`, novelty, set ? `[${set.map((name) => JSON.stringify(name)).join(", ")}]` : "", ...joined, error ?? ""];
  });
  const columns = isMultiLabel ? COLUMNS.toSpliced(-1, 0, "labels") : COLUMNS;
  return [columns, ...lines].map((cells) => `${cells.map(cell).join()}\n`).join("");
}

function cell(value) { // texts are quoted and numbers are rounded, as `service.predict --csv` does it
  if (typeof value === "string") return `"${value.replaceAll('"', '""')}"`;
  const rounded = Number(value.toPrecision(7));
  return Number.isInteger(rounded) ? rounded.toFixed(1) : String(rounded);
}

byId("table").addEventListener("click", () => {
  const address = URL.createObjectURL(new Blob(["\ufeff", makeTable()], { type: "text/csv" })); // Excel needs the mark for UTF-8
  element("a", "", { href: address, download: "answers.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
});
byId("doubt").addEventListener("change", arrange);
