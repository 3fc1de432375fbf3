// @ts-check
// Ten minutes in three charts. Drawn only while the tab is seen; the figures are kept meanwhile.
import uPlot from "../../vendor/uplot/uPlot.esm.js";
import { byId, find, findAll } from "../shared/dom.js";
import { dashboard } from "../shared/words.js";

/**
 * @import { Backlog, Delta, DeviceTelemetry, Series } from "./frames"
 * @typedef {"speed" | "memory" | "busy"} Chart
 */

const N_SAMPLES = 600;
const HEIGHT = 180;
const GIB = 1024 ** 3;
const DEVICE_COLOURS = 6;

/** @param {string} name */
const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
/** @param {number} at seconds since 1970 */
const clock = (at) => new Date(at * 1000).toLocaleTimeString("en-GB");
/**
 * @param {number | null | undefined} value
 * @param {number} digits
 */
const figure = (value, digits) => (value === null || value === undefined ? "–" : value.toFixed(digits));

/**
 * Which series a chart shows, and how.
 * @type {Record<Chart, {suffix: string, scale: number, digits: number, least: number}>}
 */
const CHARTS = {
  speed: { suffix: "tokens_per_second", scale: 1, digits: 1, least: 1 },
  memory: { suffix: "used_bytes", scale: GIB, digits: 1, least: 1 },
  busy: { suffix: "utilisation_percent", scale: 1, digits: 0, least: 100 },
};

/** The samples of the last ten minutes, by series. */
class Samples {
  /** @type {number[]} */
  at = [];
  /** @type {Map<string, Series>} */
  series = new Map();

  /**
   * @param {number[]} at
   * @param {Record<string, Series>} series
   */
  fill(at, series) {
    this.at = [...at];
    this.series = new Map(Object.entries(series).map(([name, values]) => [name, [...values]]));
  }

  /**
   * @param {number} at
   * @param {Record<string, number | null>} figures
   */
  add(at, figures) {
    for (const [name, value] of Object.entries(figures)) {
      if (value !== null && !this.series.has(name)) this.series.set(name, new Array(this.at.length).fill(null));
    }
    this.at.push(at);
    for (const [name, values] of this.series) values.push(figures[name] ?? null);
    if (this.at.length > N_SAMPLES) {
      this.at.shift();
      for (const [name, values] of this.series) {
        values.shift();
        if (values.every((value) => value === null)) this.series.delete(name);
      }
    }
  }
}

export class Charts {
  #root = byId("charts");
  #samples = new Samples();
  /** @type {Map<Chart, {names: string[], plot: uPlot}>} */
  #plots = new Map();
  #colours;
  #nameOf;
  /** @type {DeviceTelemetry[]} */
  #devices = [];

  /**
   * @param {{of(key: string): number}} colours as in the bars
   * @param {(key: string) => string} nameOf by residentKey
   */
  constructor(colours, nameOf) {
    this.#colours = colours;
    this.#nameOf = nameOf;
    document.addEventListener("visibilitychange", () => this.#draw());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#redraw());
    new MutationObserver(() => this.#redraw()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    new ResizeObserver(() => this.#resize()).observe(this.#root);
  }

  /** @param {Backlog} backlog */
  fill(backlog) {
    this.#devices = backlog.devices;
    this.#samples.fill(backlog.at, backlog.series);
    this.#draw();
  }

  /** @param {Delta} delta */
  add(delta) {
    this.#devices = delta.devices;
    this.#samples.add(delta.at, delta.figures);
    this.#draw();
  }

  #draw() {
    if (document.hidden) return;
    for (const box of findAll(this.#root, "[data-chart]")) this.#drawOne(box);
  }

  #redraw() {
    for (const { plot } of this.#plots.values()) plot.destroy();
    this.#plots.clear();
    this.#draw();
  }

  /** @param {HTMLElement} box */
  #drawOne(box) {
    const kind = /** @type {Chart} */ (box.dataset.chart);
    const { suffix, scale } = CHARTS[kind];
    const names = [...this.#samples.series.keys()].filter((name) => name.endsWith(`.${suffix}`)).sort();
    /** @type {uPlot.AlignedData} */
    const data = [this.#samples.at, ...names.map((name) => scaled(this.#samples.series.get(name) ?? [], scale))];
    const known = this.#plots.get(kind);
    const same = known && known.names.join() === names.join();
    if (same) {
      known.plot.setData(data);
      return;
    }
    known?.plot.destroy();
    const place = find(box, ".chart");
    this.#plots.set(kind, { names, plot: new uPlot(this.#options(kind, names, place.clientWidth), data, place) });
  }

  /**
   * @param {Chart} kind
   * @param {string[]} names
   * @param {number} width
   * @returns {uPlot.Options}
   */
  #options(kind, names, width) {
    const { digits, least } = CHARTS[kind];
    const axis = { stroke: token("text-soft"), grid: { stroke: token("line"), width: 1 }, ticks: { show: false }, font: `12px ${token("font")}` };
    const top = kind === "memory" ? Math.max(1, ...this.#devices.map((each) => each.capacity_bytes / GIB)) : least;
    /** @type {uPlot.Range.Function} */
    const range = kind === "speed" ? (_plot, _low, high) => [0, Math.max(high * 1.1, least)] : () => [0, top];
    return {
      width,
      height: HEIGHT,
      legend: { live: true },
      cursor: { y: false, points: { size: 6 } },
      scales: { x: { time: true }, y: { range } },
      axes: [{ ...axis, space: 70, values: (_plot, moments) => moments.map((at) => clock(at).slice(0, 5)) }, { ...axis, size: 40, space: 36 }],
      series: [
        { value: (_plot, at) => (at === null || at === undefined ? "–" : clock(at)) },
        ...names.map((name) => ({ ...this.#line(name), width: 2, points: { show: false }, value: told(digits) })),
      ],
    };
  }

  /** @param {string} name */
  #line(name) {
    const [whose, ...rest] = name.split(".");
    if (whose === "variant") {
      const key = rest.slice(0, -1).join(".");
      return { label: this.#nameOf(key), stroke: token(`series-${this.#colours.of(key)}`) };
    }
    const place = Math.max(0, this.#devices.findIndex((each) => each.device === whose));
    const busy = name.endsWith(".utilisation_percent") && whose === "ram";
    const label = busy ? dashboard.processor : (this.#devices[place]?.name ?? whose);
    return { label, stroke: token(`series-${(place % DEVICE_COLOURS) + 1}`) };
  }

  #resize() {
    if (document.hidden) return;
    for (const box of findAll(this.#root, "[data-chart]")) {
      const width = find(box, ".chart").clientWidth;
      const known = this.#plots.get(/** @type {Chart} */ (box.dataset.chart));
      if (known && width > 0 && known.plot.width !== width) known.plot.setSize({ width, height: HEIGHT });
    }
  }
}

/**
 * What the legend says: of the moment under the pointer, and without one of the latest.
 * @param {number} digits
 * @returns {uPlot.Series.Value}
 */
function told(digits) {
  return (plot, value, series, moment) => figure(moment === null ? plot.data[series].at(-1) : value, digits);
}

/**
 * @param {Series} values
 * @param {number} scale
 */
function scaled(values, scale) {
  return scale === 1 ? values : values.map((value) => (value === null ? null : value / scale));
}
