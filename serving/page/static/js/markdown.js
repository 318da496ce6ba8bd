// Markdown to DOM nodes. What a model writes is not trusted: HTML and images in it are shown as the text they are, links
// lead only to the web or to mail, and DOMPurify lets nothing through but the few elements below.
import DOMPurify from "../lib/dompurify.js";
import { Marked } from "../lib/marked.js";

const LINK = /^(https?|mailto):/i;
const SANITIZE = {
  ALLOWED_TAGS: ["p", "br", "strong", "em", "del", "code", "pre", "ul", "ol", "li", "blockquote", "hr", "a"].concat(
    ["h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"],
  ),
  ALLOWED_ATTR: ["href", "start", "align", "data-language"],
  ADD_URI_SAFE_ATTR: ["start", "align", "data-language"], // else their values would have to look like LINK, too
  ALLOWED_URI_REGEXP: LINK,
  ALLOW_DATA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};
const ESCAPES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
const escape = (text) => text.replace(/[&<>"']/g, (character) => ESCAPES[character]);
const language = (lang) => escape(/^\S*/.exec(lang ?? "")[0]);

const marked = new Marked({
  gfm: true,
  breaks: true,
  renderer: {
    html: ({ text, block }) => (block ? `<p>${escape(text.trim()).replaceAll("\n", "<br>")}</p>` : escape(text)),
    image: ({ raw }) => escape(raw),
    link: ({ href, raw }) => (LINK.test(href) ? false : escape(raw)),
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
    code: ({ text, lang }) => `<pre data-language="${language(lang)}"><code>${escape(text)}</code></pre>`,
  },
});

/**
 * One text that grows, drawn into `element`. Only blocks that changed are drawn again: a long answer stays cheap, and
 * what a person has marked in an earlier paragraph stays marked. `finish(fragment)` may dress a block before it is shown.
 */
export class MarkdownView {
  #element;
  #finish;
  #blocks = [];
  #links = 0;

  constructor(element, finish = () => {}) {
    this.#element = element;
    this.#finish = finish;
  }

  update(text) {
    const tokens = marked.lexer(text);
    const kept = this.#unchanged(tokens);
    for (const block of this.#blocks.splice(kept)) for (const node of block.nodes) node.remove();
    nestHeadings(tokens);
    for (const token of tokens.slice(kept)) this.#append(token);
  }

  #unchanged(tokens) {
    // A link's definition may follow its use and change blocks whose own text did not change.
    const links = Object.keys(tokens.links).length;
    if (links !== this.#links) {
      this.#links = links;
      return 0;
    }
    const changed = this.#blocks.findIndex(({ raw }, index) => raw !== tokens[index]?.raw);
    return changed === -1 ? this.#blocks.length : changed;
  }

  #append(token) {
    const fragment = DOMPurify.sanitize(marked.parser([token]), SANITIZE);
    for (const link of fragment.querySelectorAll("a")) {
      link.target = "_blank";
      link.rel = "noopener noreferrer";
    }
    this.#finish(fragment);
    this.#blocks.push({ raw: token.raw, nodes: [...fragment.childNodes] });
    this.#element.append(fragment);
  }
}

/** Below the page's own h1 and h2, and without leaps, so that the outline makes sense to a screen reader. */
function nestHeadings(tokens) {
  let above = 2;
  marked.walkTokens(tokens, (token) => {
    if (token.type === "heading") token.depth = above = Math.min(token.depth + 2, above + 1, 6);
  });
}
