// The frames of /ws/jobs/, as inference writes them for the browser.

export interface JobRow {
  id: number;
  kind: string;
  state: "queued" | "running" | "paused" | "waiting" | "done" | "failed" | "cancelled";
  is_active: boolean;
  variant_id: number | null;
  title: string;
  state_words: string;
  /** How far it is, how fast, how long it will take; or when it ended. May be empty. */
  facts: string;
  reason: string;
  by: string;
  /** Done, of 1000; null: unknown. */
  permille: number | null;
  may_pause: boolean;
  may_resume: boolean;
  may_cancel: boolean;
  may_retry: boolean;
  may_discard: boolean;
}

export interface LineRow {
  id: number;
  job: number;
  /** ISO 8601. */
  at: string;
  level: string;
  text: string;
}

export interface JobBacklog {
  type: "backlog";
  jobs: JobRow[];
}

export interface JobDelta {
  type: "delta";
  jobs: JobRow[];
  lines: LineRow[];
}

export type JobFrame = JobBacklog | JobDelta;
