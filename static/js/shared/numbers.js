// @ts-check
// Numbers as people read them, in the same words as the server: tests/browser/test_numbers_agree.py holds them together.
import { numbers as words } from "./words.js";

/**
 * As Python rounds: a tie goes to the even neighbour.
 * @param {number} digits
 */
const rounding = (digits) =>
  new Intl.NumberFormat("en", {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
    roundingMode: "halfEven",
    useGrouping: false,
  });
const ROUNDED = [0, 1, 2].map(rounding);

const BINARY = [words.bytes, "KiB", "MiB", "GiB", "TiB"];

/**
 * As models_app.units.format_bytes writes it, so that one model has one size on all pages.
 * @param {number} count
 */
export function size(count) {
  let [amount, unit] = [count, 0];
  while (amount >= 1023.5 && unit < BINARY.length - 1) [amount, unit] = [amount / 1024, unit + 1];
  const digits = unit === 0 || amount >= 99.95 ? 0 : amount >= 9.995 ? 1 : 2;
  return `${ROUNDED[digits].format(amount).replace(/\.00$/, "")} ${BINARY[unit]}`;
}

/** @type {[limit: number, length: number, worded: (n: string) => string][]} */
const DURATIONS = [[90, 1, words.seconds], [5400, 60, words.minutes], [129_600, 3600, words.hours]];

/**
 * 0.4 s, 5 s, 3 min, 2 h, 4 d; as models_app.units.format_duration writes it.
 * @param {number} seconds
 */
export function duration(seconds) {
  const tenths = Number(ROUNDED[0].format(10 * seconds));
  if (tenths > 0 && tenths < 10) return words.seconds(`0.${tenths}`);
  for (const [limit, length, worded] of DURATIONS) {
    if (seconds < limit) return worded(ROUNDED[0].format(seconds / length));
  }
  return words.days(ROUNDED[0].format(seconds / 86_400));
}

/**
 * A wait that a person feels: 0.42 s, 12 s.
 * @param {number} milliseconds
 */
export function latency(milliseconds) {
  return words.seconds(milliseconds < 10_000 ? (milliseconds / 1000).toFixed(2) : Math.round(milliseconds / 1000));
}

const RELATIVE = new Intl.RelativeTimeFormat(document.documentElement.lang || "en", { numeric: "auto" });

/** @type {[unit: Intl.RelativeTimeFormatUnit, length: number][]} */
const PAST = [["day", 86400], ["hour", 3600], ["minute", 60]];

/**
 * "yesterday", "3 hours ago".
 * @param {string} iso
 * @param {number} now
 */
export function ago(iso, now = Date.now()) {
  const past = (new Date(iso).getTime() - now) / 1000;
  for (const [unit, length] of PAST) {
    if (-past >= length) return RELATIVE.format(Math.round(past / length), unit);
  }
  return words.justNow;
}

/** A random name nobody else uses. `crypto.randomUUID` exists only on HTTPS and localhost. */
export function nonce() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
