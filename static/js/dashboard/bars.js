// One card a device: a bar of what lies in its memory, and the same in exact numbers.
import { fill, keepRows } from "../shared/fill.js";
import { binary } from "../shared/numbers.js";
import { deviceFacts, deviceNote, KIND_WORDS } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 1000;
const N_COLOURS = 6;
const byId = (id) => document.getElementById(id);

/** Which variant has which colour, for as long as the page is open: one that leaves takes none of the others' along. */
export class Colours {
  #of = new Map();

  keep(variants) {
    for (const id of variants.map((each) => each.variant_id).sort((a, b) => a - b)) this.of(id);
  }

  /** One of its own also for a variant that has left and shows in the charts. */
  of(id) {
    if (!this.#of.has(id)) this.#of.set(id, (this.#of.size % N_COLOURS) + 1);
    return this.#of.get(id);
  }
}

export class Bars {
  #root = byId("devices");
  #colours;

  constructor(colours) {
    this.#colours = colours;
    this.#root.addEventListener("pointerover", (event) => this.#point(event.target));
    this.#root.addEventListener("pointerout", (event) => this.#unpoint(event.target.closest(".device")));
    this.#root.addEventListener("focusout", (event) => this.#unpoint(event.target.closest(".device")));
    this.#root.addEventListener("keydown", (event) => this.#walk(event));
  }

  show(devices, variants) {
    const names = new Map(variants.map((each) => [each.variant_id, each.name]));
    keepRows(this.#root, devices, {
      template: byId("t-bar"),
      keyOf: (card) => card.dataset.device,
      key: (device) => device.device,
      show: (card, device) => this.#card(card, device, names),
    });
  }

  #card(card, device, names) {
    card.dataset.device = device.device;
    card.querySelector("h2").id = `device-${device.device}`;
    card.setAttribute("aria-labelledby", `device-${device.device}`);
    fill(card.querySelector(".card-head"), { name: device.name, facts: deviceFacts(device) });
    fill(card.querySelector(".note"), { note: deviceNote(device) });
    const held = device.segments.reduce((sum, each) => sum + each.bytes, 0);
    const whole = Math.max(1, device.capacity_bytes, held);
    const rows = this.#rows(device, names);
    const svg = card.querySelector("svg");
    const summary = rows.map((row) => `${row.name} ${row.size}`).join("; ");
    svg.setAttribute("aria-label", `${device.name}: ${summary}. Arrow keys tell each part.`);
    this.#parts(svg, device, whole, names);
    const budget = svg.querySelector(".budget");
    for (const end of ["x1", "x2"]) budget.setAttribute(end, ((WIDTH * device.budget_bytes) / whole).toFixed(2));
    this.#legend(card.querySelector(".legend tbody"), rows);
    const pointed = svg.querySelector(".pointed");
    // Not while the keyboard is here: a screen reader would be told every second.
    if (pointed && document.activeElement !== svg) this.#read(card, pointed);
  }

  #parts(svg, device, whole, names) {
    const budget = svg.querySelector(".budget");
    const old = new Map([...svg.querySelectorAll("rect")].map((rect) => [rect.dataset.key, rect]));
    let x = 0;
    for (const segment of device.segments) {
      const key = `${segment.variant_id ?? ""} ${segment.kind}`;
      const rect = old.get(key) ?? document.createElementNS(SVG, "rect");
      old.delete(key);
      const width = (WIDTH * segment.bytes) / whole;
      const mine = segment.variant_id === null ? "" : ` c${this.#colours.of(segment.variant_id)}`;
      const pointed = rect.classList.contains("pointed") ? " pointed" : "";
      rect.setAttribute("class", `part ${segment.kind}${mine}${pointed}`);
      for (const [name, value] of [["x", x], ["y", 0], ["width", width], ["height", 32]]) rect.setAttribute(name, value.toFixed(2));
      const words = `${KIND_WORDS[segment.kind]} ${binary(segment.bytes)}`;
      rect.dataset.key = key;
      rect.dataset.words = segment.variant_id === null ? words : `${names.get(segment.variant_id) ?? "a model"}: ${words}`;
      svg.insertBefore(rect, budget);
      x += width;
    }
    for (const rect of old.values()) rect.remove();
  }

  #rows(device, names) {
    const rows = new Map();
    for (const { variant_id: owner, kind, bytes } of device.segments) {
      const words = `${KIND_WORDS[kind]} ${binary(bytes)}`;
      if (owner === null) {
        rows.set(kind, { key: kind, kind, colour: null, name: KIND_WORDS[kind], size: binary(bytes), parts: "" });
        continue;
      }
      const row = rows.get(owner) ?? { key: owner, kind: "weights", colour: this.#colours.of(owner), bytes: 0, parts: "" };
      row.name = names.get(owner) ?? "a model";
      row.bytes += bytes;
      row.size = binary(row.bytes);
      row.parts += row.parts ? ` · ${words}` : words;
      rows.set(owner, row);
    }
    return [...rows.values()];
  }

  #legend(list, rows) {
    keepRows(list, rows, {
      template: byId("t-legend"),
      keyOf: (line) => line.dataset.key ?? "",
      key: (row) => row.key,
      show: (line, row) => {
        line.dataset.key = row.key;
        line.querySelector(".swatch").className = `swatch ${row.kind}${row.colour ? ` c${row.colour}` : ""}`;
        fill(line, { name: row.name, size: row.size, parts: row.parts });
      },
    });
  }

  // one part, told exactly ---------------------------------------------------------------------------------------

  #point(target) {
    const card = target.closest(".device");
    if (target.matches?.(".part")) this.#mark(card, target);
  }

  #walk(event) {
    const svg = event.target.closest("svg");
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!svg || !step) return;
    event.preventDefault();
    const parts = [...svg.querySelectorAll(".part")];
    const at = parts.findIndex((part) => part.classList.contains("pointed"));
    const next = at < 0 ? (step > 0 ? 0 : parts.length - 1) : Math.min(Math.max(at + step, 0), parts.length - 1);
    this.#mark(svg.closest(".device"), parts[next]);
  }

  #mark(card, part) {
    card.querySelector(".pointed")?.classList.remove("pointed");
    part.classList.add("pointed");
    card.querySelector("svg").classList.add("pointing");
    this.#read(card, part);
  }

  #unpoint(card) {
    if (!card) return;
    card.querySelector(".pointed")?.classList.remove("pointed");
    card.querySelector("svg").classList.remove("pointing");
    fill(card, { readout: "" });
  }

  #read(card, part) {
    fill(card, { readout: part.dataset.words });
  }
}
