// @ts-check
// The entry of /jobs/ and /jobs/N/.
import { childrenOf, find, ifThere } from "../shared/dom.js";
import { mountJobs } from "./panel.js";

/** @import { LineRow } from "./frames" */

const panel = find(document, "[data-jobs]");
const feed = mountJobs(panel);
const log = ifThere("job-log");

/**
 * @param {HTMLElement} list
 * @param {LineRow} line
 */
function add(list, line) {
  if (list.querySelector(`[data-line="${line.id}"]`)) return;
  const row = document.createElement("li");
  row.dataset.line = String(line.id);
  row.dataset.level = line.level;
  const time = document.createElement("time");
  time.dateTime = line.at;
  time.textContent = line.at.slice(11, 19);
  const text = document.createElement("span");
  text.textContent = line.text;
  row.append(time, text);
  // What is fetched may be older than what the feed has brought meanwhile.
  list.insertBefore(row, childrenOf(list).find((other) => Number(other.dataset.line) > line.id) ?? null);
}

if (log) {
  const only = Number(panel.dataset.only);
  feed.onFrame(async (frame) => {
    if (frame.type === "delta") {
      for (const line of frame.lines) if (line.job === only) add(log, line);
      return;
    }
    // What was said between the first paint and the connection, or while there was none.
    const answer = await fetch(log.dataset.url ?? "", { headers: { Accept: "application/json" } });
    if (answer.ok) for (const line of (await answer.json()).lines) add(log, line);
  });
}
