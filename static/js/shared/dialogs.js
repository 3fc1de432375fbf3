// @ts-check
import { byId, find } from "./dom.js";

/**
 * Wires the dialog `id`: Cancel closes it, submitting calls `onSubmit(form)`. Returns the dialog.
 * @param {string} id
 * @param {(form: HTMLFormElement) => void} onSubmit
 */
export function dialog(id, onSubmit = () => {}) {
  const root = byId(id, HTMLDialogElement);
  const form = find(root, "form", HTMLFormElement);
  root.querySelector("[data-action=cancel]")?.addEventListener("click", () => root.close());
  root.addEventListener("click", (event) => {
    if (event.target === root) root.close(); // the backdrop
  });
  form.addEventListener("submit", () => onSubmit(form));
  return root;
}
