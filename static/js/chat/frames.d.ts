// The frames of /ws/chat/, both ways, as inference writes and reads them. Positions in text are UTF-16 code units.
import type { Residency } from "../dashboard/frames";

// browser → server

export interface Send {
  type: "send";
  nonce: string;
  conversation: string | null;
  parent: string | null;
  text: string;
  variant: number;
  options: GenerationOptions;
  system_prompt: string;
}

export interface Regenerate {
  type: "regenerate";
  nonce: string;
  message: string;
  variant: number;
  options: GenerationOptions;
}

export interface Open {
  type: "open";
  conversation: string;
}

export interface Stop {
  type: "stop";
  message: string;
}

/** Shows the branch that runs through `message`. */
export interface ShowBranch {
  type: "branch";
  message: string;
}

export interface Rename {
  type: "rename";
  conversation: string;
  title: string;
}

export interface Delete {
  type: "delete";
  conversation: string;
}

export type BrowserFrame = Open | Send | Regenerate | Stop | ShowBranch | Rename | Delete;

/** What was said, with where: null for a chat that has not begun. `place` stays in the browser. */
export type Said = (Send | Regenerate) & { place: string | null };

export type GenerationOptions = Record<string, number | string | string[] | undefined> & { stop?: string | string[] };

// server → browser

export interface Wait {
  stage: "starting" | "queued" | "evicting" | "loading" | "prefill" | "generating" | "host_down";
  position?: number;
  reason?: string;
  fraction?: number;
  variants?: string[];
  done?: number;
  total?: number;
}

export interface Timings {
  predicted_n?: number;
  predicted_ms?: number;
  prompt_n?: number;
  cache_n?: number;
  prompt_ms?: number;
  ttft_ms?: number;
  total_ms?: number;
}

export interface AnswerView {
  id: string;
  parent: string | null;
  siblings: string[];
  role: "assistant";
  content: string;
  reasoning: string;
  state: "running" | "complete" | "stopped" | "interrupted" | "failed";
  n_tokens: number;
  finish_reason: string;
  error_code: string;
  error_detail: string;
  variant_name: string;
  timings: Timings | null;
  wait: Wait | null;
  created_at: string;
}

/** `sending`: what the page says of one that the server has not acknowledged; such a one has no parent yet. */
export interface QuestionView {
  id: string;
  parent?: string | null;
  siblings: string[];
  role: "user";
  content: string;
  state: "complete";
  sending?: string;
}

export type MessageView = AnswerView | QuestionView;

export interface ConversationView {
  type: "conversation";
  id: string;
  title: string;
  variant: number | null;
  options: GenerationOptions;
  system_prompt: string;
  messages: MessageView[];
}

export interface Accepted {
  type: "accepted";
  nonce: string;
  conversation: string;
  message: string;
}

export interface Patch {
  type: "patch";
  message: string;
  n: number;
  at: number;
  content: string;
  reasoning_at: number;
  reasoning: string;
  wait: Wait | null;
}

export interface Final {
  type: "final";
  view: AnswerView;
}

export interface ConversationRow {
  id: string;
  title: string;
  updated_at: string;
  running: boolean;
}

export interface Conversations {
  type: "conversations";
  rows: ConversationRow[];
}

export interface VariantView {
  id: number;
  name: string;
  state: Residency;
  fraction: number | null;
  mode: "chat" | "completion" | null;
  failure_detail: string | null;
  size_bytes: number;
  queued: number;
  /** Why it cannot run; it can't be picked then. */
  trouble: string | null;
}

export interface Variants {
  type: "variants";
  host: boolean;
  rows: VariantView[];
}

export interface SocketError {
  type: "error";
  code: string;
  detail: string;
  nonce: string | null;
}

export type ServerFrame = ConversationView | Accepted | Patch | Final | Conversations | Variants | SocketError;
