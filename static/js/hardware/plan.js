const SVG = "http://www.w3.org/2000/svg";

function fill(root, values) {
  for (const place of root.querySelectorAll("[data-field]")) place.textContent = values[place.dataset.field] ?? "";
}

function cloned(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}

/** Makes `list` have as many children as `rows`, each made by `make` and brought up to date by `update(child, row, number)`. */
function patch(list, rows, make, update) {
  while (list.childElementCount > rows.length) list.lastElementChild.remove();
  while (list.childElementCount < rows.length) list.append(make());
  rows.forEach((row, number) => update(list.children[number], row, number));
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

function drawBar(node, bar) {
  fill(node, bar);
  const graph = node.querySelector("svg");
  graph.setAttribute("aria-label", bar.sentence);
  patch(graph, bar.segments, () => document.createElementNS(SVG, "rect"), (rect, { kind, x, width }) => {
    rect.setAttribute("class", kind);
    rect.setAttribute("x", x);
    rect.setAttribute("width", width);
    rect.setAttribute("height", 10);
  });
  patch(node.querySelector(".legend"), bar.segments, legendItem, (item, { kind, label, text, width }) => {
    item.hidden = width === 0;
    item.children[0].className = `swatch ${kind}`;
    item.children[1].textContent = label;
    item.children[2].textContent = text;
  });
}

/** The answer to what-if. The server has painted the first one; later ones (inference.web.plans.what_if.Answer) are drawn over it. */
export class Plan {
  #root = document.getElementById("plan");
  #found = document.getElementById("plan-found");
  #bars = document.getElementById("plan-bars");
  #list = document.getElementById("plan-ways");
  #answer = JSON.parse(document.getElementById("plan-payload")?.textContent ?? '{"ways": [], "reason": null}');
  #shown = 0;

  constructor() {
    this.#list.addEventListener("click", (event) => {
      const link = event.target.closest("a");
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      this.#choose([...this.#list.children].indexOf(link.parentElement));
    });
  }

  /** What is shown, in a sentence. */
  get verdict() {
    const way = this.#answer.ways[this.#shown];
    return way ? `${way.decode} tokens per second. ${way.title}. ${way.bars.map((bar) => bar.sentence).join(" ")}` : this.#answer.reason;
  }

  stale() {
    this.#root.classList.add("stale");
  }

  show(answer) {
    this.#answer = answer;
    this.#root.hidden = false;
    this.#root.classList.remove("stale");
    for (const name of ["reason", "note"]) {
      const place = document.getElementById(`plan-${name}`);
      place.textContent = answer[name] ?? "";
      place.hidden = !answer[name];
    }
    this.#found.hidden = answer.ways.length === 0;
    patch(this.#list, answer.ways, () => cloned("t-way"), (item, way, number) => {
      fill(item, way);
      const query = new URLSearchParams(location.search);
      query.set("way", number);
      item.firstElementChild.href = `?${query}#what-if`;
    });
    if (answer.ways.length > 0) this.#choose(0);
  }

  #choose(number) {
    this.#shown = number;
    const way = this.#answer.ways[number];
    fill(document.getElementById("plan-headline"), way);
    patch(this.#bars, way.bars, () => cloned("t-bar"), drawBar);
    document.getElementById("plan-know").hidden = way.cautions.length === 0;
    patch(document.getElementById("plan-cautions"), way.cautions, () => document.createElement("li"), (item, caution) => {
      item.textContent = caution;
    });
    [...this.#list.children].forEach((item, at) => {
      if (at === number) item.firstElementChild.setAttribute("aria-current", "true");
      else item.firstElementChild.removeAttribute("aria-current");
    });
  }
}
