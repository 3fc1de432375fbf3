// The jobs in the top bar of every page: how many are under way, how far, how long still; opened, each of them.
import { fill, keepRows } from "../shared/fill.js";
import { jobFeed } from "./feed.js";

const chip = document.getElementById("job-chip");

function show(feed) {
  const active = [...feed.rows.values()].filter((row) => row.is_active).sort((one, other) => other.id - one.id);
  chip.hidden = active.length === 0;
  if (chip.hidden) chip.open = false;
  if (active.length) summarise(chip.querySelector("summary"), active);
  keepRows(chip.querySelector("ul"), active, {
    template: chip.querySelector("template"),
    keyOf: (element) => element.dataset.of,
    key: (job) => job.id,
    show: showOne,
  });
}

function summarise(summary, active) {
  const running = active.filter((row) => row.state === "running");
  const known = (running.length ? running : active).filter((row) => row.permille !== null);
  const permille = known.length ? known.reduce((sum, row) => sum + row.permille, 0) / known.length : null;
  const text = active.length === 1 ? active[0].state_words : `${active.length} jobs`;
  fill(summary, {
    words: permille === null ? text : `${text} ${Math.floor(permille / 10)} %`,
    facts: active.length === 1 ? active[0].facts : "",
  });
  measure(summary, permille);
}

function showOne(element, job) {
  element.dataset.of = job.id;
  element.querySelector("a").href = `/jobs/${job.id}/`;
  fill(element, { title: job.title, facts: [job.state_words, job.facts].filter(Boolean).join(" · ") });
  measure(element, job.permille);
}

function measure(element, permille) {
  const bar = element.querySelector("progress");
  bar.hidden = permille === null;
  if (permille !== null) bar.value = permille;
}

if (chip) {
  const feed = jobFeed();
  feed.addEventListener("backlog", () => show(feed));
  feed.addEventListener("delta", () => show(feed));
}
