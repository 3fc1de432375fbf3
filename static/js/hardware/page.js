// @ts-check
// The what-if of the hardware page: asks for a plan at every change, draws what comes back, and leaves the form working without it.
import { announce } from "../shared/announcer.js";
import { around, byId, control, findAll, ifThere, saidBy } from "../shared/dom.js";
import { plan as words } from "../shared/words.js";
import { Plan } from "./plan.js";

const PAUSE_MS = 60;
const QUIET_MS = 900;
const LEAST_CONTEXT = 256;
const USUAL_CONTEXT = 131_072;

/**
 * Contexts that a slider stops at: powers of two and halfway between, up to what the model was trained with.
 * @param {number} trained
 */
function stops(trained) {
  /** @type {number[]} */
  const found = [];
  for (let size = LEAST_CONTEXT; size < trained; size *= 2) found.push(size, size * 1.5);
  return [...found.filter((size) => size < trained), trained];
}

/**
 * @param {number[]} list
 * @param {number} value
 */
function nearest(list, value) {
  return list.reduce((best, each, at) => (Math.abs(each - value) < Math.abs(list[best] - value) ? at : best), 0);
}

class WhatIf {
  #form;
  #fields;
  #plan = new Plan();
  #context = byId("r-ctx", HTMLInputElement);
  #slots = byId("r-slots", HTMLInputElement);
  /** @type {number[]} */
  #stops = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #quiet;
  #asking = new AbortController();

  /** @param {HTMLFormElement} form */
  constructor(form) {
    this.#form = form;
    this.#fields = {
      variant: control(form, "variant", HTMLSelectElement),
      ctx: control(form, "ctx"),
      slots: control(form, "slots"),
    };
    byId("w-plan").hidden = true;
    this.#context.hidden = this.#slots.hidden = false;
    this.#setStops();
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#ask();
    });
    this.#form.addEventListener("input", (event) => this.#moved(event.target));
  }

  #setStops() {
    const trained = Number(this.#fields.variant.selectedOptions[0].dataset.trained) || USUAL_CONTEXT;
    this.#stops = stops(Math.max(LEAST_CONTEXT, trained));
    this.#context.max = String(this.#stops.length - 1);
    this.#follow();
  }

  /**
   * The sliders go where the numbers are, but for the one that is being moved.
   * @param {EventTarget | null} moved
   */
  #follow(moved = null) {
    if (moved !== this.#context) this.#context.value = String(nearest(this.#stops, this.#fields.ctx.valueAsNumber || 0));
    if (moved !== this.#slots) this.#slots.value = this.#fields.slots.value;
    this.#context.setAttribute("aria-valuetext", words.context(this.#fields.ctx.value));
  }

  /** @param {EventTarget | null} input */
  #moved(input) {
    const { variant } = this.#fields;
    if (input === this.#context) this.#fields.ctx.value = String(this.#stops[this.#context.valueAsNumber]);
    if (input === this.#slots) this.#fields.slots.value = this.#slots.value;
    if (input === variant) {
      const { ctx = "", slots = "" } = variant.selectedOptions[0].dataset;
      this.#fields.ctx.value = ctx;
      this.#fields.slots.value = slots;
      this.#setStops();
    }
    this.#follow(input);
    this.#plan.stale();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#ask(), PAUSE_MS);
  }

  /** Drops the answer that is still on its way, if there is one: it is one to another question. */
  async #ask() {
    clearTimeout(this.#timer);
    this.#asking.abort();
    const asking = (this.#asking = new AbortController());
    const query = saidBy(this.#form);
    history.replaceState(null, "", `?${query}`);
    try {
      const response = await fetch(`${this.#form.dataset.planUrl}?${query}`, { signal: asking.signal });
      if (response.redirected) location.reload(); // logged out meanwhile
      const told = await response.json();
      if (asking.signal.aborted) return;
      this.#complain(told.problems ?? {});
      byId("plan-lost").hidden = true;
      if (!told.problems) this.#plan.show(told);
      this.#say(told.problems ? Object.values(told.problems).join(" ") : this.#plan.verdict);
    } catch {
      if (asking.signal.aborted) return;
      byId("plan-lost").hidden = false;
    }
  }

  /** @param {Record<string, string>} problems by field */
  #complain(problems) {
    for (const place of findAll(this.#form, "[data-problem]")) {
      const name = place.dataset.problem ?? "";
      place.textContent = problems[name] ?? "";
      place.hidden = !problems[name];
      const input = document.getElementById(`w-${name}`);
      if (problems[name]) input?.setAttribute("aria-invalid", "true");
      else input?.removeAttribute("aria-invalid");
    }
  }

  /**
   * To screen readers, once the person has stopped moving.
   * @param {string} sentence
   */
  #say(sentence) {
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => announce(sentence), QUIET_MS);
  }
}

/** @param {string} id */
function fieldOf(id) {
  const field = around(byId(id), ".field");
  if (!field) throw new TypeError(`expected #${id} to stand in a field`);
  return field;
}

/** Fields of a card described by hand stand there only for that. */
function followCard() {
  const card = ifThere("id_card", HTMLSelectElement);
  if (!card) return;
  const show = () => {
    for (const name of ["gpu_name", "gpu_memory", "gpu_bandwidth"]) {
      fieldOf(`id_${name}`).hidden = card.value !== "by hand";
    }
    fieldOf("id_n_gpus").hidden = card.value === "";
  };
  card.addEventListener("change", show);
  show();
}

const wishes = ifThere("wishes", HTMLFormElement);
if (wishes) new WhatIf(wishes);
followCard();
