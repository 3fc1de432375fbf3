/** Wires the dialog `id`: Cancel closes it, submitting calls `onSubmit(form)`. Returns the dialog. */
export function dialog(id, onSubmit = () => {}) {
  const root = document.getElementById(id);
  const form = root.querySelector("form");
  root.querySelector("[data-action=cancel]")?.addEventListener("click", () => root.close());
  root.addEventListener("click", (event) => {
    if (event.target === root) root.close(); // the backdrop
  });
  form.addEventListener("submit", () => onSubmit(form));
  return root;
}
