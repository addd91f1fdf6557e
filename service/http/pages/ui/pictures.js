"use strict";
// Pictures are chosen, dropped or pasted here, and sent to the server in small requests.

const MAX_FILES = 500, MAX_REQUESTS = 2;
const MAX_PICTURES = 8, MAX_BYTES = 8 << 20; // of one request, so that progress shows and a slow line is fast enough
const PART_BYTES = 1024; // more than a picture's headers in the body of a request
// Codes of errors after which it is worth trying again; the last one is given in server.js.
const TEMPORARY = ["overloaded", "draining", "deadline_exceeded", "request_timeout", "service_unavailable", "unavailable"];
const rows = byId("rows"), items = [], waiting = [];
let running = 0, groups = 0;

// Adds files, or {file, path} of the files of a folder.
function addFiles(files, skipped = 0) {
  const found = [...files].map((file) => (file instanceof File ? { file, path: file.name } : file));
  const notes = [];
  if (found.length > MAX_FILES) notes.push(`Only the first ${MAX_FILES} of ${count(found.length, "picture")} were taken: add the others afterwards.`);
  if (skipped) notes.push(`${count(skipped, "file")} that ${skipped === 1 ? "is not a picture was" : "are not pictures were"} left out.`);
  byId("note").textContent = notes.join(" ");
  const group = groups++;
  const added = found.slice(0, MAX_FILES).map(({ file, path }, number) => {
    const item = { file, path, bytes: file.size, group, number };
    item.row = makeRow(item);
    return item;
  });
  items.push(...added);
  rows.prepend(...added.map(({ row }) => row));
  enqueue(added);
}

function enqueue(added) {
  for (const item of added) showState(item, "waiting", isLocked ? "waiting for the API key" : "waiting");
  waiting.push(...added);
  if (added.length) byId("status").textContent = `classifying ${count(added.length, "picture")}`;
  startNext();
}

function startNext() {
  while (!isLocked && running < MAX_REQUESTS && waiting.length) {
    running++;
    classify(takeNext()).finally(() => { running--; startNext(); });
  }
  showSummary();
}

function takeNext() { // the pictures of one request, at least one
  const most = Math.min(MAX_PICTURES, limits.pictures), mostBytes = Math.min(MAX_BYTES, limits.request_bytes);
  let number = 0, bytes = 0;
  while (number < Math.min(most, waiting.length)) {
    bytes += waiting[number].bytes + PART_BYTES;
    if (number && bytes > mostBytes) break;
    number++;
  }
  return waiting.splice(0, number);
}

async function classify(taken) {
  for (const item of taken) showState(item, "running", "classifying …");
  const batch = await keepReadable(taken);
  if (!batch.length) return;
  const body = new FormData();
  for (const { file } of batch) body.append("images", file, "picture"); // the server needs no names
  const pause = (seconds) => {
    for (const item of batch) showState(item, "running", `the server is busy; trying again in ${count(seconds, "second")} …`);
  };
  const { content, error } = await request("predict_batch", "json", { method: "POST", body }, pause);
  if (error) return refuseAll(batch, error);
  batch.forEach((item, index) => {
    const { error, ...answer } = content.results[index];
    if (error) fail(item, error.code, error.message);
    else showAnswer(item, answer);
  });
  if (content.model.version !== version) showModel();
}

async function refuseAll(batch, error) {
  if (error.status === 401) {
    lock(error);
    for (const item of batch) showState(item, "waiting", "waiting for the API key");
    waiting.unshift(...batch);
  } else {
    const left = await keepReadable(batch);
    if (left.length < batch.length) waiting.unshift(...left); // the others made the request fail
    else for (const item of left) fail(item, error.code, error.message);
  }
}

async function keepReadable(taken) {
  const firstBytes = taken.map(({ file }) => file.slice(0, 1).arrayBuffer().then(({ byteLength }) => byteLength, () => -1));
  const areReadable = (await Promise.all(firstBytes)).map((bytes, index) => bytes === Math.min(1, taken[index].bytes));
  return taken.filter((item, index) => {
    if (!areReadable[index]) fail(item, "unreadable_file", "this file cannot be read: it may be a folder, or it may have been deleted; choose the picture again");
    return areReadable[index];
  });
}

function fail(item, code, message) {
  item.error = `${code}: ${message}`;
  item.isTemporary = TEMPORARY.includes(code);
  showState(item, "failed", message);
}

// The files of folders and of their sub-folders, in the order of their names.
async function walk(entry) {
  const call = (method) => new Promise((done, failed) => method.call(entry.isFile ? entry : reader, done, failed));
  const reader = entry.isFile ? null : entry.createReader();
  if (entry.isFile) return [{ file: await call(entry.file), path: entry.fullPath.slice(1) }];
  const children = [];
  for (let some; (some = await call(reader.readEntries)).length;) children.push(...some);
  children.sort((one, other) => (one.name < other.name ? -1 : 1));
  return (await Promise.all(children.map(walk))).flat();
}

async function addDropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return addFiles(transfer.files);
  const found = (await Promise.all(entries.map(walk))).flat();
  const pictures = found.filter(({ file }) => !file.name.startsWith(".") && /^(image\/|$)/.test(file.type));
  addFiles(pictures, found.length - pictures.length);
}

byId("files").addEventListener("change", (event) => {
  addFiles(event.target.files);
  event.target.value = ""; // the same picture may be chosen again
});
byId("retry").addEventListener("click", () => {
  byId("files").focus({ preventScroll: true }); // the button will be gone
  const failed = items.filter(({ state, isTemporary }) => state === "failed" && isTemporary);
  for (const item of failed) delete item.error;
  enqueue(failed);
});
byId("clear").addEventListener("click", () => {
  waiting.length = items.length = 0;
  rows.replaceChildren();
  byId("note").textContent = "";
  showSummary();
  byId("files").focus();
});
const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
for (const name of ["dragenter", "dragover"]) addEventListener(name, (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault(); // otherwise the browser would open the picture instead of this page
  event.dataTransfer.dropEffect = "copy";
  document.body.classList.add("over");
});
addEventListener("dragleave", (event) => event.relatedTarget ?? document.body.classList.remove("over"));
addEventListener("drop", (event) => {
  document.body.classList.remove("over");
  if (!hasFiles(event)) return;
  event.preventDefault();
  addDropped(event.dataTransfer);
});
addEventListener("paste", (event) => {
  if (!event.clipboardData?.files.length) return;
  event.preventDefault();
  addFiles(event.clipboardData.files);
});
showModel();
