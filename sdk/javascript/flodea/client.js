// JSON-RPC 2.0 with the worker over the inherited descriptor (docs/agent_protocol.md): one connection for the whole process.
import { createRequire } from "node:module";
import * as errors from "./errors.js";

const require = createRequire(import.meta.url); // what is slow to load is loaded when it is needed
const MAX_LINE = 1 << 20;
const MAX_DEADLINE = 2 ** 31; // ms
const AHEAD = 16; // items of a stream that may come before they are asked for
const NEWLINE = 10;

// By status code, from 1; then JSON-RPC's own: the others would be this SDK's fault.
const BY_NUMBER = [
  null, errors.Cancelled, errors.Unknown, errors.InvalidArgument, errors.DeadlineExceeded, errors.NotFound, errors.AlreadyExists,
  errors.PermissionDenied, errors.ResourceExhausted, errors.FailedPrecondition, errors.Aborted, errors.OutOfRange,
  errors.Unimplemented, errors.Internal, errors.Unavailable, errors.DataLoss,
];
const PROTOCOL = { "-32601": errors.Unimplemented, "-32602": errors.InvalidArgument };

// Made where the call is awaited, so that its stack leads to the caller.
function errorOf({ code = 0, message, data }) {
  const Kind = PROTOCOL[code] ?? BY_NUMBER[-32000 - code] ?? errors.Internal;
  return new Kind(String(message ?? ""), Array.isArray(data) ? data : []);
}

const unavailable = (message) => ({ code: -32014, message });
const line = (message) => JSON.stringify({ jsonrpc: "2.0", ...message }, (_, v) => (typeof v === "bigint" ? String(v) : v)) + "\n";

// One open call: what has come for it, and who waits for that.
class Slot {
  items = [];
  ended = false;
  result = undefined;
  error = undefined; // as in a JSON-RPC answer
  #wake = undefined;

  constructor(id, holds) {
    this.id = id;
    this.holds = holds; // keeps the process alive
  }

  wake() {
    this.#wake?.();
  }

  // Until there is an item or the end; rejects with the signal's reason.
  async changed(signal) {
    if (this.ended || this.items.length > 0) return;
    signal?.throwIfAborted();
    let abort;
    try {
      await new Promise((resolve, reject) => {
        this.#wake = resolve;
        abort = () => reject(signal.reason);
        signal?.addEventListener("abort", abort, { once: true });
      });
    } finally {
      signal?.removeEventListener("abort", abort);
      this.#wake = undefined;
    }
  }

  outcome() {
    if (this.error !== undefined) throw errorOf(this.error);
    return this.result;
  }
}

class Client {
  #socket;
  #slots = new Map();
  #lastId = 0;
  #holders = 0;
  #partial = []; // chunks of a line that is not whole yet
  #broken; // the error of every later call

  constructor(fd) {
    const { Socket } = require("node:net");
    this.#socket = new Socket({ fd, readable: true, writable: true });
    this.#socket.on("data", (chunk) => this.#take(chunk));
    this.#socket.on("error", (error) => this.#break(`the connection to Flodea is broken: ${error.message}`));
    this.#socket.on("end", () => this.#break("Flodea has closed the connection"));
    this.#socket.on("close", () => this.#break("Flodea has closed the connection"));
    this.#socket.unref();
  }

  // While anybody holds it, the process does not end by itself.
  hold() {
    if (this.#holders++ === 0) this.#socket.ref();
  }

  release() {
    if (--this.#holders === 0) this.#socket.unref();
  }

  open(method, params, { timeout, idempotencyKey, credit = 0, holds = true } = {}) {
    if (this.#broken !== undefined) throw errorOf(this.#broken);
    const request = { id: this.#lastId + 1, method, params };
    if (timeout !== undefined) request.deadline_ms = deadline(timeout);
    if (idempotencyKey !== undefined) request.idempotency_key = idempotencyKey;
    const text = line(request);
    if (Buffer.byteLength(text) > MAX_LINE) throw new errors.InvalidArgument(`the call is larger than ${MAX_LINE} bytes`);
    const slot = new Slot(++this.#lastId, holds);
    this.#slots.set(slot.id, slot);
    if (holds) this.hold();
    this.#socket.write(credit > 0 ? text + creditLine(slot, credit) : text);
    return slot;
  }

  grant(slot, n) {
    if (!slot.ended) this.#socket.write(creditLine(slot, n));
  }

  // Ends a call whose answer is no longer wanted; nothing where it has ended.
  abandon(slot) {
    if (!this.#forget(slot)) return;
    slot.ended = true;
    slot.wake();
    this.#socket.write(line({ method: "cancel", params: { id: slot.id } }));
  }

  async call(method, params, { signal, ...options } = {}) {
    signal?.throwIfAborted();
    const slot = this.open(method, params, options);
    try {
      await slot.changed(signal);
    } finally {
      this.abandon(slot);
    }
    return slot.outcome();
  }

  #forget(slot) {
    if (!this.#slots.delete(slot.id)) return false;
    if (slot.holds) this.release();
    return true;
  }

  #end(slot, { result, error }) {
    this.#forget(slot);
    slot.result = result;
    slot.error = error;
    slot.ended = true;
    slot.wake();
  }

  #take(chunk) {
    let from = 0;
    for (let at = chunk.indexOf(NEWLINE); at !== -1; at = chunk.indexOf(NEWLINE, from)) {
      this.#partial.push(chunk.subarray(from, at));
      const whole = this.#partial.length === 1 ? this.#partial[0] : Buffer.concat(this.#partial);
      this.#partial = [];
      from = at + 1;
      this.#message(JSON.parse(whole.toString()));
    }
    if (from < chunk.length) this.#partial.push(chunk.subarray(from));
  }

  #message(message) {
    if (message.method === "stream") {
      const slot = this.#slots.get(message.params.id);
      slot?.items.push(message.params.message);
      slot?.wake();
      return;
    }
    const slot = this.#slots.get(message.id);
    if (slot !== undefined) this.#end(slot, message); // else an abandoned call
  }

  #break(why) {
    this.#broken ??= unavailable(why);
    for (const slot of [...this.#slots.values()]) this.#end(slot, { error: this.#broken });
  }
}

const creditLine = (slot, n) => line({ method: "credit", params: { id: slot.id, n } });

function deadline(seconds) {
  if (typeof seconds !== "number" || Number.isNaN(seconds)) throw new errors.InvalidArgument("timeout must be a number of seconds");
  return Math.min(Math.max(1, Math.trunc(seconds * 1000)), MAX_DEADLINE);
}

let connection;

// The one connection of this process.
export function client() {
  return (connection ??= connect());
}

function connect() {
  const text = process.env.FLODEA_FD ?? "";
  if (!/^\d{1,9}$/.test(text)) throw new errors.Unavailable("not an agent of Flodea's: FLODEA_FD is not set");
  if (!require("node:worker_threads").isMainThread) throw new errors.Unavailable("flodea speaks on the main thread only: a worker thread asks it by messages");
  // A child gets the variable but not the descriptor; under that number it has another one, or its parent's channel.
  const fd = Number(text);
  const elsewhere = `descriptor ${fd} is no connection to Flodea: only the agent's first process has one`;
  if (process.channel?.fd === fd) throw new errors.Unavailable(elsewhere);
  try {
    return new Client(fd);
  } catch {
    throw new errors.Unavailable(elsewhere);
  }
}

export async function call(method, params = {}, options = {}) {
  return client().call(method, params, options);
}

class Stream {
  #client;
  #slot;
  #signal;

  constructor(from, method, params, { signal, ...options }) {
    signal?.throwIfAborted();
    this.#client = from;
    this.#signal = signal;
    this.#slot = from.open(method, params, { credit: AHEAD, ...options });
  }

  async next() {
    const slot = this.#slot;
    try {
      await slot.changed(this.#signal);
    } catch (error) {
      this.#client.abandon(slot);
      throw error;
    }
    if (slot.items.length > 0) {
      const value = slot.items.shift();
      this.#client.grant(slot, 1);
      return { value, done: false };
    }
    slot.outcome();
    return { value: undefined, done: true };
  }

  async return(value) {
    this.#client.abandon(this.#slot);
    this.#slot.items.length = 0;
    return { value, done: true };
  }

  [Symbol.asyncIterator]() {
    return this;
  }
}

export function stream(method, params = {}, options = {}) {
  return new Stream(client(), method, params, options);
}
