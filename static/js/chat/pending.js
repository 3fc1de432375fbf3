// @ts-check
import { keepInTab, keptInTab } from "../shared/storage.js";

/** @import { Said } from "./frames" */

/** What was said and not yet acknowledged. It survives a reload, and is repeated with the same nonce after every reconnect. */
export class Pending {
  /** @type {Map<string, Said>} */
  #messages = new Map();

  constructor() {
    for (const message of JSON.parse(keptInTab("pending") ?? "[]")) this.#messages.set(message.nonce, message);
  }

  get all() {
    return [...this.#messages.values()];
  }

  /**
   * The one that belongs to this conversation (null: to a new one); null where there is none.
   * @param {string | null} conversation
   */
  of(conversation) {
    return this.all.find((message) => (message.place ?? null) === conversation) ?? null;
  }

  /** @param {Said} message */
  add(message) {
    this.#messages.set(message.nonce, message);
    this.#keep();
  }

  /**
   * Removes and returns it; null where it isn't known.
   * @param {string} nonce
   */
  take(nonce) {
    const message = this.#messages.get(nonce) ?? null;
    this.#messages.delete(nonce);
    this.#keep();
    return message;
  }

  #keep() {
    keepInTab("pending", this.#messages.size > 0 ? JSON.stringify(this.all) : null);
  }
}
