"use strict";
// Requests to the server: the API key, pauses while the server is busy, and errors in words.

const MAX_TRIES = 5, MAX_PAUSE_SECONDS = 10, TIMEOUT_MS = 90_000;
let key = "";

// Returns {content}, read as "json" or "blob", or {error: {message, status, code, sent}}, where `sent` is
// the API key of the request. Tries again while the server is busy.
async function request(path, kind, init = {}, onPause = () => {}) {
  for (let tries = 1; ; tries++) {
    const { content, error, response } = await send(path, kind, init);
    const isBusy = error?.status === 429 || error?.status === 503;
    if (!isBusy || tries === MAX_TRIES) return { content, error };
    const seconds = Math.min(Number(response.headers.get("Retry-After")) || 1, MAX_PAUSE_SECONDS);
    onPause(seconds);
    await new Promise((done) => setTimeout(done, seconds * (1 + Math.random() / 2) * 1000));
  }
}

async function send(path, kind, init) {
  const sent = key, headers = { ...init.headers, ...(sent && { "X-API-Key": sent }) };
  const refuse = (message, code, status = 0) => ({ message, code, status, sent });
  let response;
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    response = await fetch(path, { ...init, headers, signal, cache: "no-store" });
    if (response.ok) return { content: await response[kind]() };
  } catch (error) {
    if (response) return { error: refuse("the answer of the server cannot be read; try again later", "unavailable") };
    const slow = `the server did not answer within ${count(TIMEOUT_MS / 1000, "second")}; try again`;
    const unreached = "the server cannot be reached; check your connection and try again";
    return { error: refuse(error.name === "TimeoutError" ? slow : unreached, "unavailable") };
  }
  const { status } = response, { error } = (await response.json().catch(() => null)) ?? {};
  const message = error?.message ?? `the server answered with error ${status}; try again later`;
  return { error: refuse(message, error?.code ?? (status >= 500 ? "unavailable" : "refused"), status), response };
}

function byId(id) { return document.getElementById(id); }

// Names of files and classes may contain markup: `textContent` inserts them as text only.
function element(tag, text = "", properties = {}) {
  return Object.assign(document.createElement(tag), { textContent: text, ...properties });
}

function count(number, one, many = `${one}s`) { return `${number.toLocaleString("en")} ${number === 1 ? one : many}`; }
