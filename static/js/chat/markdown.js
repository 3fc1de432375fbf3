// From Markdown to sanitised DOM, block by block.
import { Marked } from "../../vendor/marked/marked.esm.js";
import { CodeBlock, frameCode } from "./code.js";
import { drawFormulas, extensions } from "./math.js";
import { prose } from "./sanitize.js";

/** Markup that can neither do nor hide anything; all other HTML that a model writes is shown as the text it is. */
const HARMLESS = /^<(?:\/?(?:b|i|u|s|em|strong|del|ins|mark|small|sub|sup|kbd)|br\s*\/?)>$/i;
const LINK = /^(?:https?:\/\/|mailto:)/i;

function escape(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

function markup(text) {
  return text.replace(/<[^<>]*>?|[^<]+|</g, (piece) => (HARMLESS.test(piece) ? piece : escape(piece)));
}

const renderer = {
  html({ text, block }) {
    return block ? `<p class="markup">${markup(text.trimEnd())}</p>` : markup(text);
  },
  // Inside some tags Marked hands on text as markup; here no text ever is. Entities stay what they are.
  text(token) {
    if (token.tokens) return this.parser.parseInline(token.tokens);
    return token.text.replace(/&(?!(?:#\d{1,7}|#[Xx][a-fA-F0-9]{1,6}|\w+);)/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  },
  // Remote images would tell strangers who reads what: the description stays, as a link where it has an address.
  image({ href, text }) {
    const label = `Image: ${escape(text || href)}`;
    return LINK.test(href) ? `<a href="${escape(href)}">${label}</a>` : label;
  },
  checkbox({ checked }) {
    return checked ? "☑ " : "☐ ";
  },
};

function parserFor(live) {
  const marked = new Marked({ gfm: true, renderer });
  marked.use({ extensions: extensions(live) });
  return marked;
}

const whole = parserFor(false);
const growing = parserFor(true);

/** The block tokens of `text`; `live` says that more of it may come. */
export function blocksOf(text, live) {
  return (live ? growing : whole).lexer(text);
}

function wrapTables(root) {
  for (const table of root.querySelectorAll("table")) {
    const frame = document.createElement("div");
    frame.className = "table-frame";
    frame.tabIndex = 0;
    frame.setAttribute("role", "group");
    frame.setAttribute("aria-label", "Table");
    table.replaceWith(frame);
    frame.append(table);
  }
}

/** Sanitised DOM of one token. */
function render(token) {
  const fragment = prose(whole.parser([token]));
  frameCode(fragment);
  wrapTables(fragment);
  drawFormulas(fragment);
  return fragment;
}

/** A block that is made anew whenever its source changes. */
class PlainBlock {
  constructor(type) {
    this.type = type;
    this.root = document.createElement("div");
    this.root.className = "block";
  }

  set(token) {
    this.root.replaceChildren(render(token));
  }
}

class FencedBlock {
  type = "code";
  #block = new CodeBlock();
  root = this.#block.root;

  constructor() {
    this.root.classList.add("block");
  }

  set(token, live) {
    this.#block.set(token.text, token.lang, live);
  }
}

/** A list makes only those items anew that changed: mostly the last. */
class ListBlock {
  type = "list";
  #keys = [];
  #list = null;

  constructor() {
    this.root = document.createElement("div");
    this.root.className = "block";
  }

  set(token) {
    const shape = `${token.ordered}:${token.start}:${token.loose}`;
    if (shape !== this.shape) {
      this.shape = shape;
      this.#keys = [];
      this.#list = document.createElement(token.ordered ? "ol" : "ul");
      if (token.ordered && token.start !== 1 && token.start !== "") this.#list.start = token.start;
      this.root.replaceChildren(this.#list);
    }
    token.items.forEach((item, index) => {
      if (this.#keys[index] === item.raw) return;
      this.#keys[index] = item.raw;
      const made = render({ ...token, items: [item] }).querySelector("li");
      const old = this.#list.children[index];
      if (old) old.replaceWith(made);
      else this.#list.append(made);
    });
    while (this.#list.children.length > token.items.length) this.#list.lastElementChild.remove();
    this.#keys.length = token.items.length;
  }
}

/** An empty block for tokens of this type: has `type`, `root` and `set(token, live)`. */
export function blockFor(type) {
  if (type === "code") return new FencedBlock();
  if (type === "list") return new ListBlock();
  return new PlainBlock(type);
}
