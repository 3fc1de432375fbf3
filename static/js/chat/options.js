// @ts-check
import { byId, control, find } from "../shared/dom.js";
import { options as words } from "../shared/words.js";
import { keepInTab, keptInTab } from "../shared/storage.js";

/**
 * @import { GenerationOptions } from "./frames"
 * @typedef {HTMLInputElement | HTMLTextAreaElement} Field
 */

const MOST_STOP_STRINGS = 16;
const LONGEST_STOP_STRING = 256;

/** @param {HTMLInputElement} input */
function complaint(input) {
  const { validity, min, max, step } = input;
  if (validity.badInput) return words.notANumber;
  if (validity.rangeUnderflow || validity.rangeOverflow) return words.range({ min, max });
  if (validity.stepMismatch) return step === "1" ? words.notWhole : words.notANumber;
  return "";
}

/** @param {string[]} strings */
function stopComplaint(strings) {
  if (strings.length > MOST_STOP_STRINGS) return words.tooManyStrings(MOST_STOP_STRINGS);
  if (strings.some((each) => each.length > LONGEST_STOP_STRING)) return words.stringTooLong(LONGEST_STOP_STRING);
  return "";
}

/**
 * @param {unknown} element
 * @returns {element is Field}
 */
function isField(element) {
  return element instanceof HTMLInputElement || element instanceof HTMLTextAreaElement;
}

/** Generation options and system prompt of the shown conversation, with the dialog that changes them. */
export class Options {
  #dialog = byId("options", HTMLDialogElement);
  #form = find(this.#dialog, "form", HTMLFormElement);
  #opener = byId("options-open");
  #place = "new";
  /** @type {GenerationOptions} */
  #values = {};
  #systemPrompt = "";
  #changed = false;

  constructor() {
    this.#opener.addEventListener("click", () => this.#open());
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#take()) this.#dialog.close();
    });
    this.#form.addEventListener("input", (event) => {
      if (isField(event.target)) this.#complain(event.target, "");
    });
    find(this.#form, "[data-action=cancel]").addEventListener("click", () => this.#dialog.close());
    find(this.#form, "[data-action=defaults]").addEventListener("click", () => this.#fill({}, ""));
  }

  get values() {
    return this.#values;
  }

  get systemPrompt() {
    return this.#systemPrompt;
  }

  /**
   * Shows those of a conversation, unless the person has changed them here since and not sent anything yet.
   * @param {string} place the conversation's id; "new" for none yet
   * @param {GenerationOptions} values
   * @param {string} systemPrompt
   */
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

  /** The fields that have a name. */
  get #fields() {
    return [...this.#form.elements].filter(isField).filter((field) => field.name);
  }

  /**
   * @param {GenerationOptions} values
   * @param {string} systemPrompt
   */
  #fill(values, systemPrompt) {
    for (const input of this.#fields) {
      this.#complain(input, "");
      if (input.name === "system_prompt") input.value = systemPrompt;
      else if (input.name === "stop") input.value = [values.stop ?? []].flat().join("\n");
      else input.value = String(values[input.name] ?? "");
    }
  }

  /**
   * @param {Field} input
   * @param {string} text "": takes the complaint away
   */
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
      input.closest(".field")?.append(place);
    }
    place.textContent = text;
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", id);
  }

  /** Reads the fields; false, with the complaints shown and the first one focused, where one is wrong. */
  #take() {
    // What the page has no field for (set through a program) stays.
    const values = { ...this.#values };
    /** @type {Field | null} */
    let wrong = null;
    for (const input of this.#fields) {
      if (input.name === "system_prompt") continue;
      const strings = input instanceof HTMLInputElement ? null : input.value.split("\n").filter((line) => line !== "");
      const text = input instanceof HTMLInputElement ? complaint(input) : stopComplaint(strings ?? []);
      this.#complain(input, text);
      if (text) wrong ??= input;
      delete values[input.name];
      if (input instanceof HTMLInputElement) {
        if (input.value !== "") values[input.name] = input.valueAsNumber;
      } else if (strings?.length) values.stop = strings;
    }
    if (wrong) {
      wrong.focus();
      return false;
    }
    this.#values = values;
    this.#systemPrompt = control(this.#form, "system_prompt", HTMLTextAreaElement).value;
    this.#changed = true;
    keepInTab(`options.${this.#place}`, JSON.stringify({ values, systemPrompt: this.#systemPrompt }));
    this.#mark();
    return true;
  }

  #mark() {
    const count = Object.keys(this.#values).length + (this.#systemPrompt ? 1 : 0);
    this.#opener.classList.toggle("set", count > 0);
    this.#opener.setAttribute("aria-label", count > 0 ? words.titleSet(count) : words.title);
  }
}
