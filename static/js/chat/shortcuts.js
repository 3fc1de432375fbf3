// @ts-check
import { dialog } from "../shared/dialogs.js";
import { around, byId } from "../shared/dom.js";

/**
 * The page's keyboard shortcuts and the dialog that lists them. `stop()` answers whether there was anything to stop.
 * @param {{stop: () => boolean, write: () => void, newChat: () => void}} acts
 */
export function wireShortcuts({ stop, write, newChat }) {
  const list = dialog("shortcuts");
  byId("shortcuts-open").addEventListener("click", () => list.showModal());
  document.addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]")) return;
    const writing = around(event.target, "input, textarea, select");
    const command = event.ctrlKey || event.metaKey;
    if (event.key === "Escape") {
      if (!stop()) return;
    } else if (event.key === "/" && command) list.showModal();
    else if (event.key === "/" && !writing && !event.altKey) write();
    else if (event.key.toLowerCase() === "o" && command && event.shiftKey) newChat();
    else return;
    event.preventDefault();
  });
}
