import { keepInTab, keptInTab } from "../shared/storage.js";

const MOST_STOP_STRINGS = 16;
const LONGEST_STOP_STRING = 256;

function complaint(input) {
  const { validity, min, max, step } = input;
  if (validity.badInput) return "This is not a number.";
  if (validity.rangeUnderflow || validity.rangeOverflow) return `A number from ${min} to ${max}.`;
  if (validity.stepMismatch) return step === "1" ? "A whole number." : "This is not a number.";
  return "";
}

function stopComplaint(strings) {
  if (strings.length > MOST_STOP_STRINGS) return `At most ${MOST_STOP_STRINGS} strings.`;
  if (strings.some((each) => each.length > LONGEST_STOP_STRING)) return `Each string: at most ${LONGEST_STOP_STRING} characters.`;
  return "";
}

/** Generation options and system prompt of the shown conversation, with the dialog that changes them. */
export class Options {
  #dialog = document.getElementById("options");
  #form = this.#dialog.querySelector("form");
  #opener = document.getElementById("options-open");
  #place = "new";
  #values = {};
  #systemPrompt = "";
  #changed = false;

  constructor() {
    this.#opener.addEventListener("click", () => this.#open());
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#take()) this.#dialog.close();
    });
    this.#form.addEventListener("input", (event) => this.#complain(event.target, ""));
    this.#form.querySelector("[data-action=cancel]").addEventListener("click", () => this.#dialog.close());
    this.#form.querySelector("[data-action=defaults]").addEventListener("click", () => this.#fill({}, ""));
  }

  get values() {
    return this.#values;
  }

  get systemPrompt() {
    return this.#systemPrompt;
  }

  /** Shows those of a conversation, unless the person has changed them here since and not sent anything yet. */
  open(place, values, systemPrompt) {
    if (place !== this.#place) this.#changed = false;
    this.#place = place;
    if (this.#changed) return;
    const kept = keptInTab(`options.${place}`);
    this.#values = values;
    this.#systemPrompt = systemPrompt;
    if (kept) {
      ({ values: this.#values, systemPrompt: this.#systemPrompt } = JSON.parse(kept));
      this.#changed = true;
    }
    this.#mark();
  }

  /** The server has stored them with a turn. */
  stored() {
    keepInTab(`options.${this.#place}`, null);
    this.#changed = false;
  }

  #open() {
    this.#fill(this.#values, this.#systemPrompt);
    this.#dialog.showModal();
  }

  #fill(values, systemPrompt) {
    for (const input of this.#form.elements) {
      if (!input.name) continue;
      this.#complain(input, "");
      if (input.name === "system_prompt") input.value = systemPrompt;
      else if (input.name === "stop") input.value = [values.stop ?? []].flat().join("\n");
      else input.value = values[input.name] ?? "";
    }
  }

  #complain(input, text) {
    if (!input.name) return;
    const id = `${input.id}-error`;
    let place = document.getElementById(id);
    if (!text) {
      place?.remove();
      input.removeAttribute("aria-invalid");
      input.removeAttribute("aria-describedby");
      return;
    }
    if (!place) {
      place = document.createElement("p");
      place.id = id;
      place.className = "error";
      input.closest(".field").append(place);
    }
    place.textContent = text;
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", id);
  }

  /** Reads the fields; false, with the complaints shown and the first one focused, where one is wrong. */
  #take() {
    // What the page has no field for (set through a program) stays.
    const values = { ...this.#values };
    let wrong = null;
    for (const input of this.#form.elements) {
      if (!input.name || input.name === "system_prompt") continue;
      const strings = input.name === "stop" ? input.value.split("\n").filter((line) => line !== "") : null;
      const text = strings ? stopComplaint(strings) : complaint(input);
      this.#complain(input, text);
      if (text) wrong ??= input;
      delete values[input.name];
      if (strings) {
        if (strings.length > 0) values.stop = strings;
      } else if (input.value !== "") values[input.name] = input.valueAsNumber;
    }
    if (wrong) {
      wrong.focus();
      return false;
    }
    this.#values = values;
    this.#systemPrompt = this.#form.elements.system_prompt.value;
    this.#changed = true;
    keepInTab(`options.${this.#place}`, JSON.stringify({ values, systemPrompt: this.#systemPrompt }));
    this.#mark();
    return true;
  }

  #mark() {
    const count = Object.keys(this.#values).length + (this.#systemPrompt ? 1 : 0);
    this.#opener.classList.toggle("set", count > 0);
    this.#opener.setAttribute("aria-label", count > 0 ? `Generation options, ${count} set` : "Generation options");
  }
}
