// A conversation is a list of turns: what the person asked, and what became of the answer.

/** @typedef {"answering"|"complete"|"cut"|"stopped"|"failed"} State */
/** @typedef {{question: string, answer: string, state: State, note: string, info: string}} Turn */

const STATES = ["complete", "cut", "stopped", "failed"];

/** @returns {Turn} */
export function newTurn(question) {
  return { question, answer: "", state: "answering", note: "", info: "" };
}

/** What is sent for the last turn. Turns without an answer are left out: many chat templates insist on alternation. */
export function messagesFor(turns) {
  const before = turns.slice(0, -1).filter((turn) => turn.answer.trim() !== "");
  return [
    ...before.flatMap(({ question, answer }) => [
      { role: "user", content: question },
      { role: "assistant", content: answer },
    ]),
    { role: "user", content: turns.at(-1).question },
  ];
}

/** The latest turns whose JSON fits into `limit` characters. */
export function latestWithin(turns, limit) {
  let size = 0;
  let first = turns.length;
  while (first > 0 && (size += JSON.stringify(turns[first - 1]).length + 1) <= limit) first -= 1;
  return turns.slice(first);
}

/** Turns out of storage, which anybody may have written: what has not the shape of a turn is dropped. */
export function readTurns(json) {
  let stored;
  try {
    stored = JSON.parse(json);
  } catch {
    return [];
  }
  return Array.isArray(stored) ? stored.filter(isTurn).map(settled) : [];
}

function isTurn(turn) {
  return ["question", "answer", "state", "note", "info"].every((name) => typeof turn?.[name] === "string");
}

/** A turn that was saved in the middle of its answer was cut off by a reload. */
function settled(turn) {
  return STATES.includes(turn.state) ? turn : { ...turn, state: "stopped", note: "Stopped." };
}
