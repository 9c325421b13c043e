// The agent's key-value store, in its encrypted volume.
import { call } from "./client.js";
import { InvalidArgument } from "./errors.js";

function base64(what, data) {
  if (typeof data === "string") return Buffer.from(data).toString("base64");
  if (ArrayBuffer.isView(data)) return Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64");
  if (data instanceof ArrayBuffer) return Buffer.from(data).toString("base64");
  throw new TypeError(`a ${what} must be a string or a Uint8Array, not ${data === null ? "null" : typeof data}`);
}

function versionText(version) {
  if (typeof version === "bigint" || (Number.isSafeInteger(version) && version >= 0)) return String(version);
  throw new InvalidArgument("a version is a whole number, 0 or more");
}

const entryOf = ({ key = "", value = "", version = 0 }) => ({
  key: Buffer.from(key, "base64"), value: Buffer.from(value, "base64"), version: Number(version),
});

// A plain object, a Map, or any iterable of pairs.
function pairsOf(mapping) {
  return typeof mapping[Symbol.iterator] === "function" ? [...mapping] : Object.entries(mapping);
}

export async function get(key, options) {
  return entryOf((await call("flodea.storage.v1.Store/Get", { key: base64("key", key) }, options)).entry ?? {});
}

export async function put(key, value, { ifVersion, ...options } = {}) {
  const conditions = ifVersion === undefined ? [] : [[key, ifVersion]];
  return (await commit({ puts: [[key, value]], conditions }, options)).version;
}

// `delete` itself is a word of the language; index.d.ts and the docs name it `store.delete`.
async function remove(key, { ifVersion, ...options } = {}) {
  const conditions = ifVersion === undefined ? [] : [[key, ifVersion]];
  return (await commit({ deletes: [key], conditions }, options)).deleted > 0;
}
export { remove as delete };

export async function* list(prefix = "", { keysOnly = false, pageSize = 100, ...options } = {}) {
  const params = { pageSize };
  if (prefix.length > 0) params.prefix = base64("prefix", prefix);
  if (keysOnly) params.keysOnly = true;
  do {
    const page = await call("flodea.storage.v1.Store/List", params, options);
    for (const entry of page.entries ?? []) yield entryOf(entry);
    params.pageToken = page.nextPageToken;
  } while (params.pageToken);
}

// With a key of its own, so that the call happens once though the supervisor dies under it.
export async function commit({ puts = [], deletes = [], conditions = [], dedupKey } = {}, options) {
  const params = { dedupKey: dedupKey ?? (await freshKey()) };
  const held = pairsOf(conditions).map(([key, version]) => ({ key: base64("key", key), version: versionText(version) }));
  const written = pairsOf(puts).map(([key, value]) => ({ key: base64("key", key), value: base64("value", value) }));
  const removed = [...deletes].map((key) => base64("key", key));
  if (held.length > 0) params.conditions = held;
  if (written.length > 0) params.puts = written;
  if (removed.length > 0) params.deletes = removed;
  const reply = await call("flodea.storage.v1.Store/Commit", params, options);
  return { version: Number(reply.version ?? 0), deleted: reply.deleted ?? 0 };
}

let randomUUID; // node:crypto takes milliseconds to load: only who writes pays
async function freshKey() {
  randomUUID ??= (await import("node:crypto")).randomUUID;
  return randomUUID();
}
