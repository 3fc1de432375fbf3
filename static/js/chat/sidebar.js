// @ts-check
import { around, byId, childrenOf, copyOf, find } from "../shared/dom.js";
import { ago } from "../shared/numbers.js";
import { chat as words } from "../shared/words.js";

/** @import { ConversationRow } from "./frames" */

const NARROW = matchMedia("(max-width: 56rem)");

/** The list of conversations, and on narrow screens the drawer it lies in. */
export class Sidebar {
  #root = byId("sidebar");
  #list = byId("rows");
  #search = byId("search", HTMLInputElement);
  #none = byId("rows-empty");
  #opener = byId("drawer-open");
  #veil = byId("drawer-veil");
  #template = byId("t-conversation", HTMLTemplateElement);
  #chatUrl = document.body.dataset.chatUrl;
  /** @type {ConversationRow[]} */
  #rows = [];
  /** @type {string | null} */
  #current = null;

  /** @param {{open: (id: string) => void}} acts */
  constructor({ open }) {
    this.#search.addEventListener("input", () => this.#render());
    this.#list.addEventListener("click", (event) => {
      const link = around(event.target, "a");
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      this.close();
      open(link.dataset.id ?? "");
    });
    this.#opener.addEventListener("click", () => this.#open());
    byId("drawer-close").addEventListener("click", () => this.close(true));
    this.#veil.addEventListener("click", () => this.close());
    this.#root.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !NARROW.matches) return;
      event.stopPropagation();
      this.close(true);
    });
    NARROW.addEventListener("change", () => this.close());
    this.close();
  }

  /**
   * @param {ConversationRow[]} rows
   * @param {string | null} current
   */
  show(rows, current) {
    this.#rows = rows;
    this.#current = current;
    this.#render();
  }

  /** @param {string | null} id */
  set current(id) {
    this.#current = id;
    this.#render();
  }

  #open() {
    this.#root.inert = false;
    this.#root.classList.add("open");
    this.#veil.hidden = false;
    this.#opener.setAttribute("aria-expanded", "true");
    byId("main").inert = true;
    byId("new-chat").focus();
  }

  close(focusOpener = false) {
    const wasOpen = this.#root.classList.contains("open");
    this.#root.classList.remove("open");
    this.#root.inert = NARROW.matches;
    this.#veil.hidden = true;
    this.#opener.setAttribute("aria-expanded", "false");
    byId("main").inert = false;
    if (wasOpen && focusOpener) this.#opener.focus();
  }

  #render() {
    const wanted = this.#search.value.trim().toLocaleLowerCase();
    const rows = this.#rows.filter((row) => titleOf(row).toLocaleLowerCase().includes(wanted));
    const old = new Map(childrenOf(this.#list).map((item) => [find(item, "a").dataset.id, item]));
    const items = rows.map((row) => this.#item(old.get(row.id), row));
    // Only what moved is moved: a focused row keeps the focus.
    for (const item of childrenOf(this.#list)) if (!items.includes(item)) item.remove();
    items.forEach((item, index) => {
      if (this.#list.children[index] !== item) this.#list.insertBefore(item, this.#list.children[index] ?? null);
    });
    this.#none.hidden = rows.length > 0;
    this.#none.textContent = this.#rows.length > 0 ? words.noTitleMatches : words.noneYet;
  }

  /**
   * @param {HTMLElement | undefined} known
   * @param {ConversationRow} row
   */
  #item(known, row) {
    const item = known ?? copyOf(this.#template);
    const link = find(item, "a", HTMLAnchorElement);
    link.dataset.id = row.id;
    link.href = `${this.#chatUrl}${row.id}/`;
    find(link, ".row-title").textContent = titleOf(row);
    find(link, ".row-note").textContent = row.running ? words.writingNow : ago(row.updated_at);
    link.classList.toggle("running", row.running);
    if (row.id === this.#current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
    return item;
  }
}

/** @param {{title: string}} row */
export function titleOf(row) {
  return row.title || words.newConversation;
}

