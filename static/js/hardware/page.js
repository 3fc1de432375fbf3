// The what-if of the hardware page: asks for a plan at every change, draws what comes back, and leaves the form working without it.
import { announce } from "../shared/announcer.js";
import { Plan } from "./plan.js";

const PAUSE_MS = 60;
const QUIET_MS = 900;
const LEAST_CONTEXT = 256;
const USUAL_CONTEXT = 131_072;

/** Contexts that a slider stops at: powers of two and halfway between, up to what the model was trained with. */
function stops(trained) {
  const found = [];
  for (let size = LEAST_CONTEXT; size < trained; size *= 2) found.push(size, size * 1.5);
  return [...found.filter((size) => size < trained), trained];
}

function nearest(list, value) {
  return list.reduce((best, each, at) => (Math.abs(each - value) < Math.abs(list[best] - value) ? at : best), 0);
}

class WhatIf {
  #form = document.getElementById("wishes");
  #fields = this.#form.elements;
  #plan = new Plan();
  #context = document.getElementById("r-ctx");
  #slots = document.getElementById("r-slots");
  #stops = [];
  #timer = 0;
  #quiet = 0;
  #asking = new AbortController();

  constructor() {
    document.getElementById("w-plan").hidden = true;
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
    this.#context.max = this.#stops.length - 1;
    this.#follow();
  }

  /** The sliders go where the numbers are, but for the one that is being moved. */
  #follow(moved = null) {
    if (moved !== this.#context) this.#context.value = nearest(this.#stops, this.#fields.ctx.valueAsNumber || 0);
    if (moved !== this.#slots) this.#slots.value = this.#fields.slots.value;
    this.#context.setAttribute("aria-valuetext", `${this.#fields.ctx.value} tokens`);
  }

  #moved(input) {
    if (input === this.#context) this.#fields.ctx.value = this.#stops[input.value];
    if (input === this.#slots) this.#fields.slots.value = input.value;
    if (input.name === "variant") {
      const { ctx, slots } = input.selectedOptions[0].dataset;
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
    const query = new URLSearchParams(new FormData(this.#form));
    history.replaceState(null, "", `?${query}`);
    try {
      const response = await fetch(`${this.#form.dataset.planUrl}?${query}`, { signal: asking.signal });
      if (response.redirected) location.reload(); // logged out meanwhile
      const told = await response.json();
      if (asking.signal.aborted) return;
      this.#complain(told.problems ?? {});
      document.getElementById("plan-lost").hidden = true;
      if (!told.problems) this.#plan.show(told);
      this.#say(told.problems ? Object.values(told.problems).join(" ") : this.#plan.verdict);
    } catch {
      if (asking.signal.aborted) return;
      document.getElementById("plan-lost").hidden = false;
    }
  }

  #complain(problems) {
    for (const place of this.#form.querySelectorAll("[data-problem]")) {
      const name = place.dataset.problem;
      place.textContent = problems[name] ?? "";
      place.hidden = !problems[name];
      const input = document.getElementById(`w-${name}`);
      if (problems[name]) input?.setAttribute("aria-invalid", "true");
      else input?.removeAttribute("aria-invalid");
    }
  }

  /** To screen readers, once the person has stopped moving. */
  #say(sentence) {
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => announce(sentence), QUIET_MS);
  }
}

/** Fields of a card described by hand stand there only for that. */
function followCard() {
  const card = document.getElementById("id_card");
  if (!card) return;
  const show = () => {
    for (const name of ["gpu_name", "gpu_memory", "gpu_bandwidth"]) {
      document.getElementById(`id_${name}`).closest(".field").hidden = card.value !== "by hand";
    }
    document.getElementById("id_n_gpus").closest(".field").hidden = card.value === "";
  };
  card.addEventListener("change", show);
  show();
}

if (document.getElementById("wishes")) new WhatIf();
followCard();
