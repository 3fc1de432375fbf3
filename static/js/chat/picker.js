import { remember, remembered } from "../shared/storage.js";
import { variantShown } from "./wording.js";

/** Which model answers next, with the state of each. `onPick(row)` runs after a choice and after every change of the list. */
export class Picker {
  #menu = document.getElementById("picker");
  #list = document.getElementById("variant-list");
  #name = document.getElementById("picker-name");
  #dot = document.getElementById("picker-dot");
  #template = document.getElementById("t-variant");
  #rows = [];
  #host = true;
  #picked = null;
  #onPick;

  constructor({ onPick }) {
    this.#onPick = onPick;
    this.#list.addEventListener("change", (event) => {
      this.choose(Number(event.target.value));
    });
    // An arrow key moves through radio buttons: only a click or Enter is a decision that closes the list.
    this.#list.addEventListener("click", (event) => {
      if (event.detail > 0 && event.target.closest("label")) this.#menu.open = false;
    });
    this.#list.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      this.#menu.open = false;
      this.#menu.querySelector("summary").focus();
    });
    this.#menu.addEventListener("toggle", () => {
      if (this.#menu.open) this.#list.querySelector("input:checked")?.focus();
    });
  }

  /** The picked row; null where nothing can be picked. */
  get picked() {
    return this.#rows.find((row) => row.id === this.#picked && !row.trouble) ?? null;
  }

  get isEmpty() {
    return this.#rows.length === 0;
  }

  show(rows, hostAnswers) {
    this.#rows = rows;
    this.#host = hostAnswers;
    this.#settle();
    this.#render();
  }

  /** Picks what the conversation used last, where it is still there. */
  pick(id) {
    if (this.#rows.some((row) => row.id === id)) this.#picked = id;
    this.#settle();
    this.#render();
  }

  /** Picks what a person chose, and remembers it for the next conversation. */
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
      const label = labels.get(row.id) ?? this.#template.content.firstElementChild.cloneNode(true);
      if (!label.isConnected) this.#list.append(label);
      this.#label(label, row);
    }
    const { picked } = this;
    this.#name.textContent = picked?.name ?? "No model";
    this.#dot.dataset.state = picked && this.#host ? picked.state : "absent";
    this.#onPick(picked);
  }

  #label(label, row) {
    const { chip, note, failure, state } = variantShown(row, this.#host);
    label.dataset.id = row.id;
    const input = label.querySelector("input");
    input.value = row.id;
    input.checked = row.id === this.#picked;
    input.disabled = Boolean(row.trouble);
    label.querySelector(".variant-name").textContent = row.name;
    label.querySelector(".variant-note").textContent = note;
    label.querySelector(".variant-failure").textContent = failure;
    label.querySelector(".chip").textContent = chip;
    label.querySelector(".chip").dataset.state = state;
  }
}
