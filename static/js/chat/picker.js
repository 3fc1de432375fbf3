// @ts-check
import { around, byId, copyOf, find } from "../shared/dom.js";
import { remember, remembered } from "../shared/storage.js";
import { chat as words } from "../shared/words.js";
import { variantShown } from "./wording.js";

/** @import { VariantView } from "./frames" */

/** Which model answers next, with the state of each. */
export class Picker {
  #menu = byId("picker", HTMLDetailsElement);
  #list = byId("variant-list");
  #name = byId("picker-name");
  #dot = byId("picker-dot");
  #template = byId("t-variant", HTMLTemplateElement);
  /** @type {VariantView[]} */
  #rows = [];
  #host = true;
  /** @type {number | null} */
  #picked = null;
  #onPick;

  /** @param {{onPick: (picked: VariantView | null) => void}} acts runs after a choice and after every change of the list */
  constructor({ onPick }) {
    this.#onPick = onPick;
    this.#list.addEventListener("change", (event) => {
      if (event.target instanceof HTMLInputElement) this.choose(Number(event.target.value));
    });
    // An arrow key moves through radio buttons: only a click or Enter is a decision that closes the list.
    this.#list.addEventListener("click", (event) => {
      if (event.detail > 0 && around(event.target, "label")) this.#menu.open = false;
    });
    this.#list.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      this.#menu.open = false;
      find(this.#menu, "summary").focus();
    });
    this.#menu.addEventListener("toggle", () => {
      const checked = this.#list.querySelector("input:checked");
      if (this.#menu.open && checked instanceof HTMLInputElement) checked.focus();
    });
  }

  /** The picked row; null where nothing can be picked. */
  get picked() {
    return this.#rows.find((row) => row.id === this.#picked && !row.trouble) ?? null;
  }

  get isEmpty() {
    return this.#rows.length === 0;
  }

  /**
   * @param {VariantView[]} rows
   * @param {boolean} hostAnswers
   */
  show(rows, hostAnswers) {
    this.#rows = rows;
    this.#host = hostAnswers;
    this.#settle();
    this.#render();
  }

  /**
   * Picks what the conversation used last, where it is still there.
   * @param {number | null} id
   */
  pick(id) {
    if (this.#rows.some((row) => row.id === id)) this.#picked = id;
    this.#settle();
    this.#render();
  }

  /**
   * Picks what a person chose, and remembers it for the next conversation.
   * @param {number} id
   */
  choose(id) {
    remember("variant", String(id));
    this.pick(id);
  }

  #settle() {
    if (this.picked) return;
    const last = Number(remembered("variant"));
    const able = this.#rows.filter((row) => !row.trouble);
    const choice = able.find((row) => row.id === last) ?? able.find((row) => row.state === "resident") ?? able[0];
    this.#picked = choice?.id ?? null;
  }

  #render() {
    const labels = new Map([...this.#list.querySelectorAll("label")].map((label) => [Number(label.dataset.id), label]));
    for (const [id, label] of labels) if (!this.#rows.some((row) => row.id === id)) label.remove();
    for (const row of this.#rows) {
      const label = labels.get(row.id) ?? copyOf(this.#template);
      if (!label.isConnected) this.#list.append(label);
      this.#label(label, row);
    }
    const { picked } = this;
    this.#name.textContent = picked?.name ?? words.noPick;
    this.#dot.dataset.state = picked && this.#host ? picked.state : "absent";
    this.#onPick(picked);
  }

  /**
   * @param {HTMLElement} label
   * @param {VariantView} row
   */
  #label(label, row) {
    const { chip, note, failure, state } = variantShown(row, this.#host);
    label.dataset.id = String(row.id);
    const input = find(label, "input", HTMLInputElement);
    input.value = String(row.id);
    input.checked = row.id === this.#picked;
    input.disabled = Boolean(row.trouble);
    find(label, ".variant-name").textContent = row.name;
    find(label, ".variant-note").textContent = note;
    find(label, ".variant-failure").textContent = failure;
    const shown = find(label, ".chip");
    shown.textContent = chip;
    shown.dataset.state = state;
  }
}
