// @ts-check
// Rows made of a <template>, and kept up to date without being made anew: focus and selection survive.
import { childrenOf, copyOf, findAll } from "./dom.js";

/**
 * Sets each `data-f` field below `root`: text, or for true and false whether it shows. Untouched where it says the same.
 * @param {ParentNode} root
 * @param {object} values
 */
export function fill(root, values) {
  const known = /** @type {Record<string, unknown>} */ (values);
  for (const field of findAll(root, "[data-f]")) {
    const value = known[field.dataset.f ?? ""];
    if (value === undefined) continue;
    if (typeof value === "boolean") {
      if (field.hidden === value) field.hidden = !value;
    } else if (field.textContent !== value) field.textContent = value === null ? "" : String(value);
  }
}

/**
 * Makes the children of `list` those of `rows`, in order: each is found by `keyOf(element)`, or copied from `template`, and given
 * to `show(element, row)`.
 * @template R
 * @param {Element} list
 * @param {Iterable<R>} rows
 * @param {object} how
 * @param {HTMLTemplateElement} how.template
 * @param {(element: HTMLElement) => string | undefined} how.keyOf
 * @param {(row: R) => string | number} how.key
 * @param {(element: HTMLElement, row: R) => void} how.show
 */
export function keepRows(list, rows, { template, keyOf, key, show }) {
  const known = new Map(childrenOf(list).map((element) => [keyOf(element), element]));
  let place = list.firstElementChild;
  for (const row of rows) {
    const element = known.get(String(key(row))) ?? copyOf(template);
    known.delete(String(key(row)));
    if (element === place) place = place.nextElementSibling;
    else list.insertBefore(element, place);
    show(element, row);
  }
  for (const element of known.values()) element.remove();
}
