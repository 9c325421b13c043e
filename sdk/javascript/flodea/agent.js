// What this agent may know and say of itself.
import { call, client, stream } from "./client.js";
import { InvalidArgument } from "./errors.js";

const LEVELS = { debug: "LEVEL_DEBUG", info: "LEVEL_INFO", warning: "LEVEL_WARNING", error: "LEVEL_ERROR" };
const LONGEST_TIMER = 2 ** 31 - 1; // ms that setTimeout takes in one go

const number = (text) => Number(text ?? 0);

export async function describe(options) {
  const reply = await call("flodea.agent.v1.Self/Describe", {}, options);
  const limits = reply.limits ?? {};
  return {
    name: reply.name ?? "",
    labels: reply.labels ?? {},
    generation: number(reply.generation),
    spec: JSON.parse(reply.specJson || "{}"),
    limits: {
      memoryBytes: number(limits.memoryBytes), cpuMillis: number(limits.cpuMillis), pids: number(limits.pids),
      diskBytes: number(limits.diskBytes), openFiles: number(limits.openFiles),
    },
    restarts: number(reply.restarts),
  };
}

export async function usage(options) {
  const reply = await call("flodea.agent.v1.Self/Usage", {}, options);
  return {
    cpuNanos: BigInt(reply.cpuNanos ?? 0), memoryBytes: number(reply.memoryBytes), memoryPeakBytes: number(reply.memoryPeakBytes),
    pids: number(reply.pids), diskUsedBytes: number(reply.diskUsedBytes), calls: number(reply.calls),
  };
}

export async function ready(options) {
  await call("flodea.agent.v1.Self/Ready", {}, options);
}

export async function beat(options) {
  await call("flodea.agent.v1.Self/Beat", {}, options);
}

export async function log(message, level = "info", fields = {}, options) {
  if (!Object.hasOwn(LEVELS, level)) throw new InvalidArgument(`level must be one of ${Object.keys(LEVELS).join(", ")}, not ${level}`);
  const record = { level: LEVELS[level], message: String(message) };
  const pairs = Object.entries(fields).map(([name, value]) => [name, String(value)]);
  if (pairs.length > 0) record.fields = Object.fromEntries(pairs);
  await call("flodea.agent.v1.Self/Log", { records: [record] }, options);
}

// --- stopping: one open WatchStop of this process, and what it has said ---

let notice;
let watching; // settles when `notice` is there, or `failure`
let failure;

// Who asks about stopping wants to end by itself: SIGTERM, which comes with the notice, then only wakes. A listener that the program
// has set is enough.
function keepSigtermFromEnding() {
  if (process.listenerCount("SIGTERM") === 0) process.on("SIGTERM", () => {});
}

function watch() {
  if (notice !== undefined || watching !== undefined) return;
  const notices = stream("flodea.agent.v1.Self/WatchStop", {}, { credit: 1, holds: false });
  keepSigtermFromEnding();
  watching = firstOf(notices).finally(() => { watching = undefined; });
}

async function firstOf(notices) {
  try {
    const { value, done } = await notices.next(); // one that ends without a notice is opened again by the next question
    if (!done) notice = { reason: value.reason ?? "", deadlineNanos: BigInt(value.deadlineNanos ?? 0) };
    await notices.return();
  } catch (error) {
    failure = error;
  }
}

function throwFailure() {
  const error = failure;
  failure = undefined;
  if (error !== undefined) throw error;
}

export function stopRequested() {
  throwFailure();
  watch();
  return notice !== undefined;
}

export async function waitStop({ timeout = Infinity, signal } = {}) {
  const deadline = performance.now() + timeout * 1000;
  if (Number.isNaN(deadline)) throw new InvalidArgument("timeout must be a number of seconds");
  client().hold();
  try {
    while (notice === undefined) {
      signal?.throwIfAborted();
      watch();
      const left = deadline - performance.now();
      await first(watching, left, signal);
      throwFailure();
      if (notice === undefined && left <= 0) return null;
    }
  } finally {
    client().release();
  }
  return notice;
}

// Until the promise settles, `left` milliseconds have passed, or the signal is aborted.
async function first(promise, left, signal) {
  let timer, abort;
  const others = new Promise((resolve, reject) => {
    if (left !== Infinity) timer = setTimeout(resolve, Math.min(Math.max(0, left), LONGEST_TIMER));
    abort = () => reject(signal.reason);
    signal?.addEventListener("abort", abort, { once: true });
  });
  try {
    await Promise.race([promise, others]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  }
}

export function onStop(callback) {
  watch();
  const tell = async () => {
    while (notice === undefined) {
      await watching;
      throwFailure();
      watch();
    }
    callback(notice);
  };
  tell();
}
