// @ts-check
// A link to the Hub that says what is found behind it, once the Hub has told.
import { hub as words } from "../shared/words.js";

/**
 * @typedef {{quantization: string, size: string}} Source
 * @type {Map<string, Promise<Source[] | null>>}
 */
const told = new Map();

/**
 * @param {string} url
 * @returns {Promise<Source[] | null>}
 */
async function ask(url) {
  try {
    const response = await fetch(url, { headers: { Accept: "application/json" } });
    return response.ok && !response.redirected ? (await response.json()).sources : null;
  } catch {
    return null;
  }
}

/**
 * The link below `root` with `data-sources-url`, if there is one, names the better sources. It stays as it is where nobody answers.
 * @param {ParentNode} root
 */
export async function nameSources(root) {
  const link = root.querySelector("a[data-sources-url]");
  const url = link instanceof HTMLElement && link.dataset.sourcesUrl;
  if (!link || !url) return;
  const asked = told.get(url) ?? ask(url);
  told.set(url, asked);
  const sources = await asked;
  if (!sources) return;
  const names = sources.map(({ quantization, size }) => words.source({ type: quantization, size })).join(", ");
  link.textContent = sources.length ? words.betterSources(names) : words.noBetterSource;
}
