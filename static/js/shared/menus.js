// @ts-check
import { find } from "./dom.js";

/** @param {EventTarget | null} target */
const nodeOf = (target) => (target instanceof Node ? target : null);

/**
 * Makes a `<details>` menu behave like one: it closes on Escape, on a click elsewhere and when the focus leaves it.
 * @param {HTMLDetailsElement} menu
 */
export function closeOnLeave(menu) {
  const summary = find(menu, "summary");
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    event.stopPropagation();
    menu.open = false;
    summary.focus();
  });
  menu.addEventListener("focusout", (event) => {
    if (event.relatedTarget && !menu.contains(nodeOf(event.relatedTarget))) menu.open = false;
  });
  document.addEventListener("pointerdown", (event) => {
    if (!menu.contains(nodeOf(event.target))) menu.open = false;
  });
}
