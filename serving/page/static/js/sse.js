// Server-sent events out of a streamed body, as the HTML standard frames them.
import { BROKEN, ChatError } from "./errors.js";

/** Takes text in any pieces; `push` returns the events that it completed, as {event, data}. Comments are dropped. */
export class EventParser {
  #rest = "";
  #event = "";
  #data = [];

  push(text) {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    return lines.map((line) => this.#line(line)).filter(Boolean);
  }

  #line(line) {
    if (line === "") return this.#dispatch();
    const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line);
    if (field === "data") this.#data.push(value);
    if (field === "event") this.#event = value;
    return null;
  }

  #dispatch() {
    const event = this.#data.length ? { event: this.#event || "message", data: this.#data.join("\n") } : null;
    this.#event = "";
    this.#data = [];
    return event;
  }
}

/**
 * The events of a response body. Throws ChatError where the connection breaks.
 * A reader, not `for await`: Safari before 26 cannot iterate over a body.
 */
export async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  const parser = new EventParser();
  try {
    for (let text = await readPart(reader); text !== null; text = await readPart(reader)) yield* parser.push(text);
  } finally {
    drain(reader);
  }
}

async function readPart(reader) {
  try {
    const { done, value } = await reader.read();
    return done ? null : value;
  } catch (error) {
    throw error instanceof TypeError ? new ChatError(BROKEN) : error;
  }
}

/** Reads on to the end: to cancel after the last event would look to the server like a person who left. */
async function drain(reader) {
  try {
    while (!(await reader.read()).done);
  } catch {
    // Broken or aborted: it has ended, too.
  }
}
