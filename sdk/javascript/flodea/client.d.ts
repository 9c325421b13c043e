export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

export interface CallOptions {
  /** Ends the call when it is aborted: the promise rejects with the signal's reason, and the call is cancelled at Flodea. */
  signal?: AbortSignal;
}

/**
 * Any method of any module, by name.
 *
 * @param method as "flodea.kernel.v1.Clock/Now"
 * @param params the request in protobuf's JSON mapping: 64-bit integers as strings (or bigints), bytes in base64
 * @returns the response in the same mapping; fields that have their default are left out
 */
export function call(
  method: string,
  params?: object,
  options?: CallOptions & {
    /** Seconds; DeadlineExceeded after that. */
    timeout?: number;
    /**
     * 1–128 printable ASCII characters without `"` and backslash, for methods that take one: such a call happens once, and survives a
     * restart of the supervisor.
     */
    idempotencyKey?: string;
  },
): Promise<Record<string, any>>;

/** The same for a method that answers with a stream. After a restart of the supervisor items may come again. Leaving the loop cancels it. */
export function stream(method: string, params?: object, options?: CallOptions): AsyncIterableIterator<Record<string, any>>;
