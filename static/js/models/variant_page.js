// @ts-check
// One variant: its residency follows the box; staff load, unload and pin it without leaving the page.
import { showTopbar } from "../dashboard/lists.js";
import { act, LoadDialog } from "../dashboard/load_dialog.js";
import { stateWords } from "../dashboard/words.js";
import { mountJobs } from "../jobs/panel.js";
import { around, byId, findAll, ifThere } from "../shared/dom.js";
import { followResidency } from "../shared/residency.js";
import { residentKey } from "../shared/resident_key.js";

/** @import { VariantTelemetry } from "../dashboard/frames" */

const own = document.body.dataset.variant;

/** @param {string} text */
function refuse(text) {
  byId("refusal").hidden = !text;
  byId("refusal").textContent = text;
}

/** @param {VariantTelemetry[]} variants */
function show(variants) {
  showTopbar(variants);
  const found = variants.find((each) => residentKey(each) === own);
  const state = found?.state ?? "absent";
  const chip = byId("state");
  chip.dataset.state = state;
  const words = stateWords(state, found?.fraction ?? null);
  if (chip.textContent !== words) chip.textContent = words;
  const isAway = state === "absent" || state === "failed";
  const [load, unload] = [ifThere("load-open"), ifThere("unload")];
  if (load) load.hidden = !isAway;
  if (unload) unload.hidden = isAway;
  if (found) showPinned(found.pinned);
}

/** @param {boolean} pinned */
function showPinned(pinned) {
  byId("pinned").hidden = !pinned;
  const button = ifThere("pin", HTMLButtonElement);
  if (!button) return;
  button.value = pinned ? "unpin" : "pin";
  button.setAttribute("aria-pressed", String(pinned));
}

const loadRoot = ifThere("load");
const loadDialog = loadRoot && new LoadDialog(loadRoot, refuse);

document.addEventListener("submit", async (event) => {
  const form = around(event.target, "form.residency", HTMLFormElement);
  const button = event.submitter;
  if (!form || !(button instanceof HTMLButtonElement)) return;
  event.preventDefault();
  const action = button.value;
  const doing = act(form, button);
  button.disabled = true;
  const detail = await doing;
  refuse(detail);
  button.disabled = false;
  // The box tells of variants in memory only; of one on disk this is all there is to know.
  if (!detail && (action === "pin" || action === "unpin")) showPinned(action === "pin");
});

document.addEventListener("click", (event) => {
  const link = around(event.target, "[data-load]", HTMLAnchorElement);
  // Held keys mean another tab, where the page without scripts does the same.
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  refuse("");
  loadDialog?.open(link.href);
});

followResidency(show);

for (const panel of findAll(document, "[data-jobs]")) mountJobs(panel);
