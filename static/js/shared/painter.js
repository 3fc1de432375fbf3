// @ts-check
// One clock for everything that streams: at most 20 paints a second, fewer when a paint is expensive, none in a hidden tab.
const GAP_MS = 50;
/** Painting may take up at most a quarter of the time: the rest belongs to scrolling, typing and the socket. */
const REST_PER_WORK = 3;

/** @type {Set<() => void>} */
const due = new Set();
let frame = 0;
let notBefore = 0;

/**
 * Calls `task` once at the next paint. A hidden tab gets no animation frames, so it catches up when it is shown again.
 * @param {() => void} task
 */
export function paintSoon(task) {
  due.add(task);
  if (!frame) frame = requestAnimationFrame(turn);
}

/** @param {number} now */
function turn(now) {
  if (now < notBefore) {
    frame = requestAnimationFrame(turn);
    return;
  }
  frame = 0;
  const began = performance.now();
  const tasks = [...due];
  due.clear();
  for (const task of tasks) task();
  notBefore = began + GAP_MS;
  // The browser's own layout comes after this function; a timeout runs behind it and sees the whole cost.
  setTimeout(() => {
    notBefore = Math.max(notBefore, began + (performance.now() - began) * (1 + REST_PER_WORK));
  });
}
