// Load, unload and pin: what staff may do. Without this script the same forms and links are pages.
import { dialog } from "../shared/dialogs.js";
import { fill } from "../shared/fill.js";

const UNREACHED = "The box could not be reached. Try again.";
const JSON_ONLY = { Accept: "application/json" };

/** What the box answered: `{}` or what was asked for, else `{detail}`. */
async function ask(url, options = {}) {
  try {
    const answer = await fetch(url, { headers: JSON_ONLY, ...options });
    const said = await answer.json();
    return answer.ok ? said : { detail: said.detail ?? "The box refused that." };
  } catch {
    return { detail: UNREACHED };
  }
}

/** Does what the button says, and returns why not: "" where it is done or begun. */
export async function act(form, button) {
  const body = new URLSearchParams(new FormData(form, button));
  // Its buttons are named `action`, and so hide the property of that name.
  return (await ask(form.getAttribute("action"), { method: "POST", body })).detail ?? "";
}

/** Says what a load would do before it is done. */
export class LoadDialog {
  #root;
  #form;
  #refuse;

  /** `refuse(text)` shows why a load was refused; "" hides it. */
  constructor(root, refuse) {
    this.#root = dialog(root.id);
    this.#form = root.querySelector("form");
    this.#refuse = refuse;
    this.#form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const doing = act(this.#form, event.submitter);
      root.close();
      refuse(await doing);
    });
    root.querySelector("[data-cancel]").addEventListener("click", (event) => {
      event.preventDefault();
      root.close();
    });
  }

  async open(url) {
    this.#form.setAttribute("action", url);
    const detail = await this.#show();
    if (detail) {
      this.#refuse(detail);
      return;
    }
    this.#root.showModal();
    (this.#form.querySelector("[value=load]:not([hidden])") ?? this.#form.querySelector("[data-cancel]")).focus();
  }

  /** The memory has changed: what was said may not hold any more. */
  ask() {
    if (this.#root.open) this.#show();
  }

  /** Why there is nothing to show; "" where there is. */
  async #show() {
    const { detail, ...question } = await ask(this.#form.getAttribute("action"));
    if (detail) return detail;
    fill(this.#form, question);
    for (const part of this.#form.querySelectorAll("[data-anyway]")) part.hidden = !question.may_anyway;
    this.#form.querySelector("[value=load]").hidden = !question.load_words;
    return "";
  }
}
