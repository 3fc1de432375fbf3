// What /ws/jobs/ says, once for all parts of a page that show jobs.
import { ChatSocket } from "../shared/socket.js";

const SEEN_EVERY = 5;

/**
 * Events: `backlog` and `delta` (detail: the frame), `up`, `down`, `signedout`. `rows` holds every job heard of, by id, newest first
 * when sorted by it.
 */
class JobFeed extends EventTarget {
  rows = new Map();
  #socket = new ChatSocket("/ws/jobs/");
  #heard = 0;

  constructor() {
    super();
    this.#socket.addEventListener("frame", ({ detail }) => this.#hear(detail));
    for (const name of ["up", "down", "signedout"]) {
      this.#socket.addEventListener(name, () => this.dispatchEvent(new Event(name)));
    }
    this.#socket.connect();
  }

  #hear(frame) {
    if (frame.type === "backlog") this.rows.clear();
    for (const row of frame.jobs) this.rows.set(row.id, row);
    this.dispatchEvent(new CustomEvent(frame.type, { detail: frame }));
    this.#heard += 1;
    // The server stops sending to a page that has not taken in what it got.
    if (this.#heard % SEEN_EVERY === 0) this.#socket.send({ type: "seen" });
  }
}

let feed = null;

/** The page's feed; the first call connects it. */
export function jobFeed() {
  feed ??= new JobFeed();
  return feed;
}
