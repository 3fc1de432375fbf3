// @ts-check
// Jobs on a page: the server painted them by jobs/panel.html, the feed keeps them true.
import { announce } from "../shared/announcer.js";
import { around, copyOf, find, saidBy } from "../shared/dom.js";
import { fill } from "../shared/fill.js";
import { box, jobs as words } from "../shared/words.js";
import { jobFeed } from "./feed.js";

/** @import { JobRow } from "./frames" */

/**
 * Keeps the rows inside `element`, made by jobs/panel.html, up to date, and its buttons at work. Returns the feed.
 * @param {HTMLElement} element
 */
export function mountJobs(element) {
  const feed = jobFeed();
  const panel = new Panel(element);
  feed.onFrame((frame) => panel.show(frame.jobs, { isBacklog: frame.type === "backlog" }));
  if (feed.rows.size) panel.show([...feed.rows.values()], { isBacklog: true });
  return feed;
}

class Panel {
  #list;
  #template;
  #refusal;
  /** @type {(row: JobRow) => boolean} */
  #isWanted;
  #onlyKnown;

  /** @param {HTMLElement} element */
  constructor(element) {
    const { scope, variant, only } = element.dataset;
    this.#list = find(element, "ul");
    this.#template = find(element, "template", HTMLTemplateElement);
    this.#refusal = find(element, "[data-refusal]");
    this.#onlyKnown = Boolean(only);
    this.#isWanted = (row) =>
      (scope !== "active" || row.is_active) && (!variant || row.variant_id === Number(variant));
    element.addEventListener("submit", (event) => this.#act(event));
  }

  /**
   * @param {JobRow[]} rows
   * @param {{isBacklog: boolean}} from
   */
  show(rows, { isBacklog }) {
    // Oldest first: each new one is put on top.
    for (const row of [...rows].sort((one, other) => one.id - other.id)) {
      const known = this.#list.querySelector(`[data-job="${row.id}"]`);
      if (known instanceof HTMLElement) this.#fill(known, row, { isNew: false });
      else if (this.#isWanted(row) && !this.#onlyKnown) this.#add(row, { atEnd: isBacklog && !row.is_active });
    }
  }

  /**
   * @param {JobRow} row
   * @param {{atEnd: boolean}} where
   */
  #add(row, { atEnd }) {
    const element = copyOf(this.#template);
    this.#fill(element, row, { isNew: true });
    if (atEnd) this.#list.append(element);
    else this.#list.prepend(element);
  }

  /**
   * @param {HTMLElement} element
   * @param {JobRow} row
   * @param {{isNew: boolean}} how
   */
  #fill(element, row, { isNew }) {
    const before = element.dataset.state;
    fill(element, row);
    element.dataset.job = String(row.id);
    element.dataset.state = row.state;
    const address = `/jobs/${row.id}/`;
    const form = find(element, "form");
    const bar = find(element, "progress", HTMLProgressElement);
    if (isNew) {
      find(element, "[data-link]", HTMLAnchorElement).href = address;
      form.setAttribute("action", address);
      form.setAttribute("aria-label", row.title);
      bar.setAttribute("aria-label", words.done(row.title));
    }
    bar.hidden = !row.is_active;
    if (row.permille === null) bar.removeAttribute("value");
    else bar.value = row.permille;
    if (!isNew && before !== row.state && !row.is_active) announce(words.ended({ title: row.title, state: row.state_words }));
  }

  /** @param {SubmitEvent} event */
  async #act(event) {
    const form = around(event.target, ".job-acts", HTMLFormElement);
    const button = event.submitter;
    if (!form || !(button instanceof HTMLButtonElement)) return;
    event.preventDefault();
    const body = saidBy(form, button);
    button.disabled = true;
    this.#refuse(await said(form.getAttribute("action") ?? "", body));
    button.disabled = false;
  }

  /** @param {string} text */
  #refuse(text) {
    this.#refusal.hidden = !text;
    this.#refusal.textContent = text;
  }
}

/**
 * Why it was refused; "" where it was done.
 * @param {string} url
 * @param {URLSearchParams} body
 * @returns {Promise<string>}
 */
async function said(url, body) {
  try {
    const answer = await fetch(url, { method: "POST", body, headers: { Accept: "application/json" } });
    const { detail = "" } = await answer.json();
    return answer.ok ? "" : detail || box.refused;
  } catch {
    return box.unreached;
  }
}
