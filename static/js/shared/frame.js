// @ts-check
// The entry of every page: the user menu and the theme.
import { findAll } from "./dom.js";
import { closeOnLeave } from "./menus.js";
import { remembered, remember } from "./storage.js";

for (const menu of findAll(document, "details.menu", HTMLDetailsElement)) closeOnLeave(menu);

for (const input of findAll(document, 'input[name="theme"]', HTMLInputElement)) {
  input.checked = input.value === (remembered("theme") ?? "system");
  input.addEventListener("change", () => {
    if (input.value === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = input.value;
    remember("theme", input.value === "system" ? null : input.value);
  });
}
