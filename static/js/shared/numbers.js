// @ts-check
// Numbers as people read them, in the same words as the server: tests/browser/test_numbers_agree.py holds them together.

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

const BINARY = ["bytes", "KiB", "MiB", "GiB", "TiB"];

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

/** @type {[limit: number, length: number, unit: string][]} */
const DURATIONS = [[90, 1, "s"], [5400, 60, "min"], [129_600, 3600, "h"]];

/**
 * 5 s, 3 min, 2 h, 4 d; as inference.web.dashboard.rows.duration writes it.
 * @param {number} seconds
 */
export function duration(seconds) {
  for (const [limit, length, unit] of DURATIONS) {
    if (seconds < limit) return `${ROUNDED[0].format(seconds / length)} ${unit}`;
  }
  return `${ROUNDED[0].format(seconds / 86_400)} d`;
}

/** @param {number} count */
export function tokens(count) {
  return count === 1 ? "1 token" : `${count} tokens`;
}

/**
 * A wait that a person feels: 0.42 s, 12 s.
 * @param {number} milliseconds
 */
export function latency(milliseconds) {
  return milliseconds < 10_000 ? `${(milliseconds / 1000).toFixed(2)} s` : `${Math.round(milliseconds / 1000)} s`;
}

const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

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
  return "just now";
}

/** A random name nobody else uses. `crypto.randomUUID` exists only on HTTPS and localhost. */
export function nonce() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
