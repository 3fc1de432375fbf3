// @ts-check
// The inventory: residency follows the box, plans come in as they are worked out, and filters apply when chosen.
import { ON_DISK, showTopbar } from "../dashboard/lists.js";
import { stateWords } from "../dashboard/words.js";
import { mountJobs } from "../jobs/panel.js";
import { find, findAll, ifThere } from "../shared/dom.js";
import { followResidency } from "../shared/residency.js";
import { residentKey } from "../shared/resident_key.js";

/**
 * @import { VariantTelemetry } from "../dashboard/frames"
 * @typedef {{fit: string, words: string, speed: string, detail: string}} Badge
 */

const PLANS_AT_ONCE = 24;

/** Plans that the server did not have ready, from the top down. */
class Plans {
  #url = document.body.dataset.plansUrl;
  /** @type {Map<string, HTMLElement>} */
  #cells = new Map();

  /** @param {HTMLTableElement} table */
  constructor(table) {
    for (const cell of findAll(table, "[data-plan]")) this.#cells.set(cell.parentElement?.dataset.variant ?? "", cell);
  }

  async fetch() {
    while (this.#cells.size) {
      const ids = [...this.#cells.keys()].slice(0, PLANS_AT_ONCE);
      /** @type {Record<string, Badge>} */
      let found;
      try {
        const response = await fetch(`${this.#url}?ids=${ids}`, { headers: { Accept: "application/json" } });
        if (!response.ok || response.redirected) return;
        found = await response.json();
      } catch {
        return; // The page is complete without them.
      }
      if (!Object.keys(found).length) {
        for (const id of ids) this.#cells.delete(id); // without files, or gone meanwhile
        continue;
      }
      for (const [id, badge] of Object.entries(found)) this.#show(id, badge);
    }
  }

  /**
   * @param {string} id
   * @param {Badge} badge
   */
  #show(id, { fit, words, speed, detail }) {
    const cell = this.#cells.get(id);
    this.#cells.delete(id);
    if (!cell) return;
    const chip = document.createElement("span");
    chip.className = "chip";
    chip.dataset.fit = fit;
    chip.title = detail;
    chip.textContent = words;
    const rate = document.createElement("span");
    rate.className = "soft figure";
    rate.textContent = speed;
    cell.replaceChildren(chip, " ", rate);
  }
}

/**
 * @param {[id: string, chip: HTMLElement][]} chips
 * @param {VariantTelemetry[]} variants
 */
function showStates(chips, variants) {
  showTopbar(variants);
  const states = new Map(variants.map((each) => [residentKey(each), each]));
  for (const [id, chip] of chips) {
    const { state, fraction } = states.get(id) ?? ON_DISK;
    const words = stateWords(state, fraction);
    if (chip.textContent === words) continue;
    chip.dataset.state = state;
    chip.textContent = words;
  }
}

const table = ifThere("shelf", HTMLTableElement);
if (table) {
  /** @type {[id: string, chip: HTMLElement][]} */
  const chips = [...table.tBodies[0].rows].map((row) => [row.dataset.variant ?? "", find(row, ".chip[data-state]")]);
  followResidency((variants) => showStates(chips, variants));
  new Plans(table).fetch();
}

const narrow = ifThere("narrow", HTMLFormElement);
narrow?.addEventListener("change", (event) => {
  if (event.target instanceof HTMLSelectElement) narrow.requestSubmit();
});

for (const panel of findAll(document, "[data-jobs]")) mountJobs(panel);
