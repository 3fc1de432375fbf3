// @ts-check
// One message on the page. The server's views and patches are the truth; this shows them.
import { copyText } from "../shared/clipboard.js";
import { around, byId, copyOf, find } from "../shared/dom.js";
import { paintSoon } from "../shared/painter.js";
import { chat as words, numbers } from "../shared/words.js";
import { Prose } from "./prose.js";
import { endingSentence, timingFacts, waitShown } from "./wording.js";

/**
 * @import { AnswerView, MessageView, Patch, QuestionView } from "./frames"
 * @typedef {object} Acts What messages ask of the page.
 * @property {(id: string) => void} showBranch
 * @property {(view: QuestionView, text: string) => boolean} edit answers whether it was taken
 * @property {(view: AnswerView) => void} regenerate
 */

/**
 * @param {HTMLElement} node
 * @param {string} text
 */
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * @param {HTMLElement} root
 * @param {MessageView} view
 */
function showBranches(root, view) {
  const group = find(root, ".branches");
  const index = view.siblings.indexOf(view.id);
  group.hidden = view.siblings.length < 2;
  setText(find(group, ".branch-place"), `${index + 1} / ${view.siblings.length}`);
  find(group, "[data-action=earlier]", HTMLButtonElement).disabled = index <= 0;
  find(group, "[data-action=later]", HTMLButtonElement).disabled = index >= view.siblings.length - 1;
}

/**
 * Runs the handler in `handlers` that the clicked button names.
 * @param {HTMLElement} root
 * @param {Record<string, (button: HTMLElement) => void>} handlers
 */
function onAction(root, handlers) {
  root.addEventListener("click", (event) => {
    const button = around(event.target, "[data-action]");
    if (button && root.contains(button)) handlers[button.dataset.action ?? ""]?.(button);
  });
}

/**
 * @param {MessageView} view
 * @param {number} step
 */
function neighbour(view, step) {
  return view.siblings[view.siblings.indexOf(view.id) + step];
}

/** A message of the person's. */
export class Question {
  /**
   * @param {QuestionView} view
   * @param {Acts} acts
   */
  constructor(view, acts) {
    this.view = view;
    this.root = copyOf(byId("t-question", HTMLTemplateElement));
    onAction(this.root, {
      earlier: () => acts.showBranch(neighbour(this.view, -1)),
      later: () => acts.showBranch(neighbour(this.view, 1)),
      copy: (button) => copyText(this.view.content, button),
      edit: () => this.#edit(true),
      cancel: () => this.#edit(false),
    });
    const editor = find(this.root, ".editor", HTMLFormElement);
    const field = find(editor, "textarea", HTMLTextAreaElement);
    field.id = `edit-${view.id}`;
    find(editor, "label", HTMLLabelElement).htmlFor = field.id;
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

  /** @param {QuestionView} view */
  update(view) {
    this.view = view;
    setText(find(this.root, ".said"), view.content);
    showBranches(this.root, view);
    find(this.root, ".tools").hidden = Boolean(view.sending);
    const sending = find(this.root, ".sending");
    sending.hidden = !view.sending;
    setText(sending, view.sending ?? "");
  }

  /** @param {boolean} open */
  #edit(open) {
    const editor = find(this.root, ".editor");
    const field = find(editor, "textarea", HTMLTextAreaElement);
    editor.hidden = !open;
    find(this.root, ".said").hidden = open;
    find(this.root, ".tools").hidden = open;
    if (open) {
      field.value = this.view.content;
      field.rows = Math.min(12, field.value.split("\n").length + 2);
      field.focus();
    } else find(this.root, "[data-action=edit]").focus();
  }
}

/** An answer. */
export class Answer {
  #words;
  #thoughts;
  #reasoning;
  /** @type {{at: number, n: number} | null} */
  #began = null;
  /** @type {number | null} */
  #thinkingBegan = null;
  /** @type {{milliseconds: number, tokens: number} | null} */
  #thought = null;
  #paint = () => this.#show();
  #toggledByHand = false;
  #rendered = false;

  /**
   * @param {AnswerView} view
   * @param {Acts} acts
   */
  constructor(view, acts) {
    this.root = copyOf(byId("t-answer", HTMLTemplateElement));
    this.#words = new Prose(find(this.root, ".words"));
    this.#reasoning = find(this.root, ".reasoning", HTMLDetailsElement);
    this.#thoughts = new Prose(find(this.#reasoning, ".prose"));
    find(this.#reasoning, "summary").addEventListener("click", () => {
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
    find(this.root, ".words").textContent = "";
    this.#showFrame();
  }

  get running() {
    return this.view.state === "running";
  }

  /**
   * Takes the server's word for everything.
   * @param {AnswerView} view
   */
  update(view) {
    this.view = view;
    if (!this.running) this.#noteThinking();
    // What is not rendered yet has its turn coming.
    if (this.#rendered || this.running) paintSoon(this.#paint);
  }

  /**
   * Appends; false where text between ours and the patch is missing. Late patches of an ended answer change nothing.
   * @param {Patch} patch
   */
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
    let summary = words.thinking;
    if (!thinking && this.#thought) {
      const time = numbers.seconds(Math.max(1, Math.round(this.#thought.milliseconds / 1000)));
      summary = words.thoughtFor({ time, tokens: numbers.tokens(this.#thought.tokens) });
    } else if (!thinking) summary = words.thoughts(numbers.words(view.reasoning.split(/\s+/).filter(Boolean).length));
    setText(find(details, "summary"), summary);
  }

  #showFrame() {
    const { view, root } = this;
    setText(find(root, ".who"), view.variant_name || words.answer);
    root.setAttribute("aria-busy", String(this.running));
    root.dataset.state = view.state;
    showBranches(root, view);
    this.#showWait();
    const ending = endingSentence(view);
    const notice = find(root, ".ending");
    const failed = view.state === "failed" || view.state === "interrupted";
    notice.hidden = !ending;
    notice.classList.toggle("bad", view.state === "failed");
    notice.classList.toggle("warn", view.state === "interrupted");
    setText(find(notice, ".ending-text"), ending);
    find(notice, "button").hidden = !failed;
    find(root, "[data-action=copy]").hidden = !view.content;
    find(root, "[data-action=regenerate]").hidden = this.running || failed;
    setText(find(root, ".facts"), this.#facts());
  }

  #showWait() {
    const { view, root } = this;
    const place = find(root, ".wait");
    const silent = this.running && !view.content && !view.reasoning;
    const shown = silent ? (waitShown(view.wait, view.variant_name) ?? { text: words.writing, done: null }) : null;
    place.hidden = !shown;
    if (!shown) return;
    setText(find(place, ".wait-text"), shown.text);
    const bar = find(place, "progress", HTMLProgressElement);
    bar.hidden = shown.done === null;
    if (shown.done !== null) bar.value = shown.done;
  }

  #facts() {
    const { view } = this;
    if (!this.running) return timingFacts(view).join(" · ");
    if (!view.n_tokens) return "";
    const { at, n } = this.#began ?? { at: performance.now(), n: 0 };
    const seconds = (performance.now() - at) / 1000;
    const count = numbers.tokens(view.n_tokens);
    return seconds > 1 ? `${count} · ${numbers.tokensPerSecond(((view.n_tokens - n) / seconds).toFixed(1))}` : count;
  }
}
