// @ts-check
// The dashboard's words, as inference/web/dashboard/rows.py writes them for the first paint.
import { size, duration } from "../shared/numbers.js";

/** @import { DeviceTelemetry, QueueEntry, Residency, VariantTelemetry } from "./frames" */

export const KIND_WORDS = {
  weights: "weights",
  kv: "KV cache",
  compute: "compute buffers",
  overhead: "overhead",
  reserved: "reserved",
  foreign: "other programs",
  reserve: "kept free",
  free: "free",
};

const STATE_WORDS = {
  absent: "on disk",
  resident: "in memory",
  loading: "loading",
  draining: "finishing",
  unloading: "unloading",
  failed: "failed",
};

/**
 * @param {Residency} state
 * @param {number | null} fraction
 */
export function stateWords(state, fraction = null) {
  const loading = state === "loading" && fraction !== null ? ` ${Math.round(fraction * 100)}%` : "";
  return STATE_WORDS[state] + loading;
}

/** @param {DeviceTelemetry} device */
export function deviceFacts(device) {
  const held = device.segments.filter((each) => each.variant_id !== null).reduce((sum, each) => sum + each.bytes, 0);
  const facts = [`${size(held)} of ${size(device.budget_bytes)} budget`];
  if (device.utilisation_percent !== null) {
    facts.push(`${device.device === "ram" ? "processor " : ""}${Math.round(device.utilisation_percent)} % busy`);
  }
  if (device.temperature_celsius !== null) facts.push(`${device.temperature_celsius} °C`);
  if (device.power_watts !== null) facts.push(`${Math.round(device.power_watts)} W`);
  if (device.swap_in_bytes_per_second) facts.push(`swapping in ${size(device.swap_in_bytes_per_second)}/s`);
  return facts.join(" · ");
}

/** @param {DeviceTelemetry} device */
export function deviceNote(device) {
  const note = `Budget ${size(device.budget_bytes)}: the most that models may hold here.`;
  return device.foreign_bytes === null ? `${note} What other programs use is not known.` : note;
}

/** @param {VariantTelemetry} variant */
function loadedHow(variant) {
  if (variant.load_seconds === null) return "";
  const { n_layers: layers, n_gpu_layers: onGpu, wanted_gpu_layers: wanted } = variant;
  const facts = [];
  if (layers !== null && onGpu !== null) {
    const where = onGpu ? `${onGpu} of ${Math.max(layers + 1, onGpu)} layers on the GPU` : "all layers in RAM";
    facts.push(wanted === null || wanted === onGpu ? where : `${where} (asked for ${wanted})`);
  }
  facts.push(`${variant.n_ctx_seq.toLocaleString("en")} tokens × ${variant.n_seq_max} slots`);
  if (variant.type_k && variant.type_v) {
    facts.push(variant.type_k === variant.type_v ? `KV ${variant.type_k}` : `KV ${variant.type_k}/${variant.type_v}`);
  }
  facts.push(`loaded in ${variant.load_seconds.toFixed(1)} s`);
  return facts.join(" · ");
}

/** @param {VariantTelemetry} variant */
export function residentRow(variant) {
  return {
    name: variant.name,
    state_words: stateWords(variant.state, variant.fraction),
    pinned: variant.pinned,
    completion: variant.mode === "completion",
    size: variant.reserved_bytes ? size(variant.reserved_bytes) : "",
    slots: variant.n_seq_max ? `${variant.slots_busy} of ${variant.n_seq_max}` : "",
    speed: variant.tokens_per_second.toFixed(1),
    idle: variant.idle_seconds === null ? "" : duration(variant.idle_seconds),
    how: loadedHow(variant),
    trouble: variant.alarm || variant.failure_detail || "",
  };
}

/**
 * @param {QueueEntry} entry
 * @param {string | undefined} user the person's own id
 */
export function queueRow(entry, user) {
  return {
    position: String(entry.position),
    name: entry.variant,
    reason: entry.reason,
    waiting: duration(entry.waiting_seconds),
    is_yours: entry.user === user,
  };
}
