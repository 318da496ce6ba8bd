// One answer, from the request to its outcome; every turn ends in exactly one state.
import { streamAnswer } from "./api.js";
import { textOf } from "./errors.js";

/**
 * Fills `turn` from the server and calls `changed(part)` after each piece. Never throws: what went wrong is the turn's
 * `state` and `note`. Returns the error of a failed turn, else null.
 */
export async function answerTurn(turn, { signal, changed, ...request }) {
  const begin = performance.now();
  let finishReason = null;
  let tokens = null;
  try {
    for await (const part of streamAnswer({ ...request, signal })) {
      turn.answer += part.text;
      finishReason = part.finishReason ?? finishReason;
      tokens = part.usage?.completion_tokens ?? tokens;
      changed(part);
    }
  } catch (error) {
    if (signal.aborted) Object.assign(turn, stopped(turn));
    else Object.assign(turn, { state: "failed", note: textOf(error) });
    return signal.aborted ? null : error;
  }
  Object.assign(turn, finished(turn, finishReason));
  turn.info = figures(tokens, (performance.now() - begin) / 1000);
  return null;
}

function stopped({ answer }) {
  return { state: "stopped", note: answer ? "Stopped." : "Stopped before the answer began." };
}

function finished({ answer }, finishReason) {
  if (finishReason === "length") {
    return { state: "cut", note: "Cut off: this is as long as an answer may become here." };
  }
  return { state: "complete", note: answer.trim() ? "" : "The model gave an empty answer." };
}

function figures(tokens, seconds) {
  const took = `${seconds.toFixed(1)} s`;
  if (tokens === null) return took;
  return `${tokens} ${tokens === 1 ? "token" : "tokens"} in ${took}`;
}
