// @ts-check
// From Markdown to sanitised DOM, block by block.
import { Marked } from "../../vendor/marked/marked.esm.js";
import { find } from "../shared/dom.js";
import { chat as words } from "../shared/words.js";
import { CodeBlock, frameCode } from "./code.js";
import { drawFormulas, extensions } from "./math.js";
import { prose } from "./sanitize.js";

/**
 * @import { RendererObject, Token, Tokens } from "marked"
 * @typedef {object} Block A part of the page that shows one token.
 * @property {string} type the type of tokens that it shows
 * @property {HTMLElement} root
 * @property {(token: Token, live: boolean) => void} set
 */

/** Markup that can neither do nor hide anything; all other HTML that a model writes is shown as the text it is. */
const HARMLESS = /^<(?:\/?(?:b|i|u|s|em|strong|del|ins|mark|small|sub|sup|kbd)|br\s*\/?)>$/i;
const LINK = /^(?:https?:\/\/|mailto:)/i;

/** @param {string} text */
function escape(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

/** @param {string} text */
function markup(text) {
  return text.replace(/<[^<>]*>?|[^<]+|</g, (piece) => (HARMLESS.test(piece) ? piece : escape(piece)));
}

/** @type {RendererObject} */
const renderer = {
  html({ text, block }) {
    return block ? `<p class="markup">${markup(text.trimEnd())}</p>` : markup(text);
  },
  // Inside some tags Marked hands on text as markup; here no text ever is. Entities stay what they are.
  text(token) {
    if ("tokens" in token && token.tokens) return this.parser.parseInline(token.tokens);
    return token.text.replace(/&(?!(?:#\d{1,7}|#[Xx][a-fA-F0-9]{1,6}|\w+);)/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  },
  // Remote images would tell strangers who reads what: the description stays, as a link where it has an address.
  image({ href, text }) {
    const label = words.image(escape(text || href));
    return LINK.test(href) ? `<a href="${escape(href)}">${label}</a>` : label;
  },
  checkbox({ checked }) {
    return checked ? "☑ " : "☐ ";
  },
};

/** @param {boolean} live */
function parserFor(live) {
  const marked = new Marked({ gfm: true, renderer });
  marked.use({ extensions: extensions(live) });
  return marked;
}

const whole = parserFor(false);
const growing = parserFor(true);

/**
 * The block tokens of `text`; `live` says that more of it may come.
 * @param {string} text
 * @param {boolean} live
 */
export function blocksOf(text, live) {
  return (live ? growing : whole).lexer(text);
}

/** @param {ParentNode} root */
function wrapTables(root) {
  for (const table of root.querySelectorAll("table")) {
    const frame = document.createElement("div");
    frame.className = "table-frame";
    frame.tabIndex = 0;
    frame.setAttribute("role", "group");
    frame.setAttribute("aria-label", words.table);
    table.replaceWith(frame);
    frame.append(table);
  }
}

/**
 * Sanitised DOM of one token.
 * @param {Token} token
 */
function render(token) {
  const fragment = prose(whole.parser([token]));
  frameCode(fragment);
  wrapTables(fragment);
  drawFormulas(fragment);
  return fragment;
}

/**
 * A block that is made anew whenever its source changes.
 * @implements {Block}
 */
class PlainBlock {
  /** @param {string} type */
  constructor(type) {
    this.type = type;
    this.root = document.createElement("div");
    this.root.className = "block";
  }

  /** @param {Token} token */
  set(token) {
    this.root.replaceChildren(render(token));
  }
}

/** @implements {Block} */
class FencedBlock {
  type = "code";
  #block = new CodeBlock();
  root = this.#block.root;

  constructor() {
    this.root.classList.add("block");
  }

  /**
   * @param {Token} token
   * @param {boolean} live
   */
  set(token, live) {
    const { text, lang } = /** @type {Tokens.Code} */ (token);
    this.#block.set(text, lang, live);
  }
}

/**
 * A list makes only those items anew that changed: mostly the last.
 * @implements {Block}
 */
class ListBlock {
  type = "list";
  /** @type {string[]} */
  #keys = [];
  #shape = "";
  /** @type {HTMLOListElement | HTMLUListElement} */
  #list = document.createElement("ul");

  constructor() {
    this.root = document.createElement("div");
    this.root.className = "block";
  }

  /** @param {Token} token */
  set(token) {
    const list = /** @type {Tokens.List} */ (token);
    const shape = `${list.ordered}:${list.start}:${list.loose}`;
    if (shape !== this.#shape) {
      this.#shape = shape;
      this.#keys = [];
      this.#list = listFor(list);
      this.root.replaceChildren(this.#list);
    }
    list.items.forEach((item, index) => {
      if (this.#keys[index] === item.raw) return;
      this.#keys[index] = item.raw;
      const made = find(render({ ...list, items: [item] }), "li");
      const old = this.#list.children[index];
      if (old) old.replaceWith(made);
      else this.#list.append(made);
    });
    while (this.#list.children.length > list.items.length) this.#list.lastElementChild?.remove();
    this.#keys.length = list.items.length;
  }
}

/** @param {Tokens.List} list */
function listFor({ ordered, start }) {
  if (!ordered) return document.createElement("ul");
  const list = document.createElement("ol");
  if (start !== 1 && start !== "") list.start = start;
  return list;
}

/**
 * An empty block for tokens of this type.
 * @param {string} type
 * @returns {Block}
 */
export function blockFor(type) {
  if (type === "code") return new FencedBlock();
  if (type === "list") return new ListBlock();
  return new PlainBlock(type);
}
