/**
 * The agent's key-value store, in its encrypted volume. Keys: 1–1,024 bytes; values: 0–256 KiB; a string is taken as UTF-8. A write that
 * has resolved is on disk, and happens once even if the supervisor dies under it. Every function rejects with InvalidArgument (bounds),
 * ResourceExhausted (the disk is full), DataLoss (the store's file is damaged), Unavailable (no supervisor for 30 s).
 */
import type { CallOptions } from "./client.js";

export type Bytes = string | ArrayBuffer | ArrayBufferView;
/** A plain object, a Map, or any iterable of pairs. */
export type Pairs<T> = Record<string, T> | Iterable<readonly [Bytes, T]>;

export interface Entry {
  /** A Buffer: `key.toString()` is its text. */
  key: Uint8Array;
  /** A Buffer: `value.toString()` is its text. */
  value: Uint8Array;
  /** > 0, of this key's last write; it rises with every commit of the store. */
  version: number;
}

export interface WriteOptions extends CallOptions {
  /** Write only if the key's version is this; 0: only if it does not exist. Else FailedPrecondition. */
  ifVersion?: number | bigint;
}

/** The entry of `key`. NotFound: there is none. */
export function get(key: Bytes, options?: CallOptions): Promise<Entry>;

/** Writes, and gives the key's new version. */
export function put(key: Bytes, value: Bytes, options?: WriteOptions): Promise<number>;

/** Deletes, and says whether it existed. */
declare function remove(key: Bytes, options?: WriteOptions): Promise<boolean>;
export { remove as delete };

/** All entries whose key starts with `prefix`, in byte order of their keys. Pages are fetched as needed. */
export function list(
  prefix?: Bytes,
  options?: CallOptions & {
    /** Values are left empty. */
    keysOnly?: boolean;
    /** 1–1,000; 100 by default. */
    pageSize?: number;
  },
): AsyncGenerator<Entry, void, undefined>;

/** All conditions hold and every put and delete happens, or nothing does (FailedPrecondition). */
export function commit(
  what: {
    puts?: Pairs<Bytes>;
    deletes?: Iterable<Bytes>;
    /** The version that each key must have; 0: it must not exist. At most 1,000 operations and 512 KiB in all. */
    conditions?: Pairs<number | bigint>;
    /**
     * 1–128 printable characters. The same key again within 24 hours gives the first answer and changes nothing; left out, each call has
     * its own.
     */
    dedupKey?: string;
  },
  options?: CallOptions,
): Promise<{
  /** Of every key that was put. */
  version: number;
  /** How many of the keys to delete existed. */
  deleted: number;
}>;
