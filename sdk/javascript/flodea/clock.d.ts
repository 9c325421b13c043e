/** The system clock of the node. All times are bigints of nanoseconds, durations numbers of seconds. */
import type { CallOptions } from "./client.js";

/** A moment by two clocks of the node. */
export interface Time {
  /** Nanoseconds since 1970-01-01T00:00:00Z; may jump when the node's clock is set. */
  wallNanos: bigint;
  /** Nanoseconds of a clock that never jumps; for durations. It starts anew when the node boots. */
  monotonicNanos: bigint;
}

/** The node's wall and monotonic time. */
export function now(options?: CallOptions): Promise<Time>;

/**
 * Waits until one of the two times has come, at once if it has passed, and gives the time then. Goes on through a restart of the
 * supervisor. InvalidArgument: more than 366 days ahead. ResourceExhausted: more than 64 sleeps of this agent at once.
 */
export function sleepUntil(
  until: { wallNanos: bigint | number; monotonicNanos?: undefined } | { monotonicNanos: bigint | number; wallNanos?: undefined },
  options?: CallOptions,
): Promise<Time>;

/** Waits `seconds` (0 to 366 days) by the monotonic clock and gives the time then. Errors as {@link sleepUntil}. */
export function sleep(seconds: number, options?: CallOptions): Promise<Time>;
