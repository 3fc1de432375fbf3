// What /hardware/plan.json answers, as far as the page shows it: words and numbers, ready to be shown.

export interface SegmentShown {
  kind: string;
  label: string;
  text: string;
  /** Where it begins, in thousandths of the device's memory. */
  x: number;
  width: number;
}

export interface Bar {
  device: string;
  name: string;
  total: string;
  spendable: string;
  capacity: string;
  /** Where the budget ends, in thousandths of the device's memory. */
  budget_x: number;
  segments: SegmentShown[];
  /** The bar for those who do not see it. */
  sentence: string;
}

export interface Way {
  title: string;
  context: string;
  cache: string;
  /** Tokens per second of one answer. */
  decode: string;
  prefill: string;
  limited_by: string;
  memory: string;
  cautions: string[];
  bars: Bar[];
}

export interface Answer {
  ways: Way[];
  /** Why there is none. */
  reason: string | null;
  note?: string | null;
}
