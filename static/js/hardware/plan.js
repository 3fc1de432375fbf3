// @ts-check
import { around, byId, childrenOf, copyOf, find, findAll } from "../shared/dom.js";
import { plan as words } from "../shared/words.js";

/** @import { Answer, Bar } from "./answer" */

const SVG = "http://www.w3.org/2000/svg";

/**
 * @param {ParentNode} root
 * @param {object} values
 */
function fill(root, values) {
  const known = /** @type {Record<string, unknown>} */ (values);
  for (const place of findAll(root, "[data-field]")) place.textContent = String(known[place.dataset.field ?? ""] ?? "");
}

/** @param {string} id of a template */
function cloned(id) {
  return copyOf(byId(id, HTMLTemplateElement));
}

/**
 * Makes `list` have as many children as `rows`, each made by `make` and brought up to date by `update(child, row, number)`.
 * @template R
 * @template {Element} E
 * @param {Element} list
 * @param {R[]} rows
 * @param {() => E} make
 * @param {(child: E, row: R, number: number) => void} update
 */
function patch(list, rows, make, update) {
  while (list.childElementCount > rows.length) list.lastElementChild?.remove();
  while (list.childElementCount < rows.length) list.append(make());
  rows.forEach((row, number) => update(/** @type {E} */ (list.children[number]), row, number));
}

function legendItem() {
  const item = document.createElement("li");
  const swatch = document.createElement("span");
  swatch.setAttribute("aria-hidden", "true");
  const label = document.createElement("span");
  label.className = "legend-label";
  const text = document.createElement("span");
  text.className = "figure";
  item.append(swatch, label, text);
  return item;
}

/**
 * @param {HTMLElement} node
 * @param {Bar} bar
 */
function drawBar(node, bar) {
  fill(node, bar);
  const graph = find(node, "svg", SVGSVGElement);
  graph.setAttribute("aria-label", bar.sentence);
  patch(graph, bar.segments, () => document.createElementNS(SVG, "rect"), (rect, { kind, x, width }) => {
    rect.setAttribute("class", kind);
    rect.setAttribute("x", String(x));
    rect.setAttribute("width", String(width));
    rect.setAttribute("height", "10");
  });
  patch(find(node, ".legend"), bar.segments, legendItem, (item, { kind, label, text, width }) => {
    item.hidden = width === 0;
    const [swatch, name, figure] = childrenOf(item);
    swatch.className = `swatch ${kind}`;
    name.textContent = label;
    figure.textContent = text;
  });
}

/** The answer to what-if. The server has painted the first one; later ones (inference.web.plans.what_if.Answer) are drawn over it. */
export class Plan {
  #root = byId("plan");
  #found = byId("plan-found");
  #bars = byId("plan-bars");
  #list = byId("plan-ways");
  /** @type {Answer} */
  #answer = JSON.parse(document.getElementById("plan-payload")?.textContent ?? '{"ways": [], "reason": null}');
  #shown = 0;

  constructor() {
    this.#list.addEventListener("click", (event) => {
      const link = around(event.target, "a");
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      this.#choose(childrenOf(this.#list).findIndex((item) => item.contains(link)));
    });
  }

  /** What is shown, in a sentence. */
  get verdict() {
    const way = this.#answer.ways[this.#shown];
    if (!way) return this.#answer.reason ?? "";
    return words.verdict({ speed: way.decode, title: way.title, bars: way.bars.map((bar) => bar.sentence).join(" ") });
  }

  stale() {
    this.#root.classList.add("stale");
  }

  /** @param {Answer} answer */
  show(answer) {
    this.#answer = answer;
    this.#root.hidden = false;
    this.#root.classList.remove("stale");
    for (const [name, text] of Object.entries({ reason: answer.reason, note: answer.note })) {
      const place = byId(`plan-${name}`);
      place.textContent = text ?? "";
      place.hidden = !text;
    }
    this.#found.hidden = answer.ways.length === 0;
    patch(this.#list, answer.ways, () => cloned("t-way"), (item, way, number) => {
      fill(item, way);
      const query = new URLSearchParams(location.search);
      query.set("way", String(number));
      find(item, "a", HTMLAnchorElement).href = `?${query}#what-if`;
    });
    if (answer.ways.length > 0) this.#choose(0);
  }

  /** @param {number} number */
  #choose(number) {
    this.#shown = number;
    const way = this.#answer.ways[number];
    fill(byId("plan-headline"), way);
    patch(this.#bars, way.bars, () => cloned("t-bar"), drawBar);
    byId("plan-know").hidden = way.cautions.length === 0;
    patch(byId("plan-cautions"), way.cautions, () => document.createElement("li"), (item, caution) => {
      item.textContent = caution;
    });
    childrenOf(this.#list).forEach((item, at) => {
      if (at === number) find(item, "a").setAttribute("aria-current", "true");
      else find(item, "a").removeAttribute("aria-current");
    });
  }
}
