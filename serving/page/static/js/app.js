// The page's composition: joins what the person does with the conversation, the API and what is shown.
import { answerTurn } from "./answering.js";
import { listModels } from "./api.js";
import { messagesFor, newTurn } from "./conversation.js";
import { textOf } from "./errors.js";
import { Log } from "./log.js";
import { Models } from "./models.js";
import * as storage from "./storage.js";

const byId = (id) => document.getElementById(id);
const message = byId("message");
const keyPanel = byId("key-panel");

let turns = storage.loadTurns();
let key = storage.loadKey();
let running = null; // the AbortController of the answer that is being written; null while there is none

const log = new Log(retry);
const models = new Models(storage.saveModel);

function say({ notice, status }) {
  if (notice !== undefined) byId("notice").textContent = notice;
  if (status !== undefined) byId("status").textContent = status;
}

function save() {
  say({ notice: storage.saveTurns(turns) });
}

async function loadModels() {
  try {
    models.show(await listModels(key), storage.loadModel());
    say({ notice: "" });
  } catch (error) {
    models.show([], "");
    say({ notice: textOf(error) });
    askForKey(error);
  }
}

function askForKey(error) {
  if (error?.status !== 401) return;
  keyPanel.open = true;
  byId("key").focus();
}

function send(text) {
  if (text === "" || running) return;
  message.value = "";
  fitMessage();
  const turn = newTurn(text);
  turns.push(turn);
  log.append(turn);
  answer(turn);
}

function retry() {
  if (running) return;
  turns[turns.length - 1] = newTurn(turns.at(-1).question);
  log.show(turns);
  answer(turns.at(-1));
}

async function answer(turn) {
  const controller = begin();
  if (!models.chosen) await loadModels();
  const error = await answerTurn(turn, {
    key,
    model: models.chosen,
    messages: messagesFor(turns),
    signal: controller.signal,
    changed: ({ fingerprint }) => {
      models.noteFingerprint(fingerprint);
      if (running === controller) log.drawSoon();
    },
  });
  if (running !== controller) return; // a new chat has begun meanwhile
  end(turn);
  askForKey(error);
  if (error?.status === 404) loadModels(); // the server may have changed its model since the page was loaded
}

function begin() {
  running = new AbortController();
  showRunning(true);
  say({ status: "Answering…" });
  save();
  return running;
}

function end(turn) {
  // After a failure the server may still be sending.
  if (turn.state === "failed") running.abort();
  running = null;
  log.drawNow();
  showRunning(false);
  say({ status: turn.note || "Answer complete." });
  save();
}

function showRunning(isRunning) {
  const hadFocus = byId("stop") === document.activeElement;
  byId("send").hidden = isRunning;
  byId("stop").hidden = !isRunning;
  log.busy = isRunning;
  if (hadFocus) message.focus();
}

function stop() {
  running?.abort();
}

function newChat() {
  stop();
  running = null;
  turns = [];
  log.show(turns);
  showRunning(false);
  say({ status: "New chat." });
  save();
  message.focus();
}

function fitMessage() {
  message.style.height = "auto";
  message.style.height = `${message.scrollHeight}px`;
}

function useKey() {
  key = byId("key").value.trim();
  storage.saveKey(key);
  showKey();
  keyPanel.open = false;
  message.focus();
  loadModels();
}

function showKey() {
  byId("key").value = key;
  byId("key-summary").textContent = key ? "API key ✓" : "API key";
}

function escape() {
  if (!keyPanel.open) return stop();
  keyPanel.open = false;
  byId("key-summary").focus();
}

byId("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  send(message.value.trim());
});
message.addEventListener("keydown", (event) => {
  // 229: Safari reports the Enter that ends a composition of characters this way only.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  send(message.value.trim());
});
message.addEventListener("input", fitMessage);
byId("stop").addEventListener("click", stop);
byId("new").addEventListener("click", newChat);
byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey();
});
byId("examples").addEventListener("click", ({ target }) => {
  if (target.tagName === "BUTTON") send(target.textContent);
});
addEventListener("keydown", (event) => {
  if (event.key === "Escape") escape();
});
addEventListener("pointerdown", ({ target }) => {
  if (!keyPanel.contains(target)) keyPanel.open = false;
});
// A reload in the middle of an answer keeps what has arrived. Stopping first, because the browser is about to cut the
// connection, which would look like a failure; phones announce their leaving only as "hidden".
addEventListener("beforeunload", stop);
addEventListener("pagehide", () => running && storage.saveTurns(turns));
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "hidden") return running && storage.saveTurns(turns);
  return models.chosen || loadModels();
});
storage.onOtherTab(() => {
  if (running) return;
  turns = storage.loadTurns();
  log.show(turns);
});

showKey();
log.show(turns);
loadModels();
// On a phone this would raise the keyboard over half of the page.
if (matchMedia("(pointer: fine)").matches) message.focus();
