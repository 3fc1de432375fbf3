// @ts-check
// Finding models: jobs as they get on; on a repository's page its variants' plans, which arrive one by one, and at last advice.
import { announce } from "../shared/announcer.js";
import { byId, find, findAll, ifThere, saidBy } from "../shared/dom.js";
import { fill } from "../shared/fill.js";
import { hub as words } from "../shared/words.js";
import { mountJobs } from "../jobs/panel.js";

/**
 * @import { JobFeed } from "../jobs/feed.js"
 * @typedef {{fit: string, fit_words: string, notes: string[]}} Plan
 * @typedef {{type: "plan", key: string, model?: string} & Plan} PlanLine
 * @typedef {{type: "recommended", key: string | null, reason: string}} RecommendedLine
 * @typedef {{type: "problem", sentence: string}} ProblemLine
 * @typedef {{type?: undefined, problems?: Record<string, string>}} RefusedLine
 */

/**
 * Lines of JSON as they arrive.
 * @param {ReadableStream<Uint8Array<ArrayBuffer>>} body
 * @returns {AsyncGenerator<PlanLine | RecommendedLine | ProblemLine | RefusedLine>}
 */
async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const parts = (rest + value).split("\n");
    rest = parts.pop() ?? "";
    for (const part of parts) yield JSON.parse(part);
  }
  if (rest) yield JSON.parse(rest);
}

class Plans {
  #section;
  #advice = byId("advice");
  #model = byId("model");
  #rows;

  /** @param {HTMLElement} section */
  constructor(section) {
    this.#section = section;
    this.#rows = new Map(findAll(section, "[data-key]").map((row) => [row.dataset.key, row]));
  }

  /** @param {URLSearchParams} wishes */
  async read(wishes) {
    const query = new URLSearchParams(wishes);
    query.set("revision", this.#section.dataset.revision ?? "");
    try {
      const response = await fetch(`${this.#section.dataset.plansUrl}?${query}`);
      if (response.redirected) location.reload(); // logged out meanwhile
      if (response.body) for await (const line of lines(response.body)) this.#take(line);
    } catch {
      this.#say(words.silent, "bad");
    }
    for (const row of this.#rows.values()) {
      const fit = row.querySelector("[data-fit=pending]");
      if (fit) this.#show(row, { fit: "unknown", fit_words: words.notKnown, notes: [] });
    }
  }

  /** @param {PlanLine | RecommendedLine | ProblemLine | RefusedLine} line */
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

  /**
   * @param {HTMLElement} row
   * @param {Plan} plan
   */
  #show(row, plan) {
    fill(row, plan);
    find(row, "[data-fit]").dataset.fit = plan.fit;
    const notes = find(row, "[data-notes]");
    notes.hidden = !plan.notes.length;
    find(notes, "ul").replaceChildren(
      ...plan.notes.map((note) => Object.assign(document.createElement("li"), { textContent: note })),
    );
  }

  /** @param {RecommendedLine} line */
  #recommend({ key, reason }) {
    const row = key === null ? null : this.#rows.get(key);
    if (!row) {
      this.#say(reason, "warn");
      return;
    }
    find(row, "[data-recommended]").hidden = false;
    row.classList.add("is-recommended");
    row.querySelector(".button")?.classList.add("primary");
    const name = find(row, "h3").firstChild?.textContent?.trim() ?? "";
    this.#say(words.recommended({ name, reason }), "good");
  }

  /**
   * @param {string} sentence
   * @param {"good" | "warn" | "bad"} kind
   */
  #say(sentence, kind) {
    this.#advice.className = `notice ${kind}`;
    this.#advice.textContent = sentence;
    announce(sentence);
  }
}

/**
 * A download that ends while the page is open.
 * @param {JobFeed} feed
 */
function followDownloads(feed) {
  feed.onFrame(({ jobs }) => {
    for (const job of jobs) {
      const chip = document.querySelector(`[data-job-id="${job.id}"] .chip`);
      if (!(chip instanceof HTMLElement) || job.is_active) continue;
      const isHere = job.state === "done";
      chip.textContent = isHere ? words.here : job.state === "cancelled" ? words.cancelled : words.failed;
      chip.dataset.state = isHere ? "resident" : "failed";
    }
  });
}

followDownloads(mountJobs(find(document, "[data-jobs]")));
const section = ifThere("variants");
if (section) new Plans(section).read(saidBy(byId("wishes", HTMLFormElement)));
