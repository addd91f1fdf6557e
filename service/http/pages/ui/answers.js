"use strict";
// One picture and its answer: the verdict in words, then the bars.

const THUMB_PIXELS = 224;
const SURE_SCORE = 0.8, LIKELY_SCORE = 0.5; // scores are calibrated: below 0.8, more than 1 of 5 answers is wrong
let lastDrawn = Promise.resolve(); // pictures are decoded one after another, and only those in view
const inView = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    inView.unobserve(target);
    lastDrawn = lastDrawn.then(() => drawThumb(target));
  }
}, { rootMargin: "400px" });
const itemOf = new WeakMap();

function makeRow(item) {
  const row = byId("row").content.firstElementChild.cloneNode(true);
  row.querySelector(".name").textContent = row.querySelector(".name").title = item.path;
  const why = row.querySelector(".why");
  why.setAttribute("aria-label", `Why? ${item.path}`);
  why.onclick = () => toggleExplanation(item);
  itemOf.set(row, item);
  inView.observe(row);
  return row;
}

async function drawThumb(row) {
  const { file } = itemOf.get(row), thumb = row.querySelector(".thumb");
  try {
    const picture = await createImageBitmap(file), side = Math.min(picture.width, picture.height);
    const left = (picture.width - side) / 2, top = (picture.height - side) / 2;
    const context = thumb.firstElementChild.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(picture, left, top, side, side, 0, 0, THUMB_PIXELS, THUMB_PIXELS);
    picture.close();
  } catch { // not a picture, or of a format that this browser does not read
    thumb.dataset.kind = /\.(\w{1,5})$/.exec(file.name)?.[1].toUpperCase() ?? "?";
  }
}

function showState(item, state, text) {
  item.state = state;
  item.row.dataset.state = state;
  item.row.querySelector(".state").textContent = text;
}

function showAnswer(item, answer) {
  item.answer = answer;
  const { kind, text, note } = verdict(answer), { row } = item;
  showState(item, "done", note);
  row.dataset.verdict = kind;
  row.querySelector(".best .label").textContent = text;
  row.querySelector(".best .score").textContent = !answer.labels && (kind === "sure" || kind === "likely") ? percent(answer.score) : "";
  row.querySelector(".bars").replaceChildren(...answer.top.map((share) => makeBar(share, answer.labels?.map(({ label }) => label) ?? answer.set)));
  for (const part of [".best", ".bars", ".why"]) row.querySelector(part).hidden = false;
}

function verdict({ label, score, known, set, labels }) {
  if (known === false) return { kind: "unknown", text: "unlike anything it was trained on", note: `closest: ${label}` };
  if (labels?.length) return { kind: "sure", text: named(labels), note: "" };
  if (labels) return { kind: score < 1 - SURE_SCORE ? "sure" : "likely", text: "none of the labels", note: "" };
  if (set?.length > 1) return { kind: "unsure", text: `not sure: ${alternatives(set)}`, note: "" };
  if (score < LIKELY_SCORE) return { kind: "unsure", text: `not sure: perhaps ${label}`, note: "" };
  if (score < SURE_SCORE) return { kind: "likely", text: `probably ${label}`, note: "" };
  return { kind: "sure", text: label, note: "" };
}

function named(labels) { // "cat, dog"
  return labels.map(({ label }) => label).join(", ");
}

function alternatives(labels) {
  if (labels.length > 3) return `one of ${count(labels.length, "class", "classes")}`;
  return `${labels.slice(0, -1).join(", ")} or ${labels.at(-1)}`;
}

function makeBar({ label, score }, set) {
  const bar = byId("share").content.firstElementChild.cloneNode(true);
  bar.classList.toggle("chosen", Boolean(set?.includes(label)));
  bar.querySelector(".class-name").textContent = bar.querySelector(".class-name").title = label;
  bar.querySelector(".share").textContent = percent(score);
  bar.querySelector(".track span").style.width = `${100 * score}%`;
  return bar;
}

function percent(score) { // "100.0%" and "0.0%" only for exactly 1 and 0
  if (score > 0.999 && score < 1) return ">99.9%";
  if (score < 0.001 && score > 0) return "<0.1%";
  return `${(100 * score).toFixed(1)}%`;
}

function outcome({ row, state }) { // the text that a screen reader reads out for a picture
  const parts = state === "done" ? [".best .label", ".best .score", ".state"] : [".state"];
  return parts.map((part) => row.querySelector(part).textContent).filter(Boolean).join(", ");
}
