"use strict";
// "Why?": the picture with colours that show where the model looked, and the most similar training pictures.

const MAP_PIXELS = 560; // the longer side of the picture under the heat map
// Cividis (Nuñez, Anderton and Renslow 2018): dark blue to yellow, for people with any colour vision.
const COLOURS = [[0, 34, 78], [53, 69, 108], [102, 105, 112], [148, 142, 119], [200, 184, 102], [254, 232, 56]];
const OPACITY = 0.62;

async function toggleExplanation(item) {
  const button = item.row.querySelector(".why"), panel = item.row.querySelector(".explanation");
  const isOpen = button.getAttribute("aria-expanded") === "true";
  button.setAttribute("aria-expanded", String(!isOpen));
  panel.hidden = isOpen;
  if (isOpen || item.isExplained) return; // it is kept for the next time
  item.isExplained = true;
  panel.replaceChildren(element("p", "looking at the picture …", { role: "status" }));
  const headers = { "Content-Type": mediaType(item.file) };
  const { content, error } = await request("explain", "json", { method: "POST", body: item.file, headers });
  if (error) {
    item.isExplained = false;
    if (error.status === 401) lock(error);
    return panel.replaceChildren(element("p", error.message, { role: "alert" }));
  }
  const rows = content.heat_map;
  const parts = rows.flat().some((value) => value > 0) ? [await makeHeatMap(item, rows)] : [element("p", "No part of the picture speaks for this class.")];
  if (content.nearest?.length) parts.push(makeNearest(content.nearest));
  panel.replaceChildren(...parts);
}

// Files of other types are sent as bytes: the server identifies the format by the content.
function mediaType(file) { return file.type.startsWith("image/") ? file.type : "application/octet-stream"; }

async function makeHeatMap({ file, path, answer }, rows) {
  const figure = byId("heat").content.firstElementChild.cloneNode(true), canvas = figure.querySelector("canvas");
  const picture = await createImageBitmap(file).catch(() => null); // a browser may not read the format
  const [width, height] = picture ? [picture.width, picture.height] : [MAP_PIXELS, MAP_PIXELS];
  const scale = MAP_PIXELS / Math.max(width, height);
  Object.assign(canvas, { width: Math.max(1, width * scale), height: Math.max(1, height * scale) });
  canvas.setAttribute("aria-label", `${path}: where the model looked`);
  if (answer.labels) figure.querySelector("figcaption").firstChild.data = `What speaks for ${answer.label} `;
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  if (picture) context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  picture?.close();
  context.globalAlpha = picture ? OPACITY : 1;
  context.imageSmoothingQuality = "low"; // bilinear
  context.drawImage(colourGrid(rows), 0, 0, canvas.width, canvas.height);
  return figure;
}

function colourGrid(rows) { // one pixel for each number of the heat map
  const grid = new ImageData(rows[0].length, rows.length);
  rows.flat().forEach((value, index) => grid.data.set([...colourOf(value), 255], 4 * index));
  const canvas = element("canvas", "", { width: grid.width, height: grid.height });
  canvas.getContext("2d").putImageData(grid, 0, 0);
  return canvas;
}

function colourOf(value) {
  const place = Math.min(Math.max(value, 0), 1) * (COLOURS.length - 1), index = Math.min(Math.floor(place), COLOURS.length - 2);
  return COLOURS[index].map((low, channel) => low + (place - index) * (COLOURS[index + 1][channel] - low));
}

function makeNearest(pictures) {
  const part = byId("nearest").content.firstElementChild.cloneNode(true);
  part.querySelector("ul").append(...pictures.map(({ path, label, thumbnail }) => {
    const item = element("li", "", { title: path });
    if (thumbnail) item.append(element("img", "", { src: thumbnail, alt: "" }));
    item.append(element("span", label), element("span", path.split("/").at(-1), { className: "quiet" }));
    return item;
  }));
  return part;
}
