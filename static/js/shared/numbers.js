const BINARY = ["bytes", "KiB", "MiB", "GiB", "TiB"];

/** As models_app.units.format_bytes writes it, so that one model has one size on all pages. */
export function binary(count) {
  let [amount, unit] = [count, 0];
  while (amount >= 1023.5 && unit < BINARY.length - 1) [amount, unit] = [amount / 1024, unit + 1];
  const digits = unit === 0 || amount >= 99.95 ? 0 : amount >= 9.995 ? 1 : 2;
  return `${amount.toFixed(digits).replace(/\.00$/, "")} ${BINARY[unit]}`;
}

/** 5 s, 3 min, 2 h, 4 d; as inference.web.dashboard.rows.duration writes it. */
export function duration(seconds) {
  for (const [limit, length, unit] of [[90, 1, "s"], [5400, 60, "min"], [129_600, 3600, "h"]]) {
    if (seconds < limit) return `${Math.round(seconds / length)} ${unit}`;
  }
  return `${Math.round(seconds / 86_400)} d`;
}

export function tokens(count) {
  return count === 1 ? "1 token" : `${count} tokens`;
}

export function seconds(milliseconds) {
  return milliseconds < 10_000 ? `${(milliseconds / 1000).toFixed(2)} s` : `${Math.round(milliseconds / 1000)} s`;
}

const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

/** "yesterday", "3 hours ago". */
export function ago(iso, now = Date.now()) {
  const past = (new Date(iso).getTime() - now) / 1000;
  for (const [unit, length] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (-past >= length) return RELATIVE.format(Math.round(past / length), unit);
  }
  return "just now";
}

/** A random name nobody else uses. `crypto.randomUUID` exists only on HTTPS and localhost. */
export function nonce() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
