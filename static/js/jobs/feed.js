// @ts-check
// What /ws/jobs/ says, once for all parts of a page that show jobs.
import { ChatSocket } from "../shared/socket.js";

/** @import { JobFrame, JobRow } from "./frames" */

const SEEN_EVERY = 5;

/** `rows` holds every job heard of, by id, newest first when sorted by it. */
export class JobFeed {
  /** @type {Map<number, JobRow>} */
  rows = new Map();
  /** @type {ChatSocket<JobFrame>} */
  #socket = new ChatSocket("/ws/jobs/");
  /** @type {((frame: JobFrame) => void)[]} */
  #listeners = [];
  #heard = 0;

  constructor() {
    this.#socket.onFrame((frame) => this.#hear(frame));
    this.#socket.connect();
  }

  /** @param {(frame: JobFrame) => void} listener called after `rows` has taken the frame in */
  onFrame(listener) {
    this.#listeners.push(listener);
  }

  /** @param {JobFrame} frame */
  #hear(frame) {
    if (frame.type === "backlog") this.rows.clear();
    for (const row of frame.jobs) this.rows.set(row.id, row);
    for (const listener of this.#listeners) listener(frame);
    this.#heard += 1;
    // The server stops sending to a page that has not taken in what it got.
    if (this.#heard % SEEN_EVERY === 0) this.#socket.send({ type: "seen" });
  }
}

/** @type {JobFeed | null} */
let feed = null;

/** The page's feed; the first call connects it. */
export function jobFeed() {
  feed ??= new JobFeed();
  return feed;
}
