import { dialog } from "../shared/dialogs.js";
import { titleOf } from "./sidebar.js";

/** Rename and delete. `say(message)` answers whether it could be said; `gone(id)` runs after a deletion was asked for. */
export function wireConversationMenu({ conversation, say, gone }) {
  const menu = document.getElementById("more");
  const rename = dialog("rename", (form) => {
    const title = form.elements.title.value.trim();
    if (title) say({ type: "rename", conversation: conversation().id, title });
  });
  const removal = dialog("delete", () => {
    const { id } = conversation();
    if (say({ type: "delete", conversation: id })) gone(id);
  });
  document.getElementById("rename-open").addEventListener("click", () => {
    const field = rename.querySelector("input");
    menu.open = false;
    field.value = titleOf(conversation());
    rename.showModal();
    field.select();
  });
  document.getElementById("delete-open").addEventListener("click", () => {
    menu.open = false;
    document.getElementById("delete-name").textContent = titleOf(conversation());
    removal.showModal();
  });
}
