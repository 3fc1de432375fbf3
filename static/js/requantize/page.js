// The choice of a type: every change asks the server anew and shows its answer; without this the forms work as they are.
import { announce } from "../shared/announcer.js";
import { nameSources } from "../hub/sources.js";

const PAUSE_MS = 350;

class Question {
  #form = document.getElementById("question");
  #answer = document.getElementById("answer");
  #timer = 0;
  #asking = new AbortController();

  constructor() {
    document.getElementById("show").hidden = true;
    this.#form.addEventListener("input", (event) => this.#changed(event.target));
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#ask();
    });
    this.#answer.addEventListener("change", (event) => this.#picked(event.target));
    this.#answer.addEventListener("click", (event) => {
      if (event.target.id === "all") this.#showAll();
    });
    this.#dress();
  }

  #changed(field) {
    if (field.name === "quality" || field.name === "size") this.#form.elements.goal.value = field.name;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#ask(), PAUSE_MS);
  }

  async #ask() {
    clearTimeout(this.#timer);
    this.#asking.abort();
    this.#asking = new AbortController();
    const query = new URLSearchParams(new FormData(this.#form));
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
      announce(document.getElementById("reason")?.textContent ?? "That makes no sense yet.");
    } catch (error) {
      if (error.name === "AbortError") return;
      location.assign(url);
      return;
    }
    this.#answer.setAttribute("aria-busy", "false");
  }

  /** What the server says against single fields, each below its field. */
  #takeProblems(page) {
    for (const old of this.#form.querySelectorAll(".error")) old.remove();
    for (const field of this.#form.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
    for (const problem of page.querySelectorAll("#question .error")) {
      const id = problem.id;
      const field = page.querySelector(`#question [aria-describedby~="${id}"]`);
      const own = field && this.#form.elements[field.name];
      if (!own) continue;
      own.setAttribute("aria-invalid", "true");
      own.setAttribute("aria-describedby", field.getAttribute("aria-describedby"));
      own.closest(".field, .goal").append(problem);
    }
  }

  #picked(field) {
    if (field.name !== "type") return;
    this.#form.elements.goal.value = "type";
    this.#form.elements.type.value = field.value;
    for (const row of this.#answer.querySelectorAll("[data-chosen]")) row.removeAttribute("data-chosen");
    field.closest("tr").setAttribute("data-chosen", "");
    document.getElementById("chosen").textContent = `${field.value}, ${field.dataset.size}`;
    document.getElementById("reason").textContent = "As you chose.";
    this.#propose(field);
  }

  #propose(field) {
    const name = document.getElementById("q-name");
    if (name && field) name.placeholder = field.dataset.name;
  }

  #dress() {
    nameSources(this.#answer);
    const table = this.#answer.querySelector(".targets");
    const all = document.getElementById("all");
    if (!table || !all) return;
    all.hidden = !table.querySelector(".rare");
    table.classList.add("short");
    this.#propose(table.querySelector("input:checked"));
  }

  #showAll() {
    this.#answer.querySelector(".targets").classList.remove("short");
    document.getElementById("all").hidden = true;
  }
}

new Question();
