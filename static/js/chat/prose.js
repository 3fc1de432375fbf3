// @ts-check
import { blockFor, blocksOf } from "./markdown.js";
import { mend } from "./mend.js";

/**
 * @import { Token } from "marked"
 * @import { Block } from "./markdown.js"
 */

/** Blocks at the end that later text may still change. */
const UNSETTLED = 2;

/**
 * A Markdown text that grows. Each paint reads only what lies behind the settled blocks, and makes only those blocks anew
 * whose source has changed, so the cost of a paint does not grow with the length of the answer.
 */
export class Prose {
  #root;
  #text = "";
  #settled = 0;
  /** @type {(Block & {key?: string})[]} */
  #blocks = [];
  #defined = false;
  /** @type {boolean | null} */
  #live = null;

  /** @param {HTMLElement} root */
  constructor(root) {
    this.#root = root;
  }

  /**
   * Shows `text`; `live` says that more may come.
   * @param {string} text
   * @param {boolean} live
   */
  show(text, live) {
    const plain = text.includes("\r") ? text.replace(/\r\n?/g, "\n") : text;
    if (live === this.#live && plain === this.#text) return;
    this.#live = live;
    if (!plain.startsWith(this.#text.slice(0, this.#settled))) this.#clear();
    this.#text = plain;
    if (!live && this.#defined) this.#clear();
    this.#paint(live);
  }

  #clear() {
    this.#root.replaceChildren();
    this.#settled = 0;
    this.#blocks = [];
    this.#defined = false;
  }

  /** @param {boolean} live */
  #paint(live) {
    const tail = this.#text.slice(this.#settled);
    const shown = live ? mend(tail) : tail;
    const tokens = blocksOf(shown, live);
    // A link definition also changes blocks before it; those are made anew once, at the end.
    if (Object.keys(tokens.links ?? {}).length > 0) this.#defined = live;
    const wanted = tokens.filter((token) => token.type !== "space" && token.type !== "def");
    wanted.forEach((token, index) => this.#put(token, index, live && index === wanted.length - 1));
    for (const block of this.#blocks.splice(wanted.length)) block.root.remove();
    if (live) this.#settle(tokens, tail);
  }

  /**
   * @param {Token} token
   * @param {number} index
   * @param {boolean} growing
   */
  #put(token, index, growing) {
    let block = this.#blocks[index];
    if (!block || block.type !== token.type) {
      const made = blockFor(token.type);
      if (block) block.root.replaceWith(made.root);
      else this.#root.append(made.root);
      block = this.#blocks[index] = made;
    }
    const key = `${growing}:${token.raw}`;
    if (block.key === key) return;
    // An answer that ends changes nothing in a block whose source it leaves alone, except that code is finished now.
    if (block.key?.slice(block.key.indexOf(":") + 1) !== token.raw || token.type === "code") block.set(token, growing);
    block.key = key;
  }

  /**
   * @param {Token[]} tokens
   * @param {string} tail their source
   */
  #settle(tokens, tail) {
    let blocks = tokens.filter((token) => token.type !== "space" && token.type !== "def").length - UNSETTLED;
    let length = 0;
    for (const token of tokens) {
      if (blocks <= 0) break;
      // Where the reader changed the source (it replaces some blanks), its lengths are no positions in it.
      if (!tail.startsWith(token.raw, length)) return;
      length += token.raw.length;
      if (token.type === "space" || token.type === "def") continue;
      blocks -= 1;
      this.#blocks.shift();
      this.#settled += length;
      tail = tail.slice(length);
      length = 0;
    }
  }
}
