// The jobs in the top bar of every page: how many are under way, how far, how long still.
import { jobFeed } from "./job_feed.js";

const chip = document.getElementById("job-chip");

function show(feed) {
  const active = [...feed.rows.values()].filter((row) => row.is_active);
  chip.hidden = active.length === 0;
  if (!active.length) return;
  const [words, bar] = [document.getElementById("job-chip-words"), chip.querySelector("progress")];
  const running = active.filter((row) => row.state === "running");
  const known = (running.length ? running : active).filter((row) => row.permille !== null);
  const permille = known.reduce((sum, row) => sum + row.permille, 0) / known.length;
  const text = active.length === 1 ? active[0].state_words : `${active.length} jobs`;
  words.textContent = known.length ? `${text} ${Math.floor(permille / 10)} %` : text;
  document.getElementById("job-chip-facts").textContent = active.length === 1 ? active[0].facts : "";
  bar.hidden = known.length === 0;
  if (known.length) bar.value = permille;
  chip.title = active.map((row) => `${row.title}: ${row.facts || row.state_words}`).join("\n");
}

if (chip) {
  const feed = jobFeed();
  feed.addEventListener("backlog", () => show(feed));
  feed.addEventListener("delta", () => show(feed));
}
