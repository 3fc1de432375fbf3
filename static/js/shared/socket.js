// @ts-check
// The chat socket: frames in and out, and coming back after every loss by itself.

const SIGNED_OUT = 4401;
const FIRST_WAIT_MS = 300;
const LONGEST_WAIT_MS = 10_000;
/** A connection that said nothing for so long while the tab was away may be dead without knowing it. */
const STALE_MS = 20_000;
const PROOF_MS = 5_000;

/**
 * Events: `up` (connected; detail.again), `down` (detail.retryMs), `stale`, `signedout`; what comes in goes to `onFrame`.
 * `send` answers false where there is no connection: the caller keeps what it wanted to say and says it at `up`.
 * @template {{type: string}} Frame what comes in
 * @template {{type: string}} [Message={type: "seen"}] what goes out
 */
export class ChatSocket extends EventTarget {
  #url;
  /** @type {WebSocket | null} */
  #socket = null;
  #attempts = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #proof;
  #heardAt = 0;
  #connectedOnce = false;
  #over = false;
  /** @type {(frame: Frame) => void} */
  #hear = () => {};

  /** @param {string} path */
  constructor(path) {
    super();
    this.#url = new URL(path, location.href);
    this.#url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    window.addEventListener("online", () => this.#hurry());
    window.addEventListener("offline", () => this.#socket?.close());
    window.addEventListener("pageshow", (event) => event.persisted && this.#hurry());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.#hurry();
    });
  }

  /** @param {(frame: Frame) => void} hear */
  onFrame(hear) {
    this.#hear = hear;
  }

  get up() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  connect() {
    clearTimeout(this.#timer);
    const socket = (this.#socket = new WebSocket(this.#url));
    socket.addEventListener("open", () => {
      if (socket !== this.#socket) return;
      this.#attempts = 0;
      this.#heardAt = performance.now();
      const again = this.#connectedOnce;
      this.#connectedOnce = true;
      this.#tell("up", { again });
    });
    socket.addEventListener("message", (event) => {
      if (socket !== this.#socket) return;
      this.#heardAt = performance.now();
      clearTimeout(this.#proof);
      this.#hear(JSON.parse(event.data));
    });
    socket.addEventListener("close", (event) => {
      if (socket === this.#socket) this.#lost(event.code);
    });
  }

  /** @param {Message} message */
  send(message) {
    if (!this.#socket || !this.up) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  /**
   * Says something that must be answered: a connection that stays silent is given up.
   * @param {Message} message
   */
  sendForProof(message) {
    if (!this.send(message)) return false;
    clearTimeout(this.#proof);
    const socket = this.#socket;
    this.#proof = setTimeout(() => {
      if (socket !== this.#socket) return;
      this.#socket = null; // its own close event may take minutes
      socket?.close();
      this.#lost(1006);
    }, PROOF_MS);
    return true;
  }

  /**
   * @param {"up" | "down" | "stale" | "signedout"} name
   * @param {object} detail
   */
  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  /** @param {number} code */
  #lost(code) {
    clearTimeout(this.#proof);
    clearTimeout(this.#timer);
    if (this.#over) return;
    if (code === SIGNED_OUT) {
      this.#signedOut();
      return;
    }
    this.#attempts += 1;
    const limit = Math.min(FIRST_WAIT_MS * 2 ** (this.#attempts - 1), LONGEST_WAIT_MS);
    const wait = limit / 2 + (Math.random() * limit) / 2;
    this.#timer = setTimeout(() => this.connect(), wait);
    this.#tell("down", { retryMs: wait });
    // A handshake that is refused carries no reason; the page itself knows whether anybody is logged in.
    if (this.#attempts === 2 || this.#attempts % 10 === 0) this.#askWhetherSignedOut();
  }

  async #askWhetherSignedOut() {
    try {
      const answer = await fetch(location.href, { method: "HEAD", redirect: "manual", cache: "no-store" });
      if (answer.type === "opaqueredirect") this.#signedOut();
    } catch {
      // The box is not to be reached at all: the next attempt will tell.
    }
  }

  #signedOut() {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    this.#tell("signedout", {});
  }

  #hurry() {
    if (this.#over) return;
    if (this.#socket === null || this.#socket.readyState >= WebSocket.CLOSING) {
      this.#attempts = 0;
      this.connect();
    } else if (this.up && performance.now() - this.#heardAt > STALE_MS) {
      this.#tell("stale", {});
    }
  }
}
