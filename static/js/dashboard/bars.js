// @ts-check
// One card a device: a bar of what lies in its memory, and the same in exact numbers.
import { around, byId, find, findAll } from "../shared/dom.js";
import { fill, keepRows } from "../shared/fill.js";
import { size } from "../shared/numbers.js";
import { ownerKey, residentKey } from "../shared/resident_key.js";
import { box, dashboard, memory } from "../shared/words.js";
import { deviceFacts, deviceNote } from "./words.js";

/**
 * @import { DeviceTelemetry, VariantTelemetry } from "./frames"
 * @typedef {{key: string, kind: string, colour: number | null, name: string, size: string, parts: string}} LegendRow
 */

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 1000;
const N_COLOURS = 6;

/** Which variant has which colour, for as long as the page is open: one that leaves takes none of the others' along. */
export class Colours {
  /** @type {Map<string, number>} */
  #of = new Map();

  /** @param {VariantTelemetry[]} variants */
  keep(variants) {
    const inOrder = [...variants].sort((a, b) => a.variant_id - b.variant_id || (a.purpose < b.purpose ? -1 : 1));
    for (const each of inOrder) this.of(residentKey(each));
  }

  /**
   * One of its own also for a variant that has left and shows in the charts.
   * @param {string} key
   */
  of(key) {
    const colour = this.#of.get(key) ?? (this.#of.size % N_COLOURS) + 1;
    this.#of.set(key, colour);
    return colour;
  }
}

export class Bars {
  #root = byId("devices");
  #colours;

  /** @param {Colours} colours */
  constructor(colours) {
    this.#colours = colours;
    this.#root.addEventListener("pointerover", (event) => this.#point(event.target));
    this.#root.addEventListener("pointerout", (event) => this.#unpoint(around(event.target, ".device")));
    this.#root.addEventListener("focusout", (event) => this.#unpoint(around(event.target, ".device")));
    this.#root.addEventListener("keydown", (event) => this.#walk(event));
  }

  /**
   * @param {DeviceTelemetry[]} devices
   * @param {VariantTelemetry[]} variants
   */
  show(devices, variants) {
    const names = new Map(variants.map((each) => [residentKey(each), each.name]));
    keepRows(this.#root, devices, {
      template: byId("t-bar", HTMLTemplateElement),
      keyOf: (card) => card.dataset.device,
      key: (device) => device.device,
      show: (card, device) => this.#card(card, device, names),
    });
  }

  /**
   * @param {HTMLElement} card
   * @param {DeviceTelemetry} device
   * @param {Map<string, string>} names
   */
  #card(card, device, names) {
    card.dataset.device = device.device;
    find(card, "h2").id = `device-${device.device}`;
    card.setAttribute("aria-labelledby", `device-${device.device}`);
    fill(find(card, ".card-head"), { name: device.name, facts: deviceFacts(device) });
    fill(find(card, ".note"), { note: deviceNote(device) });
    const held = device.segments.reduce((sum, each) => sum + each.bytes, 0);
    const whole = Math.max(1, device.capacity_bytes, held);
    const rows = this.#rows(device, names);
    const svg = find(card, "svg", SVGSVGElement);
    const summary = rows.map((row) => `${row.name} ${row.size}`).join("; ");
    svg.setAttribute("aria-label", dashboard.bar({ name: device.name, summary }));
    this.#parts(svg, device, whole, names);
    const budget = find(svg, ".budget", SVGLineElement);
    for (const end of ["x1", "x2"]) budget.setAttribute(end, ((WIDTH * device.budget_bytes) / whole).toFixed(2));
    this.#legend(find(card, ".legend tbody"), rows);
    const pointed = svg.querySelector(".pointed");
    // Not while the keyboard is here: a screen reader would be told every second.
    if (pointed instanceof SVGElement && document.activeElement !== svg) this.#read(card, pointed);
  }

  /**
   * @param {SVGSVGElement} svg
   * @param {DeviceTelemetry} device
   * @param {number} whole bytes that the bar's width stands for
   * @param {Map<string, string>} names
   */
  #parts(svg, device, whole, names) {
    const budget = find(svg, ".budget", SVGLineElement);
    const old = new Map([...svg.querySelectorAll("rect")].map((rect) => [rect.dataset.key, rect]));
    let x = 0;
    for (const segment of device.segments) {
      const owner = ownerKey(segment);
      const key = `${owner ?? ""} ${segment.kind}`;
      const rect = old.get(key) ?? document.createElementNS(SVG, "rect");
      old.delete(key);
      const width = (WIDTH * segment.bytes) / whole;
      const mine = owner === null ? "" : ` c${this.#colours.of(owner)}`;
      const pointed = rect.classList.contains("pointed") ? " pointed" : "";
      rect.setAttribute("class", `part ${segment.kind}${mine}${pointed}`);
      for (const [name, value] of Object.entries({ x, y: 0, width, height: 32 })) rect.setAttribute(name, value.toFixed(2));
      const words = `${memory[segment.kind]} ${size(segment.bytes)}`;
      rect.dataset.key = key;
      rect.dataset.words = owner === null ? words : `${names.get(owner) ?? box.aModel}: ${words}`;
      svg.insertBefore(rect, budget);
      x += width;
    }
    for (const rect of old.values()) rect.remove();
  }

  /**
   * @param {DeviceTelemetry} device
   * @param {Map<string, string>} names
   * @returns {LegendRow[]}
   */
  #rows(device, names) {
    /** @type {Map<string, LegendRow & {bytes: number}>} */
    const rows = new Map();
    for (const segment of device.segments) {
      const { kind, bytes } = segment;
      const owner = ownerKey(segment);
      const words = `${memory[kind]} ${size(bytes)}`;
      if (owner === null) {
        rows.set(kind, { key: kind, kind, colour: null, bytes, name: memory[kind], size: size(bytes), parts: "" });
        continue;
      }
      const name = names.get(owner) ?? box.aModel;
      const row = rows.get(owner) ?? { key: owner, kind: "weights", colour: this.#colours.of(owner), bytes: 0, name, size: "", parts: "" };
      row.bytes += bytes;
      row.size = size(row.bytes);
      row.parts += row.parts ? ` · ${words}` : words;
      rows.set(owner, row);
    }
    return [...rows.values()];
  }

  /**
   * @param {HTMLElement} list
   * @param {LegendRow[]} rows
   */
  #legend(list, rows) {
    keepRows(list, rows, {
      template: byId("t-legend", HTMLTemplateElement),
      keyOf: (line) => line.dataset.key ?? "",
      key: (row) => row.key,
      show: (line, row) => {
        line.dataset.key = row.key;
        find(line, ".swatch").className = `swatch ${row.kind}${row.colour ? ` c${row.colour}` : ""}`;
        fill(line, { name: row.name, size: row.size, parts: row.parts });
      },
    });
  }

  // one part, told exactly ---------------------------------------------------------------------------------------

  /** @param {EventTarget | null} target */
  #point(target) {
    const card = around(target, ".device");
    if (card && target instanceof SVGElement && target.matches(".part")) this.#mark(card, target);
  }

  /** @param {KeyboardEvent} event */
  #walk(event) {
    const svg = around(event.target, "svg", SVGSVGElement);
    const card = around(svg, ".device");
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (!svg || !card || !step) return;
    event.preventDefault();
    const parts = findAll(svg, ".part", SVGElement);
    const at = parts.findIndex((part) => part.classList.contains("pointed"));
    const next = at < 0 ? (step > 0 ? 0 : parts.length - 1) : Math.min(Math.max(at + step, 0), parts.length - 1);
    if (parts[next]) this.#mark(card, parts[next]);
  }

  /**
   * @param {HTMLElement} card
   * @param {SVGElement} part
   */
  #mark(card, part) {
    card.querySelector(".pointed")?.classList.remove("pointed");
    part.classList.add("pointed");
    find(card, "svg", SVGSVGElement).classList.add("pointing");
    this.#read(card, part);
  }

  /** @param {HTMLElement | null} card */
  #unpoint(card) {
    if (!card) return;
    card.querySelector(".pointed")?.classList.remove("pointed");
    find(card, "svg", SVGSVGElement).classList.remove("pointing");
    fill(card, { readout: "" });
  }

  /**
   * @param {HTMLElement} card
   * @param {SVGElement} part
   */
  #read(card, part) {
    fill(card, { readout: part.dataset.words });
  }
}
