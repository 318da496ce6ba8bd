// What outlives a reload: the conversation and the model in the browser, the API key in the tab only.
import { latestWithin, readTurns } from "./conversation.js";

const TURNS = "chat.turns";
const MODEL = "chat.model";
const KEY = "chat.key";
// Browsers allow about 5 million characters; at a quarter of it saving stays quick.
export const LIMIT = 1_250_000;

export const loadTurns = () => readTurns(read("localStorage", TURNS) || "[]");
export const loadModel = () => read("localStorage", MODEL);
export const saveModel = (model) => write("localStorage", MODEL, model);
export const loadKey = () => read("sessionStorage", KEY);
export const saveKey = (key) => write("sessionStorage", KEY, key);

/** Keeps the latest turns that fit; returns what the person should know about it, mostly "". */
export function saveTurns(turns) {
  const kept = latestWithin(turns, LIMIT);
  if (!write("localStorage", TURNS, JSON.stringify(kept))) {
    return "This browser has no room for the conversation, or keeps nothing for this page: it will be gone after a reload.";
  }
  const lost = turns.length - kept.length;
  if (lost === 0) return "";
  const what = lost === 1 ? "its first question and answer" : `its first ${lost} questions and answers`;
  return `This conversation is longer than the page keeps: ${what} will be gone after a reload. Start a new chat to begin afresh.`;
}

/** Calls `changed` when another tab of this page saved its conversation. */
export function onOtherTab(changed) {
  addEventListener("storage", (event) => {
    if (event.key === TURNS || event.key === null) changed();
  });
}

// Storage can be switched off or full; then reading is empty and writing says no. Even naming it may throw.
function read(storage, name) {
  try {
    return globalThis[storage].getItem(name) ?? "";
  } catch {
    return "";
  }
}

function write(storage, name, value) {
  try {
    globalThis[storage].setItem(name, value);
    return true;
  } catch {
    return false;
  }
}
