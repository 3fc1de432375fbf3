// The shown branch: one element per message, kept as long as the message is shown.
import { Answer, Question } from "./message.js";

/** Rendered at once; older ones follow in idle moments, newest first. */
const RENDERED_AT_ONCE = 6;
const SLICE_MS = 10;

export class Thread {
  #root;
  #acts;
  #shown = new Map();
  #idle = 0;

  /** `acts`: what messages ask for (see message.js), and `refocus()`, when the control that had the focus is gone. */
  constructor(root, acts) {
    this.#root = root;
    this.#acts = acts;
  }

  get running() {
    for (const each of this.#shown.values()) if (each.view.state === "running") return each.view;
    return null;
  }

  get last() {
    return [...this.#shown.values()].at(-1)?.view ?? null;
  }

  answer(id) {
    const found = this.#shown.get(id);
    return found instanceof Answer ? found : null;
  }

  /** Shows exactly these messages, root first. A focused control keeps the focus in the message that takes its message's place. */
  show(views) {
    const focused = document.activeElement;
    const place = [...this.#root.children].findIndex((node) => node.contains(focused));
    this.#show(views);
    if (place >= 0 && !focused.isConnected) this.#refocus(place, focused.dataset.action);
  }

  #refocus(place, action) {
    const message = this.#root.children[place];
    const names = { earlier: ["earlier", "later"], later: ["later", "earlier"] }[action] ?? [];
    const control = names.map((name) => message?.querySelector(`[data-action=${name}]:enabled`)).find(Boolean);
    if (control) control.focus();
    else this.#acts.refocus();
  }

  #show(views) {
    const wanted = new Set(views.map((view) => view.id));
    for (const [id, each] of this.#shown) {
      if (wanted.has(id)) continue;
      each.root.remove();
      this.#shown.delete(id);
    }
    // What the server painted first, or anything else that is not ours.
    const ours = new Set([...this.#shown.values()].map((each) => each.root));
    for (const node of [...this.#root.children]) if (!ours.has(node)) node.remove();
    const ordered = new Map();
    let place = this.#root.firstElementChild;
    for (const view of views) {
      let each = this.#shown.get(view.id);
      if (!each) {
        each = view.role === "user" ? new Question(view, this.#acts) : new Answer(view, this.#acts);
        this.#root.insertBefore(each.root, place);
      } else {
        if (each.root === place) place = place.nextElementSibling;
        else this.#root.insertBefore(each.root, place);
        each.update(view);
      }
      ordered.set(view.id, each);
    }
    this.#shown = ordered;
    this.#renderNewest();
  }

  #unrendered() {
    return [...this.#shown.values()].filter((each) => each instanceof Answer && !each.rendered).reverse();
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
