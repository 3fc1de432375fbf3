// Finding models: jobs as they get on; on a repository's page its variants' plans, which arrive one by one, and at last advice.
import { announce } from "../shared/announcer.js";
import { fill } from "../shared/fill.js";
import { mountJobs } from "../jobs/panel.js";

const SILENT = "The plans did not arrive: the box does not answer. Reload the page to try again.";

/** Lines of JSON as they arrive. */
async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const part of parts) yield JSON.parse(part);
  }
  if (rest) yield JSON.parse(rest);
}

class Plans {
  #section;
  #advice = document.getElementById("advice");
  #model = document.getElementById("model");
  #rows;

  constructor(section) {
    this.#section = section;
    this.#rows = new Map([...section.querySelectorAll("[data-key]")].map((row) => [row.dataset.key, row]));
  }

  async read(wishes) {
    const query = new URLSearchParams({ ...wishes, revision: this.#section.dataset.revision });
    try {
      const response = await fetch(`${this.#section.dataset.plansUrl}?${query}`);
      if (response.redirected) location.reload(); // logged out meanwhile
      for await (const line of lines(response.body)) this.#take(line);
    } catch {
      this.#say(SILENT, "bad");
    }
    for (const row of this.#rows.values()) {
      const fit = row.querySelector("[data-fit=pending]");
      if (fit) this.#show(row, { fit: "unknown", fit_words: "Not known", notes: [] });
    }
  }

  #take(line) {
    if (line.type === "plan") {
      const row = this.#rows.get(line.key);
      if (row) this.#show(row, line);
      if (line.model) this.#model.textContent = line.model;
    } else if (line.type === "recommended") {
      this.#recommend(line);
    } else if (line.type === "problem") {
      this.#say(line.sentence, "warn");
    } else if (line.problems) {
      this.#say(Object.values(line.problems).join(" "), "bad");
    }
  }

  #show(row, plan) {
    fill(row, plan);
    row.querySelector("[data-fit]").dataset.fit = plan.fit;
    const notes = row.querySelector("[data-notes]");
    notes.hidden = !plan.notes.length;
    notes.querySelector("ul").replaceChildren(
      ...plan.notes.map((note) => Object.assign(document.createElement("li"), { textContent: note })),
    );
  }

  #recommend({ key, reason }) {
    const row = key === null ? null : this.#rows.get(key);
    if (!row) {
      this.#say(reason, "warn");
      return;
    }
    row.querySelector("[data-recommended]").hidden = false;
    row.classList.add("is-recommended");
    row.querySelector(".button")?.classList.add("primary");
    const name = row.querySelector("h3").firstChild.textContent.trim();
    this.#say(`${name} is recommended. ${reason}`, "good");
  }

  #say(sentence, kind) {
    this.#advice.className = `notice ${kind}`;
    this.#advice.textContent = sentence;
    announce(sentence);
  }
}

/** A download that ends while the page is open. */
function followDownloads(feed) {
  const show = ({ detail }) => {
    for (const job of detail.jobs) {
      const chip = document.querySelector(`[data-job-id="${job.id}"] .chip`);
      if (!chip || job.is_active) continue;
      const isHere = job.state === "done";
      chip.textContent = isHere ? "On this box" : `Download ${job.state}`;
      chip.dataset.state = isHere ? "resident" : "failed";
    }
  };
  feed.addEventListener("backlog", show);
  feed.addEventListener("delta", show);
}

followDownloads(mountJobs(document.querySelector("[data-jobs]")));
const section = document.getElementById("variants");
if (section) new Plans(section).read(Object.fromEntries(new FormData(document.getElementById("wishes"))));
