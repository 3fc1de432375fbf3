// One message on the page. The server's views and patches are the truth; this shows them.
import { copyText } from "../shared/clipboard.js";
import { tokens } from "../shared/numbers.js";
import { paintSoon } from "../shared/painter.js";
import { Prose } from "./prose.js";
import { endingSentence, timingFacts, waitShown } from "./wording.js";

function clone(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}

function part(root, selector) {
  return root.querySelector(selector);
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function showBranches(root, view) {
  const group = part(root, ".branches");
  const index = view.siblings.indexOf(view.id);
  group.hidden = view.siblings.length < 2;
  setText(part(group, ".branch-place"), `${index + 1} / ${view.siblings.length}`);
  part(group, "[data-action=earlier]").disabled = index <= 0;
  part(group, "[data-action=later]").disabled = index >= view.siblings.length - 1;
}

/** Runs the handler in `handlers` that the clicked button names. */
function onAction(root, handlers) {
  root.addEventListener("click", (event) => {
    const button = event.target.closest("[data-action]");
    if (button && root.contains(button)) handlers[button.dataset.action]?.(button);
  });
}

function neighbour(view, step) {
  return view.siblings[view.siblings.indexOf(view.id) + step];
}

/** A message of the person's. `acts`: `showBranch(id)`, `edit(view, text) -> whether it was taken`. */
export class Question {
  constructor(view, acts) {
    this.root = clone("t-question");
    onAction(this.root, {
      earlier: () => acts.showBranch(neighbour(this.view, -1)),
      later: () => acts.showBranch(neighbour(this.view, 1)),
      copy: (button) => copyText(this.view.content, button),
      edit: () => this.#edit(true),
      cancel: () => this.#edit(false),
    });
    const editor = part(this.root, ".editor");
    const field = part(editor, "textarea");
    field.id = `edit-${view.id}`;
    part(editor, "label").htmlFor = field.id;
    editor.addEventListener("submit", (event) => {
      event.preventDefault();
      if (field.value.trim() && acts.edit(this.view, field.value)) this.#edit(false);
    });
    editor.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        event.stopPropagation();
        this.#edit(false);
      } else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) editor.requestSubmit();
    });
    this.update(view);
  }

  update(view) {
    this.view = view;
    setText(part(this.root, ".said"), view.content);
    showBranches(this.root, view);
    part(this.root, ".tools").hidden = Boolean(view.sending);
    const sending = part(this.root, ".sending");
    sending.hidden = !view.sending;
    setText(sending, view.sending ?? "");
  }

  #edit(open) {
    const editor = part(this.root, ".editor");
    const field = part(editor, "textarea");
    editor.hidden = !open;
    part(this.root, ".said").hidden = open;
    part(this.root, ".tools").hidden = open;
    if (open) {
      field.value = this.view.content;
      field.rows = Math.min(12, field.value.split("\n").length + 2);
      field.focus();
    } else part(this.root, "[data-action=edit]").focus();
  }
}

/** An answer. `acts`: `showBranch(id)`, `regenerate(view)`. */
export class Answer {
  #words;
  #thoughts;
  #reasoning;
  #began = null;
  #thinkingBegan = null;
  #thought = null;
  #paint = () => this.#show();
  #toggledByHand = false;
  #rendered = false;

  constructor(view, acts) {
    this.root = clone("t-answer");
    this.#words = new Prose(part(this.root, ".words"));
    this.#reasoning = part(this.root, ".reasoning");
    this.#thoughts = new Prose(part(this.#reasoning, ".prose"));
    part(this.#reasoning, "summary").addEventListener("click", () => {
      this.#toggledByHand = true;
    });
    this.#reasoning.addEventListener("toggle", () => this.#reasoning.open && paintSoon(this.#paint));
    onAction(this.root, {
      earlier: () => acts.showBranch(neighbour(this.view, -1)),
      later: () => acts.showBranch(neighbour(this.view, 1)),
      copy: (button) => copyText(this.view.content, button),
      regenerate: () => acts.regenerate(this.view),
      retry: () => acts.regenerate(this.view),
    });
    this.view = view;
    part(this.root, ".words").textContent = "";
    this.#showFrame();
  }

  get running() {
    return this.view.state === "running";
  }

  /** Takes the server's word for everything. */
  update(view) {
    this.view = view;
    if (!this.running) this.#noteThinking();
    // What is not rendered yet has its turn coming.
    if (this.#rendered || this.running) paintSoon(this.#paint);
  }

  /** Appends; false where text between ours and the patch is missing. Late patches of an ended answer change nothing. */
  patch({ n, at, content, reasoning_at: reasoningAt, reasoning, wait }) {
    const { view } = this;
    if (!this.running) return true;
    if (view.content.length < at || view.reasoning.length < reasoningAt) return false;
    if (view.content.length > at + content.length || view.reasoning.length > reasoningAt + reasoning.length) return true;
    this.view = {
      ...view,
      n_tokens: n,
      wait,
      content: view.content.slice(0, at) + content,
      reasoning: view.reasoning.slice(0, reasoningAt) + reasoning,
    };
    if (n > 0) this.#began ??= { at: performance.now(), n };
    this.#noteThinking();
    paintSoon(this.#paint);
    return true;
  }

  /** Renders now what waits for its turn; a page full of old answers does this a few at a time. */
  render() {
    if (!this.#rendered) this.#show();
  }

  get rendered() {
    return this.#rendered;
  }

  #noteThinking() {
    const { view } = this;
    if (!view.reasoning) return;
    if (this.running && !view.content) this.#thinkingBegan ??= performance.now();
    else if (this.#thinkingBegan !== null && !this.#thought) {
      this.#thought = { milliseconds: performance.now() - this.#thinkingBegan, tokens: view.n_tokens };
    }
  }

  #show() {
    this.#rendered = true;
    const { view } = this;
    this.#words.show(view.content, this.running);
    this.#showReasoning();
    this.#showFrame();
  }

  #showReasoning() {
    const { view } = this;
    const details = this.#reasoning;
    details.hidden = !view.reasoning;
    if (!view.reasoning) return;
    const thinking = this.running && !view.content;
    if (!this.#toggledByHand && details.open !== thinking) details.open = thinking;
    if (details.open) this.#thoughts.show(view.reasoning, thinking);
    let summary = "Thinking…";
    if (!thinking && this.#thought) {
      summary = `Thought for ${Math.max(1, Math.round(this.#thought.milliseconds / 1000))} s · ${tokens(this.#thought.tokens)}`;
    } else if (!thinking) summary = `Thoughts · ${view.reasoning.split(/\s+/).filter(Boolean).length} words`;
    setText(part(details, "summary"), summary);
  }

  #showFrame() {
    const { view, root } = this;
    setText(part(root, ".who"), view.variant_name || "Answer");
    root.setAttribute("aria-busy", String(this.running));
    root.dataset.state = view.state;
    showBranches(root, view);
    this.#showWait();
    const ending = endingSentence(view);
    const notice = part(root, ".ending");
    const failed = view.state === "failed" || view.state === "interrupted";
    notice.hidden = !ending;
    notice.classList.toggle("bad", view.state === "failed");
    notice.classList.toggle("warn", view.state === "interrupted");
    setText(part(notice, ".ending-text"), ending);
    part(notice, "button").hidden = !failed;
    part(root, "[data-action=copy]").hidden = !view.content;
    part(root, "[data-action=regenerate]").hidden = this.running || failed;
    setText(part(root, ".facts"), this.#facts());
  }

  #showWait() {
    const { view, root } = this;
    const place = part(root, ".wait");
    const silent = this.running && !view.content && !view.reasoning;
    const shown = silent ? (waitShown(view.wait, view.variant_name) ?? { text: "Writing…", done: null }) : null;
    place.hidden = !shown;
    if (!shown) return;
    setText(part(place, ".wait-text"), shown.text);
    const bar = part(place, "progress");
    bar.hidden = shown.done === null;
    if (shown.done !== null) bar.value = shown.done;
  }

  #facts() {
    const { view } = this;
    if (!this.running) return timingFacts(view).join(" · ");
    if (!view.n_tokens) return "";
    const seconds = this.#began ? (performance.now() - this.#began.at) / 1000 : 0;
    const pace = seconds > 1 ? ` · ${((view.n_tokens - this.#began.n) / seconds).toFixed(1)} tokens/s` : "";
    return `${tokens(view.n_tokens)}${pace}`;
  }
}
