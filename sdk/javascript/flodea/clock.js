// The system clock of the node. All times are bigints of nanoseconds, durations numbers of seconds.
import { call } from "./client.js";
import { InvalidArgument } from "./errors.js";

const timeOf = (reply) => ({ wallNanos: BigInt(reply.wallNanos ?? 0), monotonicNanos: BigInt(reply.monotonicNanos ?? 0) });

export async function now(options) {
  return timeOf(await call("flodea.kernel.v1.Clock/Now", {}, options));
}

export async function sleepUntil({ wallNanos, monotonicNanos } = {}, options) {
  if ((wallNanos === undefined) === (monotonicNanos === undefined)) throw new InvalidArgument("give one of wallNanos and monotonicNanos");
  const until = wallNanos === undefined ? { monotonicNanos: nanos(monotonicNanos) } : { wallNanos: nanos(wallNanos) };
  return timeOf(await call("flodea.kernel.v1.Clock/SleepUntil", until, options));
}

export async function sleep(seconds, options) {
  if (!Number.isFinite(seconds)) throw new InvalidArgument("seconds must be a finite number");
  const { monotonicNanos } = await now(options);
  const left = BigInt(Math.max(0, Math.trunc(seconds * 1e9)));
  return sleepUntil({ monotonicNanos: monotonicNanos + left }, options);
}

function nanos(value) {
  if (typeof value === "bigint" || Number.isInteger(value)) return String(BigInt(value));
  throw new InvalidArgument("times are bigints of nanoseconds");
}
