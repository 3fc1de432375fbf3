// The entry of /jobs/ and /jobs/N/.
import { mountJobs } from "./panel.js";

const panel = document.querySelector("[data-jobs]");
const feed = mountJobs(panel);
const log = document.getElementById("job-log");

function add(line) {
  if (log.querySelector(`[data-line="${line.id}"]`)) return;
  const row = document.createElement("li");
  row.dataset.line = line.id;
  row.dataset.level = line.level;
  const time = document.createElement("time");
  time.dateTime = line.at;
  time.textContent = line.at.slice(11, 19);
  const text = document.createElement("span");
  text.textContent = line.text;
  row.append(time, text);
  // What is fetched may be older than what the feed has brought meanwhile.
  log.insertBefore(row, [...log.children].find((other) => Number(other.dataset.line) > line.id) ?? null);
}

if (log) {
  const only = Number(panel.dataset.only);
  feed.addEventListener("delta", ({ detail }) => {
    for (const line of detail.lines) if (line.job === only) add(line);
  });
  // What was said between the first paint and the connection, or while there was none.
  feed.addEventListener("backlog", async () => {
    const answer = await fetch(log.dataset.url, { headers: { Accept: "application/json" } });
    if (answer.ok) for (const line of (await answer.json()).lines) add(line);
  });
}
