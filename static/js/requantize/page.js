// @ts-check
// The choice of a type: every change asks the server anew and shows its answer; without this the forms work as they are.
import { announce } from "../shared/announcer.js";
import { around, byId, find, ifThere, saidBy } from "../shared/dom.js";
import { requantize as words } from "../shared/words.js";
import { nameSources } from "../hub/sources.js";

const PAUSE_MS = 350;

/**
 * @param {unknown} target
 * @returns {target is HTMLInputElement | HTMLSelectElement}
 */
function isControl(target) {
  return target instanceof HTMLInputElement || target instanceof HTMLSelectElement;
}

class Question {
  #form = byId("question", HTMLFormElement);
  #answer = byId("answer");
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #asking = new AbortController();

  constructor() {
    byId("show").hidden = true;
    this.#form.addEventListener("input", (event) => this.#changed(event.target));
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#ask();
    });
    this.#answer.addEventListener("change", (event) => this.#picked(event.target));
    this.#answer.addEventListener("click", (event) => {
      if (around(event.target, "#all")) this.#showAll();
    });
    this.#dress();
  }

  /** @param {EventTarget | null} field */
  #changed(field) {
    const name = isControl(field) ? field.name : "";
    if (name === "quality" || name === "size") this.#aim(name);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#ask(), PAUSE_MS);
  }

  /** @param {"quality" | "size" | "type"} goal */
  #aim(goal) {
    find(this.#form, `[name=goal][value=${goal}]`, HTMLInputElement).checked = true;
  }

  async #ask() {
    clearTimeout(this.#timer);
    this.#asking.abort();
    this.#asking = new AbortController();
    const query = saidBy(this.#form);
    for (const [name, value] of [...query]) if (!value) query.delete(name);
    const url = `${this.#form.getAttribute("action")}?${query}`;
    this.#answer.setAttribute("aria-busy", "true");
    try {
      const response = await fetch(url, { signal: this.#asking.signal, headers: { Accept: "text/html" } });
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      const found = page.getElementById("answer");
      if (!found) throw new Error(`the server answered ${response.status}`);
      this.#takeProblems(page);
      this.#answer.replaceChildren(...found.childNodes);
      this.#dress();
      history.replaceState(null, "", url);
      announce(document.getElementById("reason")?.textContent ?? words.senseless);
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") return;
      location.assign(url);
      return;
    }
    this.#answer.setAttribute("aria-busy", "false");
  }

  /**
   * What the server says against single fields, each below its field.
   * @param {Document} page
   */
  #takeProblems(page) {
    for (const old of this.#form.querySelectorAll(".error")) old.remove();
    for (const field of this.#form.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
    for (const problem of page.querySelectorAll("#question .error")) {
      const id = problem.id;
      const field = page.querySelector(`#question [aria-describedby~="${id}"]`);
      const own = isControl(field) ? this.#form.elements.namedItem(field.name) : null;
      if (!field || !(own instanceof Element)) continue;
      own.setAttribute("aria-invalid", "true");
      own.setAttribute("aria-describedby", field.getAttribute("aria-describedby") ?? "");
      own.closest(".field, .goal")?.append(problem);
    }
  }

  /** @param {EventTarget | null} field */
  #picked(field) {
    if (!(field instanceof HTMLInputElement) || field.name !== "type") return;
    this.#aim("type");
    find(this.#form, "[type=hidden][name=type]", HTMLInputElement).value = field.value;
    for (const row of this.#answer.querySelectorAll("[data-chosen]")) row.removeAttribute("data-chosen");
    field.closest("tr")?.setAttribute("data-chosen", "");
    byId("chosen").textContent = words.target({ type: field.value, size: field.dataset.size ?? "" });
    byId("reason").textContent = words.chosen;
    this.#propose(field);
  }

  /** @param {Element | null} field the chosen type's */
  #propose(field) {
    const name = ifThere("q-name", HTMLInputElement);
    if (name && field instanceof HTMLInputElement) name.placeholder = field.dataset.name ?? "";
  }

  #dress() {
    nameSources(this.#answer);
    const table = this.#answer.querySelector(".targets");
    const all = ifThere("all");
    if (!table || !all) return;
    all.hidden = !table.querySelector(".rare");
    table.classList.add("short");
    this.#propose(table.querySelector("input:checked"));
  }

  #showAll() {
    find(this.#answer, ".targets").classList.remove("short");
    byId("all").hidden = true;
  }
}

new Question();
