// What went wrong, as a sentence for the person in front of the page.

export const BROKEN = "The connection broke before the answer was complete.";
export const UNREACHABLE = "The server cannot be reached. Check that it is running, then retry.";
export const UNREADABLE = "The server sent something that is not a chat answer.";

const HEADLINES = {
  400: "The server did not accept the request.",
  401: "The API key is missing or wrong: enter one above, under API key.",
  403: "This API key may not use this server.",
  404: "The server does not know this address or model.",
  413: "The message is too large for the server.",
  429: "The server is busy.",
  500: "The server failed while answering.",
  502: "The server did not answer.",
  503: "The server is not ready or full.",
  504: "The server took too long.",
};
// Refusals whose own text speaks to programs: how to set a header is no help here.
const SPEAK_TO_PROGRAMS = [401, 403];
// Bodies that stand for no more than their status line: the router in front of the API writes them itself.
const SAYS_NOTHING = /^(internal server error|request dropped due to backpressure|not found|bad gateway|service unavailable|gateway time-?out)\b/i;

/** A failure with a text that can be shown as it is; `status` is 0 where there was no status line. */
export class ChatError extends Error {
  constructor(message, { status = 0, code = null } = {}) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** The ChatError for an answer with an error status: OpenAI's shape, FastAPI's, plain text, or an HTML page. */
export async function fromResponse(response) {
  const { message, code } = readBody(await response.text(), response.headers.get("Content-Type") ?? "");
  const wait = waitText(response.headers.get("Retry-After"));
  const headline = HEADLINES[response.status] ?? `The request failed (HTTP ${response.status}).`;
  const detail = SPEAK_TO_PROGRAMS.includes(response.status) ? "" : message;
  const text = [headline, detail, hint(code), wait].filter(Boolean).join(" ");
  return new ChatError(text, { status: response.status, code });
}

/** The ChatError for an `error` event in the middle of an answer. */
export function fromEvent(error) {
  const message = typeof error === "string" ? error : error?.message;
  return new ChatError(["The server failed while answering.", sentence(message ?? "")].filter(Boolean).join(" "));
}

/** Whatever was thrown, as a text to show; what is not a ChatError is a fault of this page and says so. */
export function textOf(error) {
  if (error instanceof ChatError) return error.message;
  console.error(error);
  return `This page failed: ${error.message}`;
}

function readBody(text, contentType) {
  try {
    const body = JSON.parse(text);
    const detail = typeof body.detail === "string" ? body.detail : "";
    return { message: sentence(body.error?.message ?? detail), code: body.error?.code ?? null };
  } catch {
    const isText = contentType.startsWith("text/plain") && !SAYS_NOTHING.test(text.trim());
    return { message: isText ? sentence(text) : "", code: null };
  }
}

function hint(code) {
  return code === "context_length_exceeded" ? "Start a new chat, or write less." : "";
}

function sentence(text) {
  const short = String(text).trim().slice(0, 400);
  return short && !/[.!?…]$/.test(short) ? `${short}.` : short;
}

/** Retry-After holds seconds or a date. */
function waitText(header) {
  if (!header) return "";
  const seconds = /^\d+(\.\d+)?$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  if (Number.isNaN(seconds)) return "";
  const whole = Math.max(1, Math.ceil(seconds));
  return whole < 90 ? `Try again in ${whole} ${whole === 1 ? "second" : "seconds"}.` : `Try again in ${Math.ceil(whole / 60)} minutes.`;
}
