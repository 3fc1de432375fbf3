// Adding files: an upload goes piece by piece, and goes on where it was after anything that cut it off.
import { mountJobs } from "../jobs/panel.js";
import { binary, duration } from "../shared/numbers.js";

const RETRY_MS = [500, 1000, 2000, 4000, 8000];
const BEING_WRITTEN = 423;
const LOST = "The connection was lost. Choose the same files again to go on where it was.";

const byId = (id) => document.getElementById(id);
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** The box said no; `message` is its sentence, `offset` where the file really ends, if that was wrong. */
class Refused extends Error {
  constructor(detail, offset, status) {
    super(detail);
    this.offset = offset;
    this.status = status;
  }
}

class Upload {
  #url;
  #token;
  #files;
  #stopping = new AbortController();
  #began = 0;
  #sent = 0;

  constructor(url, token, files) {
    this.#url = url;
    this.#token = token;
    this.#files = new Map(files.map((file) => [file.name, file]));
  }

  stop() {
    this.#stopping.abort();
  }

  /** Calls `tell(bytes here, bytes of all, bytes per second or null)`. Throws Refused, and an AbortError after `stop`. */
  async run(tell) {
    const files = [...this.#files.values()];
    const total = files.reduce((sum, file) => sum + file.size, 0);
    const told = files.map(({ name, size }) => ({ name, size_bytes: size }));
    const { id, order, offsets, piece_bytes: pieceBytes } = await this.#ask("POST", this.#url, JSON.stringify(told));
    this.#began = performance.now();
    for (const [number, name] of order.entries()) {
      const file = this.#files.get(name);
      while (offsets[number] < file.size) {
        offsets[number] = await this.#piece(`${this.#url}${id}/${number}/`, file, offsets[number], pieceBytes);
        const seconds = (performance.now() - this.#began) / 1000;
        tell(offsets.reduce((sum, each) => sum + each, 0), total, seconds > 1 ? this.#sent / seconds : null);
      }
    }
  }

  /** Where the file ends after it. */
  async #piece(url, file, offset, pieceBytes) {
    const piece = file.slice(offset, offset + pieceBytes);
    for (const delay of [...RETRY_MS, null]) {
      try {
        const { offset: after } = await this.#ask("PUT", url, piece, { "Upload-Offset": String(offset) });
        this.#sent += piece.size;
        return after;
      } catch (error) {
        if (error.name === "AbortError") throw error;
        if (error instanceof Refused) {
          if (error.offset !== undefined) return error.offset; // an answer was lost: the piece had arrived
          // The box may still be writing the piece whose answer was lost.
          if (error.status !== BEING_WRITTEN || delay === null) throw error;
        } else if (delay === null) throw new Refused(LOST);
      }
      await wait(delay);
    }
    throw new Refused(LOST);
  }

  async #ask(method, url, body, headers = {}) {
    const answer = await fetch(url, {
      method,
      body,
      headers: { Accept: "application/json", "X-CSRFToken": this.#token, ...headers },
      signal: this.#stopping.signal,
    });
    const said = await answer.json();
    if (!answer.ok) throw new Refused(said.detail ?? "The box refused that.", said.offset, answer.status);
    return said;
  }
}

function say(id, text) {
  byId(id).hidden = !text;
  byId(id).textContent = text;
}

function progress(here, total, rate) {
  byId("upload-bar").hidden = false;
  byId("upload-bar").value = Math.round((1000 * here) / total);
  const facts = [`${binary(here)} of ${binary(total)}`];
  if (rate) facts.push(`${binary(Math.round(rate))}/s`, `${duration((total - here) / rate)} left`);
  say("upload-said", facts.join(" · "));
}

const form = byId("upload");
form.hidden = false;
let running = null;

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const files = [...byId("files").files];
  if (!files.length || running) return;
  say("upload-problem", "");
  say("upload-said", "Beginning …");
  byId("upload-stop").hidden = false;
  form.querySelector("[type=submit]").disabled = true;
  running = new Upload(form.getAttribute("action"), form.elements.csrfmiddlewaretoken.value, files);
  try {
    await running.run(progress);
    say("upload-said", "All of it is here. The box checks it now; it shows up among the models when it is found whole.");
  } catch (error) {
    say("upload-said", error.name === "AbortError" ? "Stopped. Choose the same files again to go on where it was." : "");
    if (error instanceof Refused) say("upload-problem", error.message);
    else if (error.name !== "AbortError") say("upload-problem", LOST);
  }
  running = null;
  byId("upload-stop").hidden = true;
  form.querySelector("[type=submit]").disabled = false;
});

byId("upload-stop").addEventListener("click", () => running?.stop());
addEventListener("beforeunload", (event) => running && event.preventDefault());

for (const panel of document.querySelectorAll("[data-jobs]")) mountJobs(panel);
