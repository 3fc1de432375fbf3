// @ts-check
import { dialog } from "../shared/dialogs.js";
import { byId, control, find } from "../shared/dom.js";
import { titleOf } from "./sidebar.js";

/** @import { BrowserFrame } from "./frames" */

/**
 * Rename and delete.
 * @param {object} page
 * @param {() => {id: string, title: string} | null} page.conversation the one that is shown
 * @param {(message: BrowserFrame) => boolean} page.say answers whether it could be said
 * @param {(id: string) => void} page.gone runs after a deletion was asked for
 */
export function wireConversationMenu({ conversation, say, gone }) {
  const menu = byId("more", HTMLDetailsElement);
  const rename = dialog("rename", (form) => {
    const title = control(form, "title").value.trim();
    const shown = conversation();
    if (title && shown) say({ type: "rename", conversation: shown.id, title });
  });
  const removal = dialog("delete", () => {
    const shown = conversation();
    if (shown && say({ type: "delete", conversation: shown.id })) gone(shown.id);
  });
  byId("rename-open").addEventListener("click", () => {
    const shown = conversation();
    if (!shown) return;
    const field = find(rename, "input", HTMLInputElement);
    menu.open = false;
    field.value = titleOf(shown);
    rename.showModal();
    field.select();
  });
  byId("delete-open").addEventListener("click", () => {
    const shown = conversation();
    if (!shown) return;
    menu.open = false;
    byId("delete-name").textContent = titleOf(shown);
    removal.showModal();
  });
}
