/** What this agent may know and say of itself. */
import type { CallOptions } from "./client.js";

export interface Description {
  name: string;
  labels: Record<string, string>;
  /** Which start of it this is, from 1. */
  generation: number;
  /** Its manifest's spec, with defaults filled in. */
  spec: Record<string, any>;
  /** Bytes, thousandths of a core, counts. */
  limits: { memoryBytes: number; cpuMillis: number; pids: number; diskBytes: number; openFiles: number };
  /** How often it was restarted since an operator last started it. */
  restarts: number;
}

export interface Usage {
  /** CPU time so far. */
  cpuNanos: bigint;
  memoryBytes: number;
  memoryPeakBytes: number;
  pids: number;
  diskUsedBytes: number;
  /** Module calls so far. */
  calls: number;
}

/** The agent is asked to stop. */
export interface StopNotice {
  reason: "operator" | "shutdown" | "replace" | (string & {});
  /** Wall time at which it is killed. */
  deadlineNanos: bigint;
}

/** Its name, labels, spec and limits. */
export function describe(options?: CallOptions): Promise<Description>;

/** What it uses now. */
export function usage(options?: CallOptions): Promise<Usage>;

/** Says that it is ready to serve: with `readiness: {signal: self}` in its manifest it is `running` from now on. */
export function ready(options?: CallOptions): Promise<void>;

/** Says that it is still at work: with `liveness: {beat: 30s}` in its manifest it is hung, and ended, if it does not for so long. */
export function beat(options?: CallOptions): Promise<void>;

/** A structured record in its log; message and fields ≤ 8 KiB in all. ResourceExhausted: over its rate of log bytes. */
export function log(
  message: string,
  level?: "debug" | "info" | "warning" | "error",
  fields?: Record<string, unknown>,
  options?: CallOptions,
): Promise<void>;

/**
 * Whether it was asked to stop, as far as the event loop has heard. Does not wait; cheap enough for every turn of a loop that awaits.
 *
 * Once this, `waitStop` or `onStop` has been called, SIGTERM no longer ends the process by itself: end it yourself, within `stop_timeout`
 * of the manifest. (A listener of SIGTERM that you have set stays.) None of the three but an open `waitStop` keeps the process alive.
 */
export function stopRequested(): boolean;

/**
 * Waits until it is asked to stop. Goes on through a restart of the supervisor.
 *
 * timeout: seconds; null comes when they have passed without a request, so that
 * `while (!(await flodea.agent.waitStop({ timeout: 10 }))) await work();` is a loop with a pause.
 */
export function waitStop(options?: CallOptions & { timeout?: undefined }): Promise<StopNotice>;
export function waitStop(options: CallOptions & { timeout: number }): Promise<StopNotice | null>;

/** Calls `callback` once, when it is asked to stop. */
export function onStop(callback: (notice: StopNotice) => unknown): void;
