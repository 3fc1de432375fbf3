// @ts-check
// What the page says: waits, endings, refusals, figures.
import { size, latency, tokens } from "../shared/numbers.js";

/**
 * @import { AnswerView, VariantView, Wait } from "./frames"
 * @typedef {{text: string, done: number | null}} WaitShown `done` is a fraction; null where nobody knows how long it takes.
 */

/**
 * How an answer ended, where that needs words; "" where it does not. The server words failures, facts included.
 * @param {AnswerView} view
 */
export function endingSentence(view) {
  if (view.state === "stopped") return "You stopped this answer.";
  if (view.state === "failed") return view.error_detail || "The answer failed.";
  if (view.state === "interrupted") return view.error_detail || "The answer was interrupted. What had arrived is kept.";
  if (view.state !== "complete") return "";
  if (view.finish_reason === "length") {
    return "The answer was cut here: it reached the token limit or the end of the model's context.";
  }
  return view.content || view.reasoning ? "" : "The model ended its answer without writing anything.";
}

/**
 * What a silent answer waits for; null once it is being written.
 * @param {Wait | null} wait
 * @param {string} name of its model; may be empty
 * @returns {WaitShown | null}
 */
export function waitShown(wait, name) {
  const whom = name || "the model";
  switch (wait?.stage) {
    case "queued": {
      const place = wait.position === 1 ? "Next in line" : `Waiting in line, place ${wait.position}`;
      return { text: wait.reason ? `${place}: ${wait.reason}` : `${place}.`, done: null };
    }
    case "evicting":
      return { text: `Making room: ${(wait.variants ?? []).join(", ") || "another model"} leaves the memory.`, done: null };
    case "loading":
      return { text: `Loading ${whom}: ${Math.round((wait.fraction ?? 0) * 100)}\u00a0%`, done: wait.fraction ?? null };
    case "prefill":
      if (!wait.total) return { text: "Reading the conversation…", done: null };
      return { text: `Reading the conversation: ${wait.done} of ${wait.total} tokens`, done: (wait.done ?? 0) / wait.total };
    case "host_down":
      return { text: "The model host does not answer. It is restarted by itself; your question stays in line.", done: null };
    case "generating":
      return null;
    default:
      return { text: "Starting…", done: null };
  }
}

/** @param {{code: string, detail?: string}} error */
export function refusalSentence(error) {
  if (error.code === "bad_parameter") return `One of the generation options was refused: ${error.detail}.`;
  if (error.code === "too_large") return "That message is too long for the box: at most 1 MB.";
  return error.detail || "The box refused that.";
}

/**
 * The facts of a finished answer, shortest first.
 * @param {AnswerView} view
 */
export function timingFacts(view) {
  const timings = view.timings ?? {};
  const facts = [];
  if (view.n_tokens) facts.push(tokens(view.n_tokens));
  const { predicted_n: n = 0, predicted_ms: milliseconds = 0 } = timings;
  if (milliseconds > 0 && n > 1) {
    facts.push(`${((n * 1000) / milliseconds).toFixed(1)} tokens/s`);
  }
  if (timings.ttft_ms != null) facts.push(`first token after ${latency(timings.ttft_ms)}`);
  if (timings.prompt_n != null) {
    const all = timings.prompt_n + (timings.cache_n ?? 0);
    facts.push(timings.cache_n ? `prompt ${all} (${timings.cache_n} cached)` : `prompt ${all}`);
  }
  return facts;
}

/**
 * State of a variant as `{chip, state, note, failure}`; `note` and `failure` are "" where there is nothing to add.
 * @param {VariantView} row
 * @param {boolean} hostAnswers
 */
export function variantShown(row, hostAnswers) {
  const bytes = row.size_bytes ? size(row.size_bytes) : "";
  if (row.trouble) return { chip: "cannot run", state: "failed", note: bytes, failure: row.trouble };
  const queue = row.queued > 0 ? `${row.queued} waiting` : "";
  const notes = [bytes, queue];
  if (row.mode === "completion") notes.push("completion mode");
  const state = hostAnswers ? row.state : "absent";
  const chip = {
    absent: "on disk",
    resident: "in memory",
    loading: `loading ${Math.round((row.fraction ?? 0) * 100)}\u00a0%`,
    draining: "finishing",
    unloading: "unloading",
    failed: "failed",
  }[state];
  const failure = row.state === "failed" ? row.failure_detail || "It could not be loaded." : "";
  return { chip, state, note: notes.filter(Boolean).join(" · "), failure };
}
