// @ts-check
// Residents, the queue, the reason log and the models on disk.
import { byId, childrenOf, copyOf, find, ifThere } from "../shared/dom.js";
import { fill, keepRows } from "../shared/fill.js";
import { residentKey } from "../shared/resident_key.js";
import { queueRow, residentRow, stateWords } from "./words.js";

/** @import { LogLine, QueueEntry, Residency, VariantTelemetry } from "./frames" */

const MOST_LOGGED = 100;
/** @type {{state: Residency, fraction: number | null}} */
export const ON_DISK = { state: "absent", fraction: null };

/**
 * Shows the list, or what stands in its place while it is empty.
 * @param {string} id
 * @param {string} emptyId
 * @param {unknown[]} rows
 */
function toggle(id, emptyId, rows) {
  byId(id).hidden = rows.length === 0;
  byId(emptyId).hidden = rows.length > 0;
}

/** @param {VariantTelemetry[]} variants */
export function showResidents(variants) {
  toggle("residents-table", "residents-empty", variants);
  keepRows(byId("residents"), variants, {
    template: byId("t-resident", HTMLTemplateElement),
    keyOf: (line) => line.dataset.resident,
    key: residentKey,
    show: (line, variant) => {
      line.dataset.resident = residentKey(variant);
      line.dataset.state = variant.state;
      fill(line, residentRow(variant));
      find(line, "[data-f=state_words]").dataset.state = variant.state;
      const form = line.querySelector("form");
      if (form) showActs(form, variant);
    },
  });
}

/**
 * @param {HTMLFormElement} form
 * @param {VariantTelemetry} variant
 */
function showActs(form, variant) {
  form.setAttribute("action", `/residency/${variant.variant_id}/`);
  // One that reads for a job goes with the job.
  form.hidden = variant.purpose !== "chat";
  const pin = find(form, "[aria-pressed]", HTMLButtonElement);
  pin.value = variant.pinned ? "unpin" : "pin";
  pin.setAttribute("aria-pressed", String(variant.pinned));
  find(form, "[value=unload]", HTMLButtonElement).disabled = !["resident", "loading", "draining"].includes(variant.state);
}

/** @param {VariantTelemetry[]} variants */
export function showModels(variants) {
  const inventory = ifThere("inventory");
  if (!inventory) return;
  const states = new Map(variants.map((each) => [residentKey(each), each]));
  for (const line of childrenOf(inventory)) {
    const { state, fraction } = states.get(line.dataset.variant ?? "") ?? ON_DISK;
    const chip = find(line, ".chip");
    chip.dataset.state = state;
    const words = stateWords(state, fraction);
    if (chip.textContent !== words) chip.textContent = words;
    const load = line.querySelector("[data-load]");
    if (load instanceof HTMLElement) load.hidden = state !== "absent" && state !== "failed";
  }
}

/** @param {VariantTelemetry[]} variants */
export function showTopbar(variants) {
  const inMemory = variants.filter((each) => each.state !== "absent" && each.state !== "failed");
  const shown = inMemory.map((each) => `${residentKey(each)} ${each.state} ${each.name}`).join("\n");
  const root = byId("resident");
  if (root.dataset.shown === shown) return;
  root.dataset.shown = shown;
  root.replaceChildren(
    ...inMemory.map((each) => {
      const chip = document.createElement("span");
      chip.className = "chip";
      chip.dataset.state = each.state;
      const dot = document.createElement("span");
      dot.className = "dot";
      dot.ariaHidden = "true";
      const name = document.createElement("span");
      name.className = "name";
      name.textContent = each.name;
      chip.append(dot, name);
      return chip;
    }),
  );
}

/**
 * @param {QueueEntry[]} queue
 * @param {string | undefined} user the person's own id
 */
export function showQueue(queue, user) {
  toggle("queue", "queue-empty", queue);
  const rows = queue.map((entry, number) => ({ ...entry, place: number + 1 }));
  keepRows(byId("queue"), rows, {
    template: byId("t-queue", HTMLTemplateElement),
    keyOf: (line) => line.dataset.place ?? "",
    key: (entry) => entry.place,
    show: (line, entry) => {
      line.dataset.place = String(entry.place);
      fill(line, queueRow(entry, user));
    },
  });
}

/** The reason log, newest first. */
export class Log {
  #root = byId("log");
  #template = byId("t-decision", HTMLTemplateElement);

  /**
   * All of it, anew.
   * @param {LogLine[]} decisions
   */
  show(decisions) {
    this.#root.replaceChildren();
    this.add(decisions);
    toggle("log", "log-empty", decisions);
  }

  /** @param {LogLine[]} decisions the new ones, oldest first */
  add(decisions) {
    for (const decision of decisions) {
      const line = copyOf(this.#template);
      const time = find(line, "time", HTMLTimeElement);
      const at = new Date(decision.at * 1000);
      time.dateTime = at.toISOString();
      fill(line, { time: at.toLocaleTimeString(undefined, { hour12: false }), kind: decision.kind, sentence: decision.sentence });
      if (decision.details) find(line, "[data-f=sentence]").title = decision.details;
      line.dataset.kind = decision.kind;
      this.#root.prepend(line);
    }
    while (this.#root.childElementCount > MOST_LOGGED) this.#root.lastElementChild?.remove();
    if (decisions.length) toggle("log", "log-empty", decisions);
  }
}
