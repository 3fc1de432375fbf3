// @ts-check
import { around } from "../shared/dom.js";

const NEAR_PX = 24;

/** Keeps the newest text in sight while the reader is at the end, and leaves whoever scrolled up alone. */
export class Follow {
  #scroller;
  #jump;
  #following = true;
  #top = 0;
  #height = 0;

  /**
   * @param {HTMLElement} scroller
   * @param {HTMLElement} content what grows in it
   * @param {HTMLElement} jump the button that leads to the end
   */
  constructor(scroller, content, jump) {
    this.#scroller = scroller;
    this.#jump = jump;
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    jump.addEventListener("click", () => {
      this.toEnd();
      scroller.focus({ preventScroll: true });
    });
    // Whoever opens something to read or to edit wants to stay there.
    content.addEventListener("click", (event) => {
      if (around(event.target, "summary, [data-action=edit]")) this.#leave();
    });
    // Runs after layout and before paint: following costs no layout of its own.
    const observer = new ResizeObserver(() => this.#grown());
    observer.observe(content);
    observer.observe(scroller);
  }

  toEnd() {
    this.#following = true;
    this.#grown();
  }

  #leave() {
    this.#following = false;
    this.#remember();
  }

  #grown() {
    if (this.#following) this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#remember();
  }

  #atEnd() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    return scrollHeight - scrollTop - clientHeight < NEAR_PX;
  }

  #scrolled() {
    const { scrollTop, scrollHeight } = this.#scroller;
    const wentUp = scrollTop < this.#top - 1 && scrollHeight >= this.#height;
    if (this.#atEnd()) this.#following = true;
    else if (wentUp) this.#following = false;
    this.#remember();
  }

  #remember() {
    this.#top = this.#scroller.scrollTop;
    this.#height = this.#scroller.scrollHeight;
    this.#jump.hidden = this.#following || this.#atEnd();
  }
}
