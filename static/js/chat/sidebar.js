import { ago } from "../shared/numbers.js";

const NARROW = matchMedia("(max-width: 56rem)");

/** The list of conversations, and on narrow screens the drawer it lies in. `open(id)` opens one. */
export class Sidebar {
  #root = document.getElementById("sidebar");
  #list = document.getElementById("rows");
  #search = document.getElementById("search");
  #none = document.getElementById("rows-empty");
  #opener = document.getElementById("drawer-open");
  #veil = document.getElementById("drawer-veil");
  #template = document.getElementById("t-conversation");
  #chatUrl = document.body.dataset.chatUrl;
  #rows = [];
  #current = null;

  constructor({ open }) {
    this.#search.addEventListener("input", () => this.#render());
    this.#list.addEventListener("click", (event) => {
      const link = event.target.closest("a");
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      this.close();
      open(link.dataset.id);
    });
    this.#opener.addEventListener("click", () => this.#open());
    document.getElementById("drawer-close").addEventListener("click", () => this.close(true));
    this.#veil.addEventListener("click", () => this.close());
    this.#root.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !NARROW.matches) return;
      event.stopPropagation();
      this.close(true);
    });
    NARROW.addEventListener("change", () => this.close());
    this.close();
  }

  show(rows, current) {
    this.#rows = rows;
    this.#current = current;
    this.#render();
  }

  set current(id) {
    this.#current = id;
    this.#render();
  }

  #open() {
    this.#root.inert = false;
    this.#root.classList.add("open");
    this.#veil.hidden = false;
    this.#opener.setAttribute("aria-expanded", "true");
    document.getElementById("main").inert = true;
    document.getElementById("new-chat").focus();
  }

  close(focusOpener = false) {
    const wasOpen = this.#root.classList.contains("open");
    this.#root.classList.remove("open");
    this.#root.inert = NARROW.matches;
    this.#veil.hidden = true;
    this.#opener.setAttribute("aria-expanded", "false");
    document.getElementById("main").inert = false;
    if (wasOpen && focusOpener) this.#opener.focus();
  }

  #render() {
    const wanted = this.#search.value.trim().toLocaleLowerCase();
    const rows = this.#rows.filter((row) => titleOf(row).toLocaleLowerCase().includes(wanted));
    const old = new Map([...this.#list.children].map((item) => [item.firstElementChild.dataset.id, item]));
    const items = rows.map((row) => this.#item(old.get(row.id), row));
    // Only what moved is moved: a focused row keeps the focus.
    for (const item of this.#list.querySelectorAll(":scope > li")) if (!items.includes(item)) item.remove();
    items.forEach((item, index) => {
      if (this.#list.children[index] !== item) this.#list.insertBefore(item, this.#list.children[index] ?? null);
    });
    this.#none.hidden = rows.length > 0;
    this.#none.textContent = this.#rows.length > 0 ? "No title matches." : "Your conversations will be listed here.";
  }

  #item(item, row) {
    item ??= this.#template.content.firstElementChild.cloneNode(true);
    const link = item.firstElementChild;
    link.dataset.id = row.id;
    link.href = `${this.#chatUrl}${row.id}/`;
    link.querySelector(".row-title").textContent = titleOf(row);
    link.querySelector(".row-note").textContent = row.running ? "writing…" : ago(row.updated_at);
    link.classList.toggle("running", row.running);
    if (row.id === this.#current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
    return item;
  }
}

export function titleOf(row) {
  return row.title || "New conversation";
}

