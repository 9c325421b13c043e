// The host's functions (sdk/wasm/include/flodea.h has their contract) and a call by name.

// @ts-ignore: decorator
@external("flodea", "call")
declare function hostCall(request: usize, length: u32, reply: usize, capacity: u32): i32;
// @ts-ignore: decorator
@external("flodea", "reply")
declare function hostReply(buffer: usize, capacity: u32): i32;
// @ts-ignore: decorator
@external("flodea", "open")
declare function hostOpen(request: usize, length: u32): i32;
// @ts-ignore: decorator
@external("flodea", "next")
declare function hostNext(handle: i32, buffer: usize, capacity: u32, timeoutMs: i32): i32;
// @ts-ignore: decorator
@external("flodea", "close")
declare function hostClose(handle: i32): i32;

import { integer, member, quote, text } from "./json";

const FIRST_CAPACITY: i32 = 4096;
const FIRST_GRPC_ERROR: i64 = -32000;
const METHOD_NOT_FOUND: i64 = -32601;
const INVALID_PARAMS: i64 = -32602;

/** The module's answers, by the numbers of gRPC's status codes. */
export const OK: i32 = 0;
export const INVALID_ARGUMENT: i32 = 3;
export const DEADLINE_EXCEEDED: i32 = 4;
export const NOT_FOUND: i32 = 5;
export const ALREADY_EXISTS: i32 = 6;
export const PERMISSION_DENIED: i32 = 7;
export const RESOURCE_EXHAUSTED: i32 = 8;
export const FAILED_PRECONDITION: i32 = 9;
export const ABORTED: i32 = 10;
export const OUT_OF_RANGE: i32 = 11;
export const UNIMPLEMENTED: i32 = 12;
export const INTERNAL: i32 = 13;
export const UNAVAILABLE: i32 = 14;
export const DATA_LOSS: i32 = 15;

/** What never reached a module: negative numbers of WASI's errno. */
export const TOO_LONG: i32 = -1;
export const INVALID_REQUEST: i32 = -28;
export const NOT_AN_AGENT: i32 = -53;
export const CLOSED: i32 = -64;
export const BAD_REPLY: i32 = -65;
export const TIMED_OUT: i32 = -73;

let status: i32 = OK;
let message: string = "";

/** How the last function of this package ended: OK, the module's answer (above 0), or what kept it from it (below 0). */
export function lastStatus(): i32 {
  return status;
}

/** The same in words; empty after OK. */
export function lastMessage(): string {
  return message;
}

function describe(error: i32): string {
  if (error == TOO_LONG) return "the request or the answer is longer than 1 MiB";
  if (error == INVALID_REQUEST) return "the request is no JSON object with a method and params";
  if (error == NOT_AN_AGENT) return "not an agent of Flodea's";
  if (error == CLOSED) return "the connection to Flodea has ended";
  if (error == TIMED_OUT) return "the time is over";
  return "an error of the host: " + error.toString();
}

export function succeeded(): void {
  status = OK;
  message = "";
}

export function failed(error: i32): void {
  status = error;
  message = describe(error);
}

function failedCall(error: string): void {
  const code = integer(member(error, "code"));
  const number = FIRST_GRPC_ERROR - code;
  status = number >= 1 && number <= 16 ? <i32>number : INTERNAL;
  if (code == METHOD_NOT_FOUND) status = UNIMPLEMENTED;
  if (code == INVALID_PARAMS) status = INVALID_ARGUMENT;
  message = text(member(error, "message"));
}

/** The answer's text, or "" with a status. */
function exchange(request: string): string {
  const sent = String.UTF8.encode(request);
  let buffer = new ArrayBuffer(FIRST_CAPACITY);
  let length = hostCall(changetype<usize>(sent), sent.byteLength, changetype<usize>(buffer), buffer.byteLength);
  if (length > buffer.byteLength) {
    buffer = new ArrayBuffer(length);
    length = hostReply(changetype<usize>(buffer), length);
  }
  if (length < 0) {
    failed(length);
    return "";
  }
  return String.UTF8.decodeUnsafe(changetype<usize>(buffer), length);
}

/**
 * Any method by name: the JSON of its response, or "" where it failed (lastStatus).
 * params: its request in protobuf's JSON mapping.
 */
export function call(method: string, params: string = "{}"): string {
  succeeded();
  const answer = exchange('{"method":' + quote(method) + ',"params":' + params + "}");
  if (answer.length == 0) return "";
  const error = member(answer, "error");
  if (error.length > 0) {
    failedCall(error);
    return "";
  }
  const result = member(answer, "result");
  if (result.length == 0) failed(BAD_REPLY);
  return result;
}

/** The messages of a method that answers with a stream. */
export class Stream {
  private handle: i32;

  constructor(method: string, params: string = "{}") {
    const request = String.UTF8.encode('{"method":' + quote(method) + ',"params":' + params + "}");
    this.handle = hostOpen(changetype<usize>(request), request.byteLength);
    if (this.handle < 0) failed(this.handle);
    else succeeded();
  }

  /**
   * The next message, after at most `timeoutMs` (below 0: however long). "" with lastStatus: OK, the stream has ended;
   * TIMED_OUT; or how it failed.
   */
  next(timeoutMs: i32 = -1): string {
    succeeded();
    let buffer = new ArrayBuffer(FIRST_CAPACITY);
    let length = hostNext(this.handle, changetype<usize>(buffer), buffer.byteLength, timeoutMs);
    if (length > buffer.byteLength) {
      buffer = new ArrayBuffer(length);
      length = hostNext(this.handle, changetype<usize>(buffer), length, 0);
    }
    if (length < 0) failed(length);
    return length > 0 ? String.UTF8.decodeUnsafe(changetype<usize>(buffer), length) : "";
  }

  close(): void {
    hostClose(this.handle);
  }
}
