// @ts-check
import { find } from "../shared/dom.js";
import { keepInTab, keptInTab } from "../shared/storage.js";

const TALLEST_SHARE = 0.4;

/** The message field with its two buttons. Drafts survive a reload. */
export class Composer {
  #field;
  #sendButton;
  #stopButton;
  #onSend;
  #draft = "new";
  #running = false;
  #blocked = false;

  /**
   * @param {object} parts
   * @param {HTMLFormElement} parts.form
   * @param {HTMLButtonElement} parts.sendButton
   * @param {HTMLButtonElement} parts.stopButton
   * @param {(text: string) => boolean} parts.onSend answers whether it was taken
   * @param {() => void} parts.onStop
   */
  constructor({ form, sendButton, stopButton, onSend, onStop }) {
    this.#field = find(form, "textarea", HTMLTextAreaElement);
    this.#sendButton = sendButton;
    this.#stopButton = stopButton;
    this.#onSend = onSend;
    const touch = matchMedia("(pointer: coarse)");
    const hint = () => this.#field.setAttribute("enterkeyhint", touch.matches ? "enter" : "send");
    touch.addEventListener("change", hint);
    hint();
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    stopButton.addEventListener("click", onStop);
    this.#field.addEventListener("input", () => this.#changed());
    this.#field.addEventListener("keydown", (event) => {
      // An input method's Enter accepts a word. On a touch keyboard Enter is the only way to a new line.
      const composing = event.isComposing || event.keyCode === 229;
      if (event.key !== "Enter" || event.shiftKey || event.altKey || composing) return;
      if (touch.matches && !event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      this.#submit();
    });
    window.addEventListener("resize", () => this.#fit());
  }

  get text() {
    return this.#field.value;
  }

  set text(value) {
    this.#field.value = value;
    this.#changed();
  }

  focus() {
    this.#field.focus();
  }

  /**
   * Shows the draft that belongs to this conversation.
   * @param {string} name its id; "new" for none yet
   */
  openDraft(name) {
    this.#draft = name;
    this.#field.value = keptInTab(`draft.${name}`) ?? "";
    this.#fit();
    this.#showButtons();
  }

  /**
   * While an answer runs, the button stops it; the field stays free for the next question.
   * @param {boolean} running
   */
  set running(running) {
    if (running === this.#running) return;
    const focused = document.activeElement === this.#sendButton || document.activeElement === this.#stopButton;
    this.#running = running;
    this.#showButtons();
    if (focused) (running ? this.#stopButton : this.#field).focus();
  }

  /**
   * Nothing can be sent, whatever is written.
   * @param {boolean} blocked
   */
  set blocked(blocked) {
    this.#blocked = blocked;
    this.#showButtons();
  }

  #submit() {
    if (this.#sendButton.disabled || !this.#field.value.trim()) return;
    if (this.#onSend(this.#field.value)) this.text = "";
  }

  #changed() {
    keepInTab(`draft.${this.#draft}`, this.#field.value);
    this.#fit();
    this.#showButtons();
  }

  #showButtons() {
    this.#stopButton.hidden = !this.#running;
    this.#sendButton.hidden = this.#running;
    this.#sendButton.disabled = this.#blocked || !this.#field.value.trim();
  }

  #fit() {
    const { style } = this.#field;
    style.height = "auto";
    const tallest = Math.max(96, (window.visualViewport?.height ?? innerHeight) * TALLEST_SHARE);
    style.height = `${Math.min(this.#field.scrollHeight, tallest)}px`;
  }
}
