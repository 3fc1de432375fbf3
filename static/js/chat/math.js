// @ts-check
// Formulas: how they are found in Markdown, and how they are drawn. KaTeX is fetched when the first one shows up.
import { formula } from "./sanitize.js";

/** @import { Tokens, TokenizerAndRendererExtension } from "marked" */

const LONGEST_TEX = 5000;
const BLOCK = /^ {0,3}(?:\$\$([\s\S]+?)\$\$|\\\[([\s\S]+?)\\\])[ \t]*(?:\n|$)/;
const OPEN_BLOCK = /^ {0,3}(?:\$\$|\\\[)([\s\S]*)$/;
const INLINE = /^(?:\\\(([\s\S]+?)\\\)|\\\[([\s\S]+?)\\\]|\$\$([^$]+?)\$\$)/;
const OPEN_INLINE = /^\\\(([^\n]*)$/;
// Dollars mean a formula only where no price can be meant: nothing blank inside the dollars, no letter or digit after.
const DOLLARS = /^\$(?![\s$])((?:\\.|[^\\$\n])+?)(?<![\s\\])\$(?![0-9A-Za-z])/;
const START = /(?<![0-9A-Za-z\\$])\$|\\\(|\\\[/;

/**
 * @param {string} raw
 * @param {string} tex
 * @param {boolean} open
 */
function blockToken(raw, tex, open) {
  return { type: "formulaBlock", raw, tex: tex.trim(), open };
}

/**
 * Marked extensions. With `live`, a formula that has not ended yet is a token too, so that it doesn't show as garbled prose.
 * @param {boolean} live
 * @returns {TokenizerAndRendererExtension[]}
 */
export function extensions(live) {
  return [
    {
      name: "formulaBlock",
      level: "block",
      start(source) {
        const end = source.indexOf("\n\n");
        const found = /\n {0,3}(?:\$\$|\\\[)/.exec(end < 0 ? source : source.slice(0, end));
        return found ? found.index + 1 : undefined;
      },
      tokenizer(source) {
        const whole = BLOCK.exec(source);
        if (whole) return blockToken(whole[0], whole[1] ?? whole[2], false);
        const open = live && OPEN_BLOCK.exec(source);
        // A closed formula with words after it is one for the inline rules.
        if (open && !/\$\$|\\\]/.test(open[1])) return blockToken(open[0], open[1], true);
        return undefined;
      },
      renderer: (token) => `<p><code class="formula formula-block">${escape(token.tex)}</code></p>`,
    },
    {
      name: "formula",
      level: "inline",
      start: (source) => START.exec(source)?.index,
      tokenizer(source) {
        const found = INLINE.exec(source) ?? DOLLARS.exec(source) ?? (live && OPEN_INLINE.exec(source));
        if (!found) return undefined;
        const display = found[2] !== undefined || found[3] !== undefined;
        const tex = found[1] ?? found[2] ?? found[3];
        return { type: "formula", raw: found[0], tex: tex.trim(), display };
      },
      renderer: (token) => `<code class="formula${token.display ? " formula-block" : ""}">${escape(token.tex)}</code>`,
    },
  ];
}

/** @param {string} text */
function escape(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** @type {typeof import("katex").default | null} */
let katex = null;
/** @type {Promise<void> | null} */
let fetching = null;

function fetchKatex() {
  fetching ??= import("../../vendor/katex/katex.mjs").then((module) => {
    katex = module.default;
  });
  return fetching;
}

/** @param {Element} source */
function draw(source) {
  if (!katex) return;
  const display = source.classList.contains("formula-block");
  let html = "";
  try {
    html = katex.renderToString(source.textContent ?? "", {
      displayMode: display,
      output: "mathml",
      throwOnError: true,
      trust: false,
      strict: false,
      maxExpand: 500,
      maxSize: 40,
    });
  } catch {
    return; // The source stays where it is: readable, and nothing of it is markup.
  }
  const place = document.createElement("span");
  place.className = display ? "formula-drawn formula-wide" : "formula-drawn";
  if (display) place.tabIndex = 0;
  place.append(formula(html));
  source.replaceWith(place);
}

/**
 * Draws the formulas under `root`: at once where KaTeX is here, later where it has to be fetched.
 * @param {ParentNode} root
 */
export function drawFormulas(root) {
  const sources = [...root.querySelectorAll("code.formula")].filter((each) => each.textContent.length <= LONGEST_TEX);
  if (sources.length === 0) return;
  if (katex) sources.forEach(draw);
  else fetchKatex().then(() => sources.filter((each) => each.isConnected).forEach(draw), () => {});
}
