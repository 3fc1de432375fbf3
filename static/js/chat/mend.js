// @ts-check
// Half-written Markdown, made to look like what it is about to become. Only the end of a running answer passes here.

const FENCE = /^[ \t]*(?:[-*+>]\s+|\d+[.)]\s+)*(`{3,}|~{3,})/;
/** A last line that could still become anything: the beginning of a fence, a rule, a list item, a heading. */
const UNDECIDED = /^[ \t]*(?:`{1,2}|~{1,2}|[-=]+|[-*+]{1,2}|#{1,6}|\d{1,9}[.)]?)[ \t]*$/;

/**
 * The fence that is open at the end of `text`, as its marker; null where none is.
 * @param {string} text
 * @returns {string | null}
 */
function openFence(text) {
  /** @type {string | null} */
  let open = null;
  if (!/`{3}|~{3}/.test(text)) return null;
  for (const line of text.split("\n")) {
    const marker = FENCE.exec(line)?.[1];
    if (!marker) continue;
    if (!open) open = marker;
    else if (marker[0] === open[0] && marker.length >= open.length && line.trim() === marker) open = null;
  }
  return open;
}

/** @param {string} text */
function withoutUndecidedLine(text) {
  const cut = text.lastIndexOf("\n") + 1;
  return UNDECIDED.test(text.slice(cut)) ? text.slice(0, cut) : text;
}

/**
 * A table header gets its delimiter row before it has arrived, so that it does not show as a line of pipes first.
 * @param {string} text
 */
function withTableHead(text) {
  const paragraph = text.slice(text.lastIndexOf("\n\n") + 1).trimStart();
  const [head, delimiter, ...rest] = paragraph.split("\n");
  if (rest.length > 0 || !/^\|.*\|[ \t]*$/.test(head) || (delimiter !== undefined && !/^[\s|:-]*$/.test(delimiter))) return text;
  const cells = head.trim().replace(/\\\|/g, "").split("|").length - 2;
  if (cells < 1) return text;
  const whole = delimiter === undefined ? text : text.slice(0, text.length - delimiter.length - 1);
  return `${whole}\n${"|---".repeat(cells)}|`;
}

/** @param {string} line */
function closed(line) {
  let text = line
    .replace(/!?\[([^\]\n]*)\]\([^)\n]*$/, "$1")
    .replace(/(^|\s)!?\[([^[\]\n]*)$/, "$1$2");
  const spoken = text.replace(/(`+)[^`]+?\1(?!`)/g, "").replace(/\\./g, "");
  const ticks = /(`+)([^`]*)$/.exec(spoken);
  if (ticks) {
    if (!ticks[2]) return text.slice(0, text.length - ticks[1].length);
    return text + ticks[1];
  }
  for (const marker of ["**", "~~", "__"]) {
    if ((spoken.split(marker).length - 1) % 2 === 0) continue;
    text = text.trimEnd();
    if (text.endsWith(marker)) return text.slice(0, -2);
    if (text.endsWith(marker[0])) text = text.slice(0, -1);
    return text + marker;
  }
  const single = spoken.replace(/\*\*|__/g, "");
  const open = /(?:^|\s)([*_])(?=\S)[^*_\n]*$/.exec(single);
  return open && !/^\s*[*_]\s*$/.test(single) ? text.trimEnd() + open[1] : text;
}

/**
 * `text` as it should look while more of it is on its way. Only its end is changed.
 * @param {string} text
 */
export function mend(text) {
  const fence = openFence(text);
  if (fence) {
    const cut = text.lastIndexOf("\n") + 1;
    const last = text.slice(cut).trim();
    return cut > 0 && last && fence.startsWith(last) ? text.slice(0, cut) : text;
  }
  const decided = withoutUndecidedLine(text);
  if (decided !== text) return decided;
  const cut = text.lastIndexOf("\n") + 1;
  return withTableHead(text.slice(0, cut) + closed(text.slice(cut)));
}
