/**
 * Flodea for agents in AssemblyScript, compiled with @assemblyscript/wasi-shim's configuration. There are no exceptions in
 * AssemblyScript: a function that fails returns null, false or "", and lastStatus() and lastMessage() say why.
 * docs/sdk_wasm.md.
 */
import { Stream, TIMED_OUT, call, lastStatus } from "./host";
import { base64, fromBase64, integer, member, quote } from "./json";

export * from "./host";

export class Time {
  /** wallNanos: since 1970-01-01T00:00:00Z, may jump. monotonicNanos: never jumps, starts anew when the node boots. */
  constructor(public wallNanos: i64, public monotonicNanos: i64) {}
}

export class Entry {
  /** version: > 0, of the key's last write. */
  constructor(public value: Uint8Array, public version: u64) {}

  /** The value as UTF-8. */
  text(): string {
    return String.UTF8.decode(this.value.buffer);
  }
}

export namespace clock {
  export function now(): Time | null {
    const reply = call("flodea.kernel.v1.Clock/Now");
    if (reply.length == 0) return null;
    return new Time(integer(member(reply, "wallNanos")), integer(member(reply, "monotonicNanos")));
  }

  /** Goes on through a restart of the supervisor. At most 366 days. */
  export function sleep(nanos: i64): bool {
    const start = now();
    if (start === null) return false;
    const until = start.monotonicNanos + max<i64>(nanos, 0);
    return call("flodea.kernel.v1.Clock/SleepUntil", '{"monotonicNanos":"' + until.toString() + '"}').length > 0;
  }
}

/** Keys of 1 to 1,024 bytes in UTF-8, values of 0 to 256 KiB. */
export namespace store {
  /** `put` and `remove`: whatever the key's version is. */
  export const ANY_VERSION: i64 = -1;

  /** null with NOT_FOUND: there is no such key. */
  export function get(key: string): Entry | null {
    const reply = call("flodea.storage.v1.Store/Get", '{"key":' + keyOf(key) + "}");
    if (reply.length == 0) return null;
    const entry = member(reply, "entry");
    return new Entry(fromBase64(member(entry, "value")), <u64>integer(member(entry, "version")));
  }

  /**
   * Writes, on disk once it returns, and gives the key's new version; 0: it failed. ifVersion: write only if the key's version
   * is this (0: only if it does not exist), else FAILED_PRECONDITION. Done once though the supervisor dies under it.
   */
  export function put(key: string, value: Uint8Array, ifVersion: i64 = ANY_VERSION): u64 {
    const change = ',"puts":[{"key":' + keyOf(key) + ',"value":' + base64(value) + "}]";
    return <u64>integer(member(commit(key, change, ifVersion), "version"));
  }

  export function putText(key: string, value: string, ifVersion: i64 = ANY_VERSION): u64 {
    return put(key, Uint8Array.wrap(String.UTF8.encode(value)), ifVersion);
  }

  /** Whether it existed; false also where it failed. */
  export function remove(key: string, ifVersion: i64 = ANY_VERSION): bool {
    return integer(member(commit(key, ',"deletes":[' + keyOf(key) + "]", ifVersion), "deleted")) > 0;
  }

  function keyOf(key: string): string {
    return base64(Uint8Array.wrap(String.UTF8.encode(key)));
  }

  // With a key of its own, so that the call happens once though the supervisor dies under it.
  function commit(key: string, change: string, ifVersion: i64): string {
    const random = new Uint8Array(16);
    crypto.getRandomValues(random);
    let params = '{"dedupKey":' + base64(random);
    if (ifVersion >= 0) {
      params += ',"conditions":[{"key":' + keyOf(key) + ',"version":"' + ifVersion.toString() + '"}]';
    }
    return call("flodea.storage.v1.Store/Commit", params + change + "}");
  }
}

export namespace agent {
  export const DEBUG: i32 = 1;
  export const INFO: i32 = 2;
  export const WARNING: i32 = 3;
  export const ERROR: i32 = 4;

  let watch: Stream | null = null;
  let noticed: bool = false;

  function watched(): Stream {
    const open = watch;
    if (open !== null) return open;
    const stream = new Stream("flodea.agent.v1.Self/WatchStop");
    watch = stream;
    return stream;
  }

  /** A structured record of its log, at most 8 KiB. */
  export function log(message: string, level: i32 = INFO): bool {
    const record = '{"level":' + level.toString() + ',"message":' + quote(message) + "}";
    return call("flodea.agent.v1.Self/Log", '{"records":[' + record + "]}").length > 0;
  }

  /** With `readiness: {signal: self}` in its manifest the agent is `running` from now on. */
  export function ready(): bool {
    return call("flodea.agent.v1.Self/Ready").length > 0;
  }

  /** With `liveness: {beat: 30s}` in its manifest an agent that does not say this for so long is hung, and ended. */
  export function beat(): bool {
    return call("flodea.agent.v1.Self/Beat").length > 0;
  }

  /**
   * Whether it was asked to stop, after waiting at most `timeoutMs` (below 0: however long). false with a lastStatus other than
   * TIMED_OUT: it failed. Once this was called SIGTERM no longer ends the module: end it, within its `stop_timeout`.
   */
  export function waitStop(timeoutMs: i32 = -1): bool {
    if (noticed) return true;
    const stream = watched();
    noticed = stream.next(timeoutMs).length > 0;
    if (!noticed && lastStatus() != TIMED_OUT) {
      stream.close(); // ended without a notice: the next question opens it again
      watch = null;
    }
    return noticed;
  }

  /** The same without waiting. */
  export function stopRequested(): bool {
    return waitStop(0);
  }
}
