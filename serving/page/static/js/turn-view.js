// One turn on the page: the question, the answer as it grows, what went wrong, and what can be done with it.
import { MarkdownView } from "./markdown.js";

/** An element with properties and children: element("p", { className: "note" }, "text"). */
function element(name, properties = {}, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
}

function button(text, onclick) {
  return element("button", { type: "button", className: "plain small", textContent: text, onclick });
}

/** Copies the text that `read` returns. Browsers offer the clipboard only on https and on this machine. */
function copyButton(read) {
  const copy = button("Copy", async () => {
    const copied = await navigator.clipboard.writeText(read()).then(() => true, () => false);
    copy.textContent = copied ? "Copied" : "Not allowed";
    setTimeout(() => (copy.textContent = "Copy"), 2000);
  });
  copy.hidden = !navigator.clipboard;
  return copy;
}

/** Code gets its language and a copy button; code and tables scroll by themselves, by keyboard too. */
function dress(fragment) {
  for (const pre of fragment.querySelectorAll("pre")) {
    pre.tabIndex = 0;
    const top = element("div", { className: "code-top" });
    const figure = element("div", { className: "code" }, top);
    pre.replaceWith(figure);
    top.append(element("span", {}, pre.dataset.language || "text"), copyButton(() => pre.textContent));
    figure.append(pre);
  }
  for (const table of fragment.querySelectorAll("table")) {
    const frame = element("div", { className: "table", tabIndex: 0 });
    table.replaceWith(frame);
    frame.append(table);
  }
}

export class TurnView {
  #turn;
  #text = element("div", { className: "text" });
  #markdown = new MarkdownView(this.#text, dress);
  #note = element("p", { className: "note" });
  #info = element("span", { className: "info" });
  #copy = copyButton(() => this.#turn.answer);
  #retry;
  #actions;
  #answer;

  /** `onRetry` is called when the person asks for this turn's answer once more. */
  constructor(turn, onRetry) {
    this.#turn = turn;
    this.#retry = button("Retry", onRetry);
    this.#actions = element("div", { className: "actions" }, this.#copy, this.#retry, this.#info);
    const title = (text) => element("h2", { className: "unseen" }, text);
    this.#answer = element("article", { className: "answer" }, title("Answer"), this.#text, this.#note, this.#actions);
    const question = element("article", { className: "question" }, title("You"), element("p", {}, turn.question));
    this.element = element("section", { className: "turn" }, question, this.#answer);
  }

  /** Shows the turn as it is now. Only the last one can be retried: later ones build on the earlier ones. */
  update({ isLast }) {
    const { answer, state, note, info } = this.#turn;
    const isAnswering = state === "answering";
    this.#answer.dataset.state = state;
    this.#markdown.update(answer);
    this.#note.textContent = note;
    this.#info.textContent = info;
    this.#copy.hidden = !navigator.clipboard || answer === "";
    this.#retry.hidden = !isLast;
    this.#actions.hidden = isAnswering;
  }
}
