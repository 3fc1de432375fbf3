// Residents, the queue, the reason log and the models on disk.
import { fill, keepRows } from "../shared/fill.js";
import { queueRow, residentRow, stateWords } from "./words.js";

const MOST_LOGGED = 100;
const byId = (id) => document.getElementById(id);

function toggle(id, emptyId, rows) {
  byId(id).hidden = rows.length === 0;
  byId(emptyId).hidden = rows.length > 0;
}

export function showResidents(variants) {
  toggle("residents-table", "residents-empty", variants);
  keepRows(byId("residents"), variants, {
    template: byId("t-resident"),
    keyOf: (line) => line.dataset.variant,
    key: (variant) => variant.variant_id,
    show: (line, variant) => {
      line.dataset.variant = variant.variant_id;
      line.dataset.state = variant.state;
      fill(line, residentRow(variant));
      line.querySelector("[data-f=state_words]").dataset.state = variant.state;
      const form = line.querySelector("form");
      if (form) showActs(form, variant);
    },
  });
}

function showActs(form, variant) {
  form.setAttribute("action", `/residency/${variant.variant_id}/`);
  // One that reads for a job goes with the job.
  form.hidden = variant.purpose !== "chat";
  const pin = form.querySelector("[aria-pressed]");
  pin.value = variant.pinned ? "unpin" : "pin";
  pin.setAttribute("aria-pressed", String(variant.pinned));
  form.querySelector("[value=unload]").disabled = !["resident", "loading", "draining"].includes(variant.state);
}

export function showModels(variants) {
  const states = new Map(variants.map((each) => [String(each.variant_id), each]));
  for (const line of byId("inventory")?.children ?? []) {
    const { state, fraction } = states.get(line.dataset.variant) ?? { state: "absent", fraction: null };
    const chip = line.querySelector(".chip");
    chip.dataset.state = state;
    const words = stateWords(state, fraction);
    if (chip.textContent !== words) chip.textContent = words;
    const load = line.querySelector("[data-load]");
    if (load) load.hidden = state !== "absent" && state !== "failed";
  }
}

export function showTopbar(variants) {
  const inMemory = variants.filter((each) => each.state !== "absent" && each.state !== "failed");
  const shown = inMemory.map((each) => `${each.variant_id} ${each.state} ${each.name}`).join("\n");
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

export function showQueue(queue, user) {
  toggle("queue", "queue-empty", queue);
  const rows = queue.map((entry, number) => ({ ...entry, place: number + 1 }));
  keepRows(byId("queue"), rows, {
    template: byId("t-queue"),
    keyOf: (line) => line.dataset.place ?? "",
    key: (entry) => entry.place,
    show: (line, entry) => {
      line.dataset.place = entry.place;
      fill(line, queueRow(entry, user));
    },
  });
}

/** The reason log, newest first. */
export class Log {
  #root = byId("log");
  #template = byId("t-decision");

  /** All of it, anew. */
  show(decisions) {
    this.#root.replaceChildren();
    this.add(decisions);
    toggle("log", "log-empty", decisions);
  }

  add(decisions) {
    for (const decision of decisions) {
      const line = this.#template.content.firstElementChild.cloneNode(true);
      const time = line.querySelector("time");
      const at = new Date(decision.at * 1000);
      time.dateTime = at.toISOString();
      fill(line, { time: at.toLocaleTimeString(undefined, { hour12: false }), kind: decision.kind, sentence: decision.sentence });
      line.dataset.kind = decision.kind;
      this.#root.prepend(line);
    }
    while (this.#root.childElementCount > MOST_LOGGED) this.#root.lastElementChild.remove();
    if (decisions.length) toggle("log", "log-empty", decisions);
  }
}
