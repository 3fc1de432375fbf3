const UNITS = ["bytes", "KB", "MB", "GB", "TB"];

/** As Django's filesizeformat writes it, so that one model has one size on all pages. "" where the size is not known. */
export function bytes(count) {
  if (!count) return "";
  const power = Math.min(Math.floor(Math.log2(count) / 10), UNITS.length - 1);
  return `${(count / 1024 ** power).toFixed(power ? 1 : 0)} ${UNITS[power]}`;
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
