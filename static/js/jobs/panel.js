// Jobs on a page: the server painted them by jobs/panel.html, the feed keeps them true.
import { announce } from "../shared/announcer.js";
import { fill } from "../shared/fill.js";
import { jobFeed } from "./feed.js";

const UNREACHED = "The box could not be reached. Try again.";

/** Keeps the rows inside `element`, made by jobs/panel.html, up to date, and its buttons at work. Returns the feed. */
export function mountJobs(element) {
  const feed = jobFeed();
  const panel = new Panel(element);
  feed.addEventListener("backlog", ({ detail }) => panel.show(detail.jobs, { isBacklog: true }));
  feed.addEventListener("delta", ({ detail }) => panel.show(detail.jobs, { isBacklog: false }));
  if (feed.rows.size) panel.show([...feed.rows.values()], { isBacklog: true });
  return feed;
}

class Panel {
  #list;
  #template;
  #refusal;
  #isWanted;
  #onlyKnown;

  constructor(element) {
    const { scope, variant, only } = element.dataset;
    this.#list = element.querySelector("ul");
    this.#template = element.querySelector("template");
    this.#refusal = element.querySelector("[data-refusal]");
    this.#onlyKnown = Boolean(only);
    this.#isWanted = (row) =>
      (scope !== "active" || row.is_active) && (!variant || row.variant_id === Number(variant));
    element.addEventListener("submit", (event) => this.#act(event));
  }

  show(rows, { isBacklog }) {
    // Oldest first: each new one is put on top.
    for (const row of [...rows].sort((one, other) => one.id - other.id)) {
      const known = this.#list.querySelector(`[data-job="${row.id}"]`);
      if (known) this.#fill(known, row, { isNew: false });
      else if (this.#isWanted(row) && !this.#onlyKnown) this.#add(row, { atEnd: isBacklog && !row.is_active });
    }
  }

  #add(row, { atEnd }) {
    const element = this.#template.content.firstElementChild.cloneNode(true);
    this.#fill(element, row, { isNew: true });
    if (atEnd) this.#list.append(element);
    else this.#list.prepend(element);
  }

  #fill(element, row, { isNew }) {
    const before = element.dataset.state;
    fill(element, row);
    element.dataset.job = row.id;
    element.dataset.state = row.state;
    const address = `/jobs/${row.id}/`;
    const form = element.querySelector("form");
    const bar = element.querySelector("progress");
    if (isNew) {
      element.querySelector("[data-link]").href = address;
      form.setAttribute("action", address);
      form.setAttribute("aria-label", row.title);
      bar.setAttribute("aria-label", `Done of ${row.title}`);
    }
    bar.hidden = !row.is_active;
    if (row.permille === null) bar.removeAttribute("value");
    else bar.value = row.permille;
    if (!isNew && before !== row.state && !row.is_active) announce(`${row.title}: ${row.state_words}`);
  }

  async #act(event) {
    const form = event.target.closest(".job-acts");
    if (!form) return;
    event.preventDefault();
    const button = event.submitter;
    const body = new URLSearchParams(new FormData(form, button));
    button.disabled = true;
    this.#refuse(await said(form.getAttribute("action"), body));
    button.disabled = false;
  }

  #refuse(text) {
    this.#refusal.hidden = !text;
    this.#refusal.textContent = text;
  }
}

/** Why it was refused; "" where it was done. */
async function said(url, body) {
  try {
    const answer = await fetch(url, { method: "POST", body, headers: { Accept: "application/json" } });
    const { detail = "" } = await answer.json();
    return answer.ok ? "" : detail || "The box refused that.";
  } catch {
    return UNREACHED;
  }
}
