// @ts-check
// What the page says: waits, endings, refusals, figures.
import { latency, size } from "../shared/numbers.js";
import { box, ending, numbers, options, picker, residency, wait as waiting } from "../shared/words.js";

/**
 * @import { AnswerView, VariantView, Wait } from "./frames"
 * @typedef {{text: string, done: number | null}} WaitShown `done` is a fraction; null where nobody knows how long it takes.
 */

/**
 * How an answer ended, where that needs words; "" where it does not. The server words failures, facts included.
 * @param {AnswerView} view
 */
export function endingSentence(view) {
  if (view.state === "stopped") return ending.stopped;
  if (view.state === "failed") return view.error_detail || ending.failed;
  if (view.state === "interrupted") return view.error_detail || ending.interrupted;
  if (view.state !== "complete") return "";
  if (view.finish_reason === "length") {
    return ending.cut;
  }
  return view.content || view.reasoning ? "" : ending.empty;
}

/**
 * What a silent answer waits for; null once it is being written.
 * @param {Wait | null} wait
 * @param {string} name of its model; may be empty
 * @returns {WaitShown | null}
 */
export function waitShown(wait, name) {
  const whom = name || waiting.theModel;
  switch (wait?.stage) {
    case "queued": {
      // The reason says the place, too.
      const { position: place = 0, reason } = wait;
      return { text: reason || (place === 1 ? waiting.next : waiting.inLine(place)), done: null };
    }
    case "evicting":
      return { text: waiting.evicting((wait.variants ?? []).join(", ") || waiting.anotherModel), done: null };
    case "loading":
      return { text: waiting.loading({ name: whom, percent: Math.round((wait.fraction ?? 0) * 100) }), done: wait.fraction ?? null };
    case "prefill":
      if (!wait.total) return { text: waiting.reading, done: null };
      return { text: waiting.readingSoFar({ done: wait.done ?? 0, total: wait.total }), done: (wait.done ?? 0) / wait.total };
    case "host_down":
      return { text: waiting.hostDown, done: null };
    case "generating":
      return null;
    default:
      return { text: waiting.starting, done: null };
  }
}

/** @param {{code: string, detail?: string}} error */
export function refusalSentence(error) {
  if (error.code === "bad_parameter") return options.refused(error.detail ?? "");
  if (error.code === "too_large") return options.tooLarge;
  return error.detail || box.refused;
}

/**
 * The facts of a finished answer, shortest first.
 * @param {AnswerView} view
 */
export function timingFacts(view) {
  const timings = view.timings ?? {};
  const facts = [];
  if (view.n_tokens) facts.push(numbers.tokens(view.n_tokens));
  const { predicted_n: n = 0, predicted_ms: milliseconds = 0 } = timings;
  if (milliseconds > 0 && n > 1) {
    facts.push(numbers.tokensPerSecond(((n * 1000) / milliseconds).toFixed(1)));
  }
  if (timings.ttft_ms != null) facts.push(ending.firstTokenAfter(latency(timings.ttft_ms)));
  if (timings.prompt_n != null) {
    const all = timings.prompt_n + (timings.cache_n ?? 0);
    facts.push(timings.cache_n ? ending.promptCached({ n: all, cached: timings.cache_n }) : ending.prompt(all));
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
  if (row.trouble) return { chip: picker.cannotRun, state: "failed", note: bytes, failure: row.trouble };
  const queue = row.queued > 0 ? picker.waiting(row.queued) : "";
  const notes = [bytes, queue];
  if (row.mode === "completion") notes.push(picker.completionMode);
  const state = hostAnswers ? row.state : "absent";
  const chip = state === "loading" ? picker.loading(Math.round((row.fraction ?? 0) * 100)) : residency[state];
  const failure = row.state === "failed" ? row.failure_detail || picker.notLoaded : "";
  return { chip, state, note: notes.filter(Boolean).join(" · "), failure };
}
