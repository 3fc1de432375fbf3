// @ts-check
// The dashboard's words, as inference/web/dashboard/rows.py writes them for the first paint.
import { duration, size } from "../shared/numbers.js";
import { device as words, loaded, numbers, residency } from "../shared/words.js";

/** @import { DeviceTelemetry, QueueEntry, Residency, VariantTelemetry } from "./frames" */

/**
 * @param {Residency} state
 * @param {number | null} fraction
 */
export function stateWords(state, fraction = null) {
  return state === "loading" && fraction !== null ? residency.loadingSoFar(Math.round(fraction * 100)) : residency[state];
}

/** @param {DeviceTelemetry} device */
export function deviceFacts(device) {
  const held = device.segments.filter((each) => each.variant_id !== null).reduce((sum, each) => sum + each.bytes, 0);
  const facts = [words.held({ held: size(held), budget: size(device.budget_bytes) })];
  if (device.utilisation_percent !== null) {
    const percent = Math.round(device.utilisation_percent);
    facts.push(device.device === "ram" ? words.processorBusy(percent) : words.busy(percent));
  }
  if (device.temperature_celsius !== null) facts.push(`${device.temperature_celsius} °C`);
  if (device.power_watts !== null) facts.push(`${Math.round(device.power_watts)} W`);
  if (device.swap_in_bytes_per_second) facts.push(words.swapping(numbers.perSecond(size(device.swap_in_bytes_per_second))));
  return facts.join(" · ");
}

/** @param {DeviceTelemetry} device */
export function deviceNote(device) {
  const budget = size(device.budget_bytes);
  return device.foreign_bytes === null ? words.noteForeignUnknown(budget) : words.note(budget);
}

/** @param {VariantTelemetry} variant */
function loadedHow(variant) {
  if (variant.load_seconds === null) return "";
  const { n_layers: layers, n_gpu_layers: onGpu, wanted_gpu_layers: wanted } = variant;
  const facts = [];
  if (layers !== null && onGpu !== null) {
    const where = onGpu ? loaded.onGpu({ n: onGpu, all: Math.max(layers + 1, onGpu) }) : loaded.allInRam;
    facts.push(wanted === null || wanted === onGpu ? where : loaded.askedFor({ where, n: wanted }));
  }
  facts.push(loaded.context({ tokens: variant.n_ctx_seq.toLocaleString("en"), slots: variant.n_seq_max }));
  if (variant.type_k && variant.type_v) {
    facts.push(loaded.cache(variant.type_k === variant.type_v ? variant.type_k : `${variant.type_k}/${variant.type_v}`));
  }
  facts.push(loaded.took(variant.load_seconds.toFixed(1)));
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
    slots: variant.n_seq_max ? loaded.slots({ busy: variant.slots_busy, all: variant.n_seq_max }) : "",
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
