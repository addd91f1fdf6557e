"use strict";
// The head of the page: what the model is and how good it is, its sample pictures, and the API key.

const limits = { pictures: 1, request_bytes: Infinity }; // until the model is known
let version = "", isLocked = false, reportUrl = "";

async function showModel() { // returns whether the model is shown
  const { content: model, error } = await request("model", "json");
  if (error?.status === 401) lock(error);
  if (error) {
    byId("facts").textContent = isLocked ? "enter the API key to see the model" : `the model cannot be shown: ${error.message}`;
    return false;
  }
  if (model.version !== version) showSamples(model.samples);
  version = model.version;
  reportUrl = "";
  Object.assign(limits, model.limits);
  showWarnings(model);
  byId("model").textContent = model.name;
  byId("quality").textContent = quality(model.metrics);
  byId("quality").hidden = !byId("quality").textContent;
  byId("facts").textContent = facts(model);
  byId("version").replaceChildren("version ", element("code", version));
  byId("report").hidden = !model.report;
  byId("files").accept = model.input.kinds.map((kind) => `image/${kind.toLowerCase()}`).join();
  byId("hint").firstChild.data = `One or several pictures (${model.input.kinds.join(", ")})`;
  showClasses(model.classes);
  return true;
}

function showWarnings({ name, data, warnings = [] }) {
  const isDrawn = data?.source === "drawn sample pictures";
  document.title = `${name}${isDrawn ? " · drawn sample pictures" : ""} · Graft`;
  const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`;
  byId("warnings").replaceChildren(...warnings.map((text) => element("li", sentence(text))));
  byId("warnings").hidden = !warnings.length;
}

function showClasses(names) {
  const classes = byId("classes");
  classes.querySelector("summary").textContent = count(names.length, "class", "classes");
  classes.querySelector("ul").replaceChildren(...names.map((name) => element("li", name)));
  classes.open = names.length <= 12;
  classes.hidden = false;
}

function quality(metrics) { // "" for a bundle of an older version, which has no accuracy
  const { test_accuracy: accuracy, test_pictures: pictures } = metrics ?? {};
  if (!(accuracy >= 0)) return "";
  const of = pictures < 100 ? pictures : 100;
  const right = metrics.test_macro_f1 >= 0 ? "All labels right" : "Right"; // only multi-label models have the figure
  return `${right} ${times(accuracy, of)} of ${of} times on pictures it had not seen`;
}

function times(accuracy, of) { // "100 of 100" and "0 of 100" only if they are exact
  const right = Math.round(accuracy * of);
  if (right === of && accuracy < 1) return `more than ${of - 1}`;
  if (right === 0 && accuracy > 0) return "less than 1";
  return `${right}`;
}

function facts({ metrics, created, data }) {
  const { test_pictures: pictures, test_accuracy_low: low, test_accuracy_high: high } = metrics ?? {};
  const range = low >= 0 ? `; in the long run, probably ${Math.round(100 * low)} to ${Math.round(100 * high)} of 100` : "";
  const tested = pictures > 0 ? `Tested on ${count(pictures, "picture")}${range}. ` : "";
  const date = new Date(created);
  const on = isNaN(date) ? "" : ` on ${date.toLocaleDateString("en-GB", { dateStyle: "long", timeZone: "UTC" })}`;
  const others = data?.pictures - (pictures ?? 0);
  const from = others > 0 ? ` with ${count(others, "other picture")}` : "";
  return tested + (on || from ? `Made${on}${from}.` : "");
}

async function showSamples(number) {
  const list = byId("samples").querySelector("ul");
  list.replaceChildren();
  byId("samples").hidden = !number;
  for (let index = 0; index < number; index++) {
    const name = `sample ${index + 1}`;
    const button = element("button", "", { type: "button" });
    button.setAttribute("aria-label", `Classify ${name}`);
    const item = element("li");
    item.append(button);
    list.append(item);
    const { content, error } = await request(`samples/${index}`, "blob");
    if (error) {
      item.remove();
      continue;
    }
    const address = URL.createObjectURL(content);
    button.append(element("img", "", { alt: "", src: address, onload: () => URL.revokeObjectURL(address) }));
    button.onclick = () => addFiles([new File([content], `${name}.jpg`, { type: content.type })]);
  }
}

byId("report").addEventListener("click", async (event) => {
  if (!key) return; // the link itself works
  event.preventDefault(); // a link cannot send the API key
  const tab = window.open("about:blank"); // now, because browsers block windows that open later
  const { content, error } = reportUrl ? {} : await request("report", "blob");
  if (content) reportUrl = URL.createObjectURL(content);
  if (!error) return tab.location.replace(reportUrl);
  tab.close();
  byId("note").textContent = `the report cannot be shown: ${error.message}`;
});

function lock(error) {
  if (error.sent !== key) return; // the user has entered another key since this request
  byId("wrong").textContent = key ? "This key is not accepted. Check it, and enter it again." : "";
  if (isLocked) return;
  isLocked = true;
  byId("lock").hidden = false;
  byId("key").focus();
}

byId("lock").addEventListener("submit", async (event) => {
  event.preventDefault();
  const given = byId("key").value.trim();
  try {
    new Headers({ "X-API-Key": given });
  } catch {
    byId("wrong").textContent = "This key contains characters that an API key cannot have. Check it, and enter it again.";
    return;
  }
  key = given;
  if (!(await showModel())) return byId("key").select();
  isLocked = false;
  byId("lock").hidden = true;
  byId("key").value = byId("wrong").textContent = "";
  byId("files").focus();
  startNext();
});
