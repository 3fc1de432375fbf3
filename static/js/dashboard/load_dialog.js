// @ts-check
// Load, unload and pin: what staff may do. Without this script the same forms and links are pages.
import { dialog } from "../shared/dialogs.js";
import { find, findAll, saidBy } from "../shared/dom.js";
import { box } from "../shared/words.js";
import { fill } from "../shared/fill.js";

/** @import { LoadQuestion } from "./frames" */

const JSON_ONLY = { Accept: "application/json" };

/**
 * What the box answered: `{}` or what was asked for, else `{detail}`.
 * @param {string} url
 * @param {RequestInit} options
 * @returns {Promise<Partial<LoadQuestion> & {detail?: string}>}
 */
async function ask(url, options = {}) {
  try {
    const answer = await fetch(url, { headers: JSON_ONLY, ...options });
    const said = await answer.json();
    return answer.ok ? said : { detail: said.detail ?? box.refused };
  } catch {
    return { detail: box.unreached };
  }
}

/**
 * Does what the button says, and returns why not: "" where it is done or begun.
 * @param {HTMLFormElement} form
 * @param {HTMLElement | null} button
 */
export async function act(form, button) {
  const body = saidBy(form, button);
  // Its buttons are named `action`, and so hide the property of that name.
  return (await ask(form.getAttribute("action") ?? "", { method: "POST", body })).detail ?? "";
}

/** Says what a load would do before it is done. */
export class LoadDialog {
  #root;
  #form;
  #refuse;

  /**
   * @param {HTMLElement} root
   * @param {(text: string) => void} refuse shows why a load was refused; "" hides it
   */
  constructor(root, refuse) {
    this.#root = dialog(root.id);
    this.#form = find(root, "form", HTMLFormElement);
    this.#refuse = refuse;
    this.#form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const doing = act(this.#form, event.submitter);
      this.#root.close();
      refuse(await doing);
    });
    find(root, "[data-cancel]").addEventListener("click", (event) => {
      event.preventDefault();
      this.#root.close();
    });
  }

  /** @param {string} url */
  async open(url) {
    this.#form.setAttribute("action", url);
    const detail = await this.#show();
    if (detail) {
      this.#refuse(detail);
      return;
    }
    this.#root.showModal();
    const load = find(this.#form, "[value=load]");
    (load.hidden ? find(this.#form, "[data-cancel]") : load).focus();
  }

  /** The memory has changed: what was said may not hold any more. */
  ask() {
    if (this.#root.open) this.#show();
  }

  /** Why there is nothing to show; "" where there is. */
  async #show() {
    const { detail, ...question } = await ask(this.#form.getAttribute("action") ?? "");
    if (detail) return detail;
    fill(this.#form, question);
    for (const part of findAll(this.#form, "[data-anyway]")) part.hidden = !question.may_anyway;
    find(this.#form, "[value=load]").hidden = !question.load_words;
    return "";
  }
}
