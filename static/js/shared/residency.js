// @ts-check
// What the box is doing, for pages that show a part of it: the frames of /ws/host/, as they come.
import { ChatSocket } from "./socket.js";

/** @import { TelemetryFrame, VariantTelemetry } from "../dashboard/frames" */

const SEEN_EVERY = 5;

/**
 * Calls `show(variants)` with the variants that are not merely on disk, now and whenever that may have changed.
 * @param {(variants: VariantTelemetry[]) => void} show
 */
export function followResidency(show) {
  /** @type {ChatSocket<TelemetryFrame>} */
  const socket = new ChatSocket("/ws/host/");
  let heard = 0;
  socket.onFrame((frame) => {
    if (frame.type !== "away") show(frame.variants);
    heard += 1;
    // The server stops sending to a page that has not taken in what it got.
    if (heard % SEEN_EVERY === 0) socket.send({ type: "seen" });
  });
  socket.connect();
}
