// The entry of every page: the user menu and the theme.
import { closeOnLeave } from "./menus.js";
import { remembered, remember } from "./storage.js";

for (const menu of document.querySelectorAll("details.menu")) closeOnLeave(menu);

const themes = document.querySelectorAll('input[name="theme"]');
for (const input of themes) {
  input.checked = input.value === (remembered("theme") ?? "system");
  input.addEventListener("change", () => {
    if (input.value === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = input.value;
    remember("theme", input.value === "system" ? null : input.value);
  });
}
