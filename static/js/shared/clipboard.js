// @ts-check
import { announce } from "./announcer.js";
import { find } from "./dom.js";
import { box } from "./words.js";

/**
 * The clipboard API exists only on HTTPS and localhost; a box on a LAN is mostly neither.
 * @param {string} text
 */
function copyTheOldWay(text) {
  const place = document.createElement("textarea");
  place.value = text;
  place.className = "unseen";
  place.setAttribute("readonly", "");
  // A modal dialog makes everything outside it inert.
  (document.querySelector("dialog[open]") ?? document.body).append(place);
  const focused = document.activeElement;
  place.select();
  const done = document.execCommand("copy");
  place.remove();
  if (focused instanceof HTMLElement) focused.focus();
  return done;
}

/** @param {string} text */
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyTheOldWay(text);
  }
}

/** @type {WeakMap<HTMLElement, ReturnType<typeof setTimeout>>} */
const timers = new WeakMap();

/**
 * Copies, and says on `button` (which has a `.label` and an icon) whether it worked.
 * @param {string} text
 * @param {HTMLElement} button
 */
export async function copyText(text, button) {
  const done = await copied(text);
  const label = find(button, ".label");
  const icon = button.querySelector("use");
  const usual = (button.dataset.label ??= label.textContent);
  label.textContent = done ? box.copied : box.notCopied;
  icon?.setAttribute("href", done ? "#i-done" : "#i-copy");
  announce(done ? box.wasCopied : box.mayNotCopy);
  clearTimeout(timers.get(button));
  timers.set(
    button,
    setTimeout(() => {
      label.textContent = usual;
      icon?.setAttribute("href", "#i-copy");
    }, 2000),
  );
}
