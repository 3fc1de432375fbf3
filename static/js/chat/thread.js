// @ts-check
// The shown branch: one element per message, kept as long as the message is shown.
import { childrenOf } from "../shared/dom.js";
import { Answer, Question } from "./message.js";

/**
 * @import { Acts } from "./message.js"
 * @import { AnswerView, MessageView } from "./frames"
 */

/** Rendered at once; older ones follow in idle moments, newest first. */
const RENDERED_AT_ONCE = 6;
const SLICE_MS = 10;

export class Thread {
  #root;
  #acts;
  /** @type {Map<string, Answer | Question>} */
  #shown = new Map();
  #idle = 0;

  /**
   * @param {HTMLElement} root
   * @param {Acts & {refocus: () => void}} acts `refocus`: the control that had the focus is gone
   */
  constructor(root, acts) {
    this.#root = root;
    this.#acts = acts;
  }

  /** @returns {AnswerView | null} */
  get running() {
    for (const each of this.#shown.values()) if (each instanceof Answer && each.running) return each.view;
    return null;
  }

  /** @param {string} id */
  answer(id) {
    const found = this.#shown.get(id);
    return found instanceof Answer ? found : null;
  }

  /**
   * Shows exactly these messages, root first. A focused control keeps the focus in the message that takes its message's place.
   * @param {MessageView[]} views
   */
  show(views) {
    const focused = document.activeElement;
    const place = [...this.#root.children].findIndex((node) => node.contains(focused));
    this.#show(views);
    if (place >= 0 && focused instanceof HTMLElement && !focused.isConnected) this.#refocus(place, focused.dataset.action);
  }

  /**
   * @param {number} place
   * @param {string | undefined} action of the control that had the focus
   */
  #refocus(place, action) {
    const message = this.#root.children[place];
    const names = action === "earlier" ? ["earlier", "later"] : action === "later" ? ["later", "earlier"] : [];
    const control = names.map((name) => message?.querySelector(`[data-action=${name}]:enabled`)).find(Boolean);
    if (control instanceof HTMLElement) control.focus();
    else this.#acts.refocus();
  }

  /** @param {MessageView[]} views */
  #show(views) {
    const wanted = new Set(views.map((view) => view.id));
    for (const [id, each] of this.#shown) {
      if (wanted.has(id)) continue;
      each.root.remove();
      this.#shown.delete(id);
    }
    // What the server painted first, or anything else that is not ours.
    const ours = new Set([...this.#shown.values()].map((each) => each.root));
    for (const node of childrenOf(this.#root)) if (!ours.has(node)) node.remove();
    /** @type {Map<string, Answer | Question>} */
    const ordered = new Map();
    let place = this.#root.firstElementChild;
    for (const view of views) {
      let each = this.#shown.get(view.id);
      if (!each) {
        each = view.role === "user" ? new Question(view, this.#acts) : new Answer(view, this.#acts);
        this.#root.insertBefore(each.root, place);
      } else {
        if (each.root === place) place = each.root.nextElementSibling;
        else this.#root.insertBefore(each.root, place);
        // An id never changes sides.
        if (view.role === "user") /** @type {Question} */ (each).update(view);
        else /** @type {Answer} */ (each).update(view);
      }
      ordered.set(view.id, each);
    }
    this.#shown = ordered;
    this.#renderNewest();
  }

  #unrendered() {
    return [...this.#shown.values()].flatMap((each) => (each instanceof Answer && !each.rendered ? each : [])).reverse();
  }

  #renderNewest() {
    const waiting = this.#unrendered();
    waiting.slice(0, RENDERED_AT_ONCE).forEach((each) => each.render());
    cancelAnimationFrame(this.#idle);
    if (waiting.length > RENDERED_AT_ONCE) this.#idle = requestAnimationFrame(() => this.#renderSlice());
  }

  #renderSlice() {
    const until = performance.now() + SLICE_MS;
    const waiting = this.#unrendered();
    do waiting.shift()?.render();
    while (waiting.length > 0 && performance.now() < until);
    if (waiting.length > 0) this.#idle = requestAnimationFrame(() => this.#renderSlice());
  }
}
