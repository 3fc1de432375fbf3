// One variant: its residency follows the box; staff load, unload and pin it without leaving the page.
import { showTopbar } from "../dashboard/lists.js";
import { act, LoadDialog } from "../dashboard/load_dialog.js";
import { stateWords } from "../dashboard/words.js";
import { mountJobs } from "../jobs/panel.js";
import { followResidency } from "../shared/residency.js";

const byId = (id) => document.getElementById(id);
const own = Number(document.body.dataset.variant);

function refuse(text) {
  byId("refusal").hidden = !text;
  byId("refusal").textContent = text;
}

function show(variants) {
  showTopbar(variants);
  const found = variants.find((each) => each.variant_id === own);
  const state = found?.state ?? "absent";
  const chip = byId("state");
  chip.dataset.state = state;
  const words = stateWords(state, found?.fraction ?? null);
  if (chip.textContent !== words) chip.textContent = words;
  const isAway = state === "absent" || state === "failed";
  if (byId("load-open")) byId("load-open").hidden = !isAway;
  if (byId("unload")) byId("unload").hidden = isAway;
  if (found) showPinned(found.pinned);
}

function showPinned(pinned) {
  byId("pinned").hidden = !pinned;
  const button = byId("pin");
  if (!button) return;
  button.value = pinned ? "unpin" : "pin";
  button.setAttribute("aria-pressed", String(pinned));
}

const loadDialog = byId("load") && new LoadDialog(byId("load"), refuse);

document.addEventListener("submit", async (event) => {
  const form = event.target.closest("form.residency");
  if (!form) return;
  event.preventDefault();
  const button = event.submitter;
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
  const link = event.target.closest("[data-load]");
  // Held keys mean another tab, where the page without scripts does the same.
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  refuse("");
  loadDialog.open(link.href);
});

followResidency(show);

for (const panel of document.querySelectorAll("[data-jobs]")) mountJobs(panel);
