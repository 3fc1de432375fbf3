// @ts-check
// Code blocks: a frame with the language and a copy button, highlighted when highlight.js is there.
import { copyText } from "../shared/clipboard.js";
import { byId, copyOf, find } from "../shared/dom.js";
import { chat as words } from "../shared/words.js";
import { highlighted } from "./sanitize.js";

/** Highlighting more than this takes long enough to be felt. */
const LONGEST_HIGHLIGHTED = 60_000;
/** A block that still grows is highlighted again only while it is small, and not at each paint. */
const LONGEST_LIVE = 6_000;
const LIVE_GAP_MS = 300;
/** Beyond what highlight.min.js brings; each is fetched when it is first seen. */
const MORE_LANGUAGES = new Set(
  (
    "ada apache awk clojure cmake crystal d dart delphi dockerfile elixir elm erlang fortran fsharp glsl gradle groovy " +
    "handlebars haskell haxe http julia latex lisp llvm matlab mathematica nginx nim nix ocaml openscad pgsql " +
    "powershell prolog properties protobuf puppet qml reasonml scala scheme smalltalk stan stata stylus tcl vala " +
    "verilog vhdl vim x86asm zephir"
  ).split(" "),
);
/** @type {Record<string, string>} */
const ALIASES = { docker: "dockerfile", hs: "haskell", ps1: "powershell", pwsh: "powershell", tex: "latex", ex: "elixir" };

/** @type {Highlighter | null} */
let hljs = null;
/** @type {Promise<void> | null} */
let fetching = null;

function fetchHljs() {
  fetching ??= import("../../vendor/highlight/highlight.min.js").then((module) => {
    hljs = module.default;
  });
  return fetching;
}

/** @param {string} name */
async function fetchLanguage(name) {
  await fetchHljs();
  const known = ALIASES[name] ?? name;
  if (!hljs || hljs.getLanguage(name) || !MORE_LANGUAGES.has(known)) return;
  const module = await import(`../../vendor/highlight/languages/${known}.min.js`);
  hljs.registerLanguage(known, module.default);
}

/** @param {string | undefined} info */
function languageOf(info) {
  const name = (info ?? "").trim().split(/[\s{,:]/)[0].toLowerCase();
  return /^[\w+#.-]{1,40}$/.test(name) ? name : "";
}

function frameTemplate() {
  return copyOf(byId("t-code", HTMLTemplateElement));
}

/** One code block of our own making. `set` may be called again as the block grows. */
export class CodeBlock {
  #code;
  #label;
  /** @type {string | null} */
  #language = null;
  #text = "";
  #finished = false;
  #highlightedAt = 0;

  constructor() {
    this.root = frameTemplate();
    this.#code = find(this.root, "code");
    this.#label = find(this.root, ".code-language");
    const copy = find(this.root, "button");
    copy.addEventListener("click", () => copyText(this.#text, copy));
  }

  /**
   * @param {string} text
   * @param {string | undefined} info what stands behind the fence
   * @param {boolean} live more may come
   */
  set(text, info, live) {
    const language = languageOf(info);
    if (language !== this.#language) {
      this.#language = language;
      this.#label.textContent = language || words.text;
      this.#code.parentElement?.setAttribute("aria-label", language ? words.codeIn(language) : words.code);
      this.#highlightedAt = 0;
    }
    const grown = text.startsWith(this.#text);
    const added = grown ? text.slice(this.#text.length) : text;
    if (!grown) this.#code.textContent = text;
    else if (added) {
      if (this.#code.lastChild instanceof Text) this.#code.lastChild.appendData(added);
      else this.#code.append(added);
    }
    this.#text = text;
    if (live) this.#highlightGently();
    else if (!this.#finished || added || !grown) this.#highlightSoon();
    this.#finished = !live;
  }

  #highlightGently() {
    const now = performance.now();
    if (this.#text.length > LONGEST_LIVE || now - this.#highlightedAt < LIVE_GAP_MS) return;
    this.#highlightedAt = now;
    this.#highlightSoon();
  }

  #highlightSoon() {
    if (!this.#language || this.#text.length > LONGEST_HIGHLIGHTED) return;
    if (hljs?.getLanguage(this.#language)) this.#highlight();
    else fetchLanguage(this.#language).then(() => this.#highlight(), () => {});
  }

  #highlight() {
    if (!this.#language || !hljs?.getLanguage(this.#language)) return;
    const { value } = hljs.highlight(this.#text, { language: this.#language, ignoreIllegals: true });
    this.#code.replaceChildren(highlighted(value));
  }
}

/**
 * Puts plain `pre > code` under `root` (in lists and quotes) into frames.
 * @param {ParentNode} root
 */
export function frameCode(root) {
  for (const code of root.querySelectorAll("pre > code:not(.formula)")) {
    const language = [...code.classList].find((name) => name.startsWith("language-"))?.slice("language-".length);
    const block = new CodeBlock();
    block.set(code.textContent ?? "", language, false);
    code.parentElement?.replaceWith(block.root);
  }
}
