// The frames of /ws/host/, as inference writes them for the browser. null: not known at this moment.

export type Residency = "absent" | "loading" | "resident" | "draining" | "unloading" | "failed";
/** What a worker is for. */
export type Purpose = "chat" | "imatrix";
export type SegmentKind = "weights" | "kv" | "compute" | "overhead" | "reserved" | "foreign" | "reserve" | "free";

export interface Segment {
  kind: SegmentKind;
  /** Whose it is; null for foreign, reserve and free. */
  variant_id: number | null;
  purpose: Purpose | null;
  bytes: number;
}

export interface DeviceTelemetry {
  /** `ram`, `gpu0`, `gpu1`… */
  device: string;
  name: string;
  capacity_bytes: number;
  budget_bytes: number;
  reserve_bytes: number;
  used_bytes: number | null;
  foreign_bytes: number | null;
  utilisation_percent: number | null;
  bandwidth_percent: number | null;
  temperature_celsius: number | null;
  power_watts: number | null;
  swap_in_bytes_per_second: number | null;
  swap_out_bytes_per_second: number | null;
  /** In the order of the bar. */
  segments: Segment[];
}

export interface VariantTelemetry {
  variant_id: number;
  purpose: Purpose;
  name: string;
  state: Residency;
  pinned: boolean;
  fraction: number | null;
  reserved_bytes: number;
  slots_busy: number;
  n_seq_max: number;
  queued: number;
  tokens_per_second: number;
  tokens_total: number;
  idle_seconds: number | null;
  keep_alive_seconds: number | null;
  n_ctx_seq: number;
  n_layers: number | null;
  n_gpu_layers: number | null;
  wanted_gpu_layers: number | null;
  type_k: string | null;
  type_v: string | null;
  mode: "chat" | "completion" | null;
  failure_detail: string | null;
  load_seconds: number | null;
  alarm: string | null;
}

export interface QueueEntry {
  position: number;
  /** The person's id, for marking one's own entry. */
  user: string;
  variant_id: number;
  purpose: Purpose;
  variant: string;
  kind: string;
  reason: string;
  waiting_seconds: number;
}

export interface LogLine {
  number: number;
  /** Seconds since 1970. */
  at: number;
  kind: string;
  variant_id: number | null;
  purpose: Purpose | null;
  variant: string | null;
  sentence: string;
  /** The figures behind it; may be empty. */
  details: string;
}

interface State {
  number: number;
  pid: number;
  uptime_seconds: number;
  devices: DeviceTelemetry[];
  variants: VariantTelemetry[];
  queue: QueueEntry[];
  decisions: LogLine[];
}

export type Series = (number | null)[];

export interface Backlog extends State {
  type: "backlog";
  /** Seconds since 1970 of each sample kept, oldest first. */
  at: number[];
  /** `gpu0.used_bytes`, `variant.7.tokens_per_second`, `variant.7.imatrix.tokens_per_second`…, each as long as `at`. */
  series: Record<string, Series>;
}

export interface Delta extends State {
  type: "delta";
  at: number;
  /** This sample's row of `series`. */
  figures: Record<string, number | null>;
}

export interface HostAway {
  type: "away";
}

export type TelemetryFrame = Backlog | Delta | HostAway;

/** What /residency/N/ asks before a load, or says against one. */
export interface LoadQuestion {
  variant_id: number;
  name: string;
  sentence: string;
  may_anyway: boolean;
  instead: string;
  load_words: string;
}
