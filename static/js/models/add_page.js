// @ts-check
// Adding files: an upload goes piece by piece, and goes on where it was after anything that cut it off.
import { mountJobs } from "../jobs/panel.js";
import { byId, control, find, findAll } from "../shared/dom.js";
import { duration, size } from "../shared/numbers.js";
import { box, numbers, upload as words } from "../shared/words.js";

const RETRY_MS = [500, 1000, 2000, 4000, 8000];
const BEING_WRITTEN = 423;

/** @param {number} ms */
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** The box said no; `message` is its sentence, `offset` where the file really ends, if that was wrong. */
class Refused extends Error {
  /**
   * @param {string} detail
   * @param {number} [offset]
   * @param {number} [status]
   */
  constructor(detail, offset, status) {
    super(detail);
    this.offset = offset;
    this.status = status;
  }
}

/** @param {unknown} error */
const isAbort = (error) => error instanceof DOMException && error.name === "AbortError";

class Upload {
  #url;
  #token;
  #files;
  #stopping = new AbortController();
  #began = 0;
  #sent = 0;

  /**
   * @param {string} url
   * @param {string} token
   * @param {File[]} files
   */
  constructor(url, token, files) {
    this.#url = url;
    this.#token = token;
    this.#files = new Map(files.map((file) => [file.name, file]));
  }

  stop() {
    this.#stopping.abort();
  }

  /**
   * Throws Refused, and an AbortError after `stop`.
   * @param {(here: number, total: number, bytesPerSecond: number | null) => void} tell
   */
  async run(tell) {
    const files = [...this.#files.values()];
    const total = files.reduce((sum, file) => sum + file.size, 0);
    const told = files.map((file) => ({ name: file.name, size_bytes: file.size }));
    /** @type {{id: number, order: string[], offsets: number[], piece_bytes: number}} */
    const { id, order, offsets, piece_bytes: pieceBytes } = await this.#ask("POST", this.#url, JSON.stringify(told));
    this.#began = performance.now();
    for (const [number, name] of order.entries()) {
      const file = this.#files.get(name);
      if (!file) throw new Refused(words.lost);
      while (offsets[number] < file.size) {
        offsets[number] = await this.#piece(`${this.#url}${id}/${number}/`, file, offsets[number], pieceBytes);
        const seconds = (performance.now() - this.#began) / 1000;
        tell(offsets.reduce((sum, each) => sum + each, 0), total, seconds > 1 ? this.#sent / seconds : null);
      }
    }
  }

  /**
   * Where the file ends after it.
   * @param {string} url
   * @param {File} file
   * @param {number} offset
   * @param {number} pieceBytes
   * @returns {Promise<number>}
   */
  async #piece(url, file, offset, pieceBytes) {
    const piece = file.slice(offset, offset + pieceBytes);
    for (const delay of [...RETRY_MS, null]) {
      try {
        const { offset: after } = await this.#ask("PUT", url, piece, { "Upload-Offset": String(offset) });
        this.#sent += piece.size;
        return after;
      } catch (error) {
        if (isAbort(error)) throw error;
        if (error instanceof Refused) {
          if (error.offset !== undefined) return error.offset; // an answer was lost: the piece had arrived
          // The box may still be writing the piece whose answer was lost.
          if (error.status !== BEING_WRITTEN || delay === null) throw error;
        } else if (delay === null) throw new Refused(words.lost);
      }
      await wait(delay);
    }
    throw new Refused(words.lost);
  }

  /**
   * @param {"POST" | "PUT"} method
   * @param {string} url
   * @param {BodyInit} body
   * @param {Record<string, string>} headers
   * @returns {Promise<any>}
   */
  async #ask(method, url, body, headers = {}) {
    const answer = await fetch(url, {
      method,
      body,
      headers: { Accept: "application/json", "X-CSRFToken": this.#token, ...headers },
      signal: this.#stopping.signal,
    });
    const said = await answer.json();
    if (!answer.ok) throw new Refused(said.detail ?? box.refused, said.offset, answer.status);
    return said;
  }
}

/**
 * @param {string} id
 * @param {string} text
 */
function say(id, text) {
  byId(id).hidden = !text;
  byId(id).textContent = text;
}

/**
 * @param {number} here
 * @param {number} total
 * @param {number | null} rate
 */
function progress(here, total, rate) {
  const bar = byId("upload-bar", HTMLProgressElement);
  bar.hidden = false;
  bar.value = Math.round((1000 * here) / total);
  const facts = [words.soFar({ here: size(here), total: size(total) })];
  if (rate) facts.push(numbers.perSecond(size(Math.round(rate))), words.left(duration((total - here) / rate)));
  say("upload-said", facts.join(" · "));
}

const form = byId("upload", HTMLFormElement);
const send = find(form, "[type=submit]", HTMLButtonElement);
form.hidden = false;
/** @type {Upload | null} */
let running = null;

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const files = [...(byId("files", HTMLInputElement).files ?? [])];
  if (!files.length || running) return;
  say("upload-problem", "");
  say("upload-said", words.beginning);
  byId("upload-stop").hidden = false;
  send.disabled = true;
  running = new Upload(form.getAttribute("action") ?? "", control(form, "csrfmiddlewaretoken").value, files);
  try {
    await running.run(progress);
    say("upload-said", words.allHere);
  } catch (error) {
    say("upload-said", isAbort(error) ? words.stopped : "");
    if (error instanceof Refused) say("upload-problem", error.message);
    else if (!isAbort(error)) say("upload-problem", words.lost);
  }
  running = null;
  byId("upload-stop").hidden = true;
  send.disabled = false;
});

byId("upload-stop").addEventListener("click", () => running?.stop());
addEventListener("beforeunload", (event) => {
  if (running) event.preventDefault();
});

for (const panel of findAll(document, "[data-jobs]")) mountJobs(panel);
