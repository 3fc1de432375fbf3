// Rows made of a <template>, and kept up to date without being made anew: focus and selection survive.

/** Sets each `data-f` field below `root`: text, or for true and false whether it shows. Untouched where it says the same. */
export function fill(root, values) {
  for (const field of root.querySelectorAll("[data-f]")) {
    const value = values[field.dataset.f];
    if (value === undefined) continue;
    if (typeof value === "boolean") {
      if (field.hidden === value) field.hidden = !value;
    } else if (field.textContent !== value) field.textContent = value;
  }
}

/**
 * Makes the children of `list` those of `rows`, in order: each is found by `keyOf(element)`, or cloned of `template`, and given
 * to `show(element, row)`.
 */
export function keepRows(list, rows, { template, keyOf, key, show }) {
  const known = new Map([...list.children].map((element) => [keyOf(element), element]));
  let place = list.firstElementChild;
  for (const row of rows) {
    const element = known.get(String(key(row))) ?? template.content.firstElementChild.cloneNode(true);
    known.delete(String(key(row)));
    if (element === place) place = place.nextElementSibling;
    else list.insertBefore(element, place);
    show(element, row);
  }
  for (const element of known.values()) element.remove();
}
