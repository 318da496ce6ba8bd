// The conversation on the page: turns in order, the empty state, and staying at the end while an answer grows.
import { TurnView } from "./turn-view.js";

const NEAR_END = 80; // CSS pixels from the end that still count as "at the end"
const SHORTEST_PAUSE_MS = 33;

export class Log {
  #root = document.getElementById("log");
  #list = document.getElementById("turns");
  #empty = document.getElementById("empty");
  #latest = document.getElementById("latest");
  #views = [];
  #onRetry;
  #following = true; // until the person scrolls away from the end
  #timer = 0;
  #cost = 0;

  constructor(onRetry) {
    this.#onRetry = onRetry;
    this.#root.addEventListener("scroll", () => this.#noteScroll());
    this.#latest.addEventListener("click", () => this.#toEnd());
    new ResizeObserver(() => this.#keepUp()).observe(this.#root);
  }

  /** Replaces what is shown by `turns`. */
  show(turns) {
    this.#list.replaceChildren();
    this.#views = [];
    for (const turn of turns) this.#add(turn);
    this.#refresh();
    this.#toEnd();
  }

  /** Adds a turn at the end, and goes there. */
  append(turn) {
    this.#add(turn);
    this.#refresh();
    this.#toEnd();
  }

  /** Draws the last turn soon; a drawing that took long is not repeated at once, so that the page stays usable. */
  drawSoon() {
    this.#timer ||= setTimeout(() => this.drawNow(), Math.max(SHORTEST_PAUSE_MS, 4 * this.#cost));
  }

  /** Draws the last turn. */
  drawNow() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const begin = performance.now();
    this.#views.at(-1)?.update({ isLast: true });
    this.#keepUp();
    this.#cost = performance.now() - begin;
  }

  /** While it is busy, screen readers wait with what changes. */
  set busy(isBusy) {
    this.#root.setAttribute("aria-busy", String(isBusy));
  }

  #add(turn) {
    const view = new TurnView(turn, this.#onRetry);
    this.#views.push(view);
    this.#list.append(view.element);
    view.update({ isLast: true });
  }

  #refresh() {
    this.#empty.hidden = this.#views.length > 0;
    this.#views.forEach((view, index) => view.update({ isLast: index === this.#views.length - 1 }));
  }

  #toEnd() {
    this.#following = true;
    this.#keepUp();
  }

  #keepUp() {
    if (this.#following) this.#root.scrollTop = this.#root.scrollHeight;
    this.#latest.hidden = this.#isAtEnd();
  }

  #noteScroll() {
    this.#following = this.#latest.hidden = this.#isAtEnd();
  }

  #isAtEnd() {
    return this.#root.scrollHeight - this.#root.scrollTop - this.#root.clientHeight < NEAR_END;
  }
}
