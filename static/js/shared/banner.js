// @ts-check
import { byId } from "./dom.js";

/**
 * @typedef {"session" | "connection" | "host"} Topic In the order of gravity.
 * @typedef {{href: string, text: string}} Link
 */

/** @type {Topic[]} */
const TOPICS = ["session", "connection", "host"];

/** The line above the messages that says what is wrong with the connection or the box. The gravest one shows. */
export class Banner {
  #root = byId("banner");
  /** @type {Map<Topic, {text: string, level: "bad" | "warn", link: Link | null}>} */
  #lines = new Map();

  /**
   * An empty text takes the line away.
   * @param {Topic} topic
   * @param {string} text
   * @param {{level?: "bad" | "warn", link?: Link | null}} [how]
   */
  set(topic, text, { level = "warn", link = null } = {}) {
    if (text) this.#lines.set(topic, { text, level, link });
    else this.#lines.delete(topic);
    const line = TOPICS.map((each) => this.#lines.get(each)).find(Boolean);
    this.#root.hidden = !line;
    if (!line) {
      this.#root.replaceChildren();
      return;
    }
    if (this.#root.firstChild?.textContent === line.text) return;
    this.#root.className = `banner ${line.level}`;
    const words = document.createElement("span");
    words.textContent = line.text;
    this.#root.replaceChildren(words);
    if (line.link) {
      const anchor = document.createElement("a");
      anchor.href = line.link.href;
      anchor.textContent = line.link.text;
      this.#root.append(anchor);
    }
  }
}
