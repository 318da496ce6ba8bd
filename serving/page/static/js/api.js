// The OpenAI-shaped API, found beside the page: …/ui/ speaks to …/v1/, whatever path stands before both.
import { BROKEN, ChatError, UNREACHABLE, UNREADABLE, fromEvent, fromResponse } from "./errors.js";
import { events } from "./sse.js";

const API = new URL("../v1/", document.baseURI);

/** Ids of the served models. Throws ChatError. */
export async function listModels(key) {
  const response = await reach("models", { headers: authorization(key), cache: "no-store" });
  if (!response.ok) throw await fromResponse(response);
  const body = await response.json().catch(() => null);
  if (!Array.isArray(body?.data)) throw new ChatError(UNREADABLE);
  return body.data.map((model) => model.id);
}

/**
 * Streams one answer and yields {text, usage, finishReason, fingerprint}, each field only where its chunk had it.
 * Ends normally only after `[DONE]`; throws ChatError. Aborting `signal` throws AbortError and closes the connection, at
 * which the server stops computing.
 */
export async function* streamAnswer({ key, model, messages, signal }) {
  const response = await reach("chat/completions", {
    method: "POST",
    headers: { "Content-Type": "application/json", ...authorization(key) },
    body: JSON.stringify({ model, messages, stream: true, stream_options: { include_usage: true } }),
    signal,
  });
  if (!response.ok) throw await fromResponse(response);
  if (!response.headers.get("Content-Type")?.startsWith("text/event-stream")) throw new ChatError(UNREADABLE);
  for await (const { event, data } of events(response.body)) {
    if (data === "[DONE]") return;
    yield readChunk(event, data);
  }
  throw new ChatError(BROKEN);
}

function readChunk(event, data) {
  let chunk;
  try {
    chunk = JSON.parse(data);
  } catch {
    throw event === "error" ? fromEvent(data) : new ChatError(UNREADABLE);
  }
  if (event === "error" || chunk.error) throw fromEvent(chunk.error ?? chunk);
  const choice = chunk.choices?.[0];
  return {
    text: choice?.delta?.content ?? "",
    finishReason: choice?.finish_reason ?? null,
    usage: chunk.usage ?? null,
    fingerprint: chunk.system_fingerprint ?? "",
  };
}

async function reach(path, options) {
  try {
    return await fetch(new URL(path, API), options);
  } catch (error) {
    throw error instanceof TypeError ? new ChatError(UNREACHABLE) : error;
  }
}

function authorization(key) {
  return key ? { Authorization: `Bearer ${key}` } : {};
}
