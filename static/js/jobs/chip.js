// @ts-check
// The jobs in the top bar of every page: how many are under way, how far, how long still; opened, each of them.
import { find, ifThere } from "../shared/dom.js";
import { fill, keepRows } from "../shared/fill.js";
import { jobs as words } from "../shared/words.js";
import { jobFeed } from "./feed.js";

/**
 * @import { JobFeed } from "./feed.js"
 * @import { JobRow } from "./frames"
 */

/**
 * @param {HTMLDetailsElement} chip
 * @param {JobFeed} feed
 */
function show(chip, feed) {
  const active = [...feed.rows.values()].filter((row) => row.is_active).sort((one, other) => other.id - one.id);
  chip.hidden = active.length === 0;
  if (chip.hidden) chip.open = false;
  if (active.length) summarise(find(chip, "summary"), active);
  keepRows(find(chip, "ul"), active, {
    template: find(chip, "template", HTMLTemplateElement),
    keyOf: (element) => element.dataset.of,
    key: (job) => job.id,
    show: showOne,
  });
}

/**
 * @param {HTMLElement} summary
 * @param {JobRow[]} active
 */
function summarise(summary, active) {
  const running = active.filter((row) => row.state === "running");
  const known = (running.length ? running : active).flatMap((row) => row.permille ?? []);
  const permille = known.length ? known.reduce((sum, each) => sum + each, 0) / known.length : null;
  const text = active.length === 1 ? active[0].state_words : words.count(active.length);
  fill(summary, {
    words: permille === null ? text : words.soFar({ words: text, percent: Math.floor(permille / 10) }),
    facts: active.length === 1 ? active[0].facts : "",
  });
  measure(summary, permille);
}

/**
 * @param {HTMLElement} element
 * @param {JobRow} job
 */
function showOne(element, job) {
  element.dataset.of = String(job.id);
  find(element, "a", HTMLAnchorElement).href = `/jobs/${job.id}/`;
  fill(element, { title: job.title, facts: [job.state_words, job.facts].filter(Boolean).join(" · ") });
  measure(element, job.permille);
}

/**
 * @param {HTMLElement} element
 * @param {number | null} permille
 */
function measure(element, permille) {
  const bar = find(element, "progress", HTMLProgressElement);
  bar.hidden = permille === null;
  if (permille !== null) bar.value = permille;
}

const chip = ifThere("job-chip", HTMLDetailsElement);
if (chip) {
  const feed = jobFeed();
  feed.onFrame(() => show(chip, feed));
}
