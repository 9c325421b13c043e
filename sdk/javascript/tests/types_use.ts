// What TypeScript must take, and what it must refuse (each @ts-expect-error is an error where nothing is refused). Never run.
import * as flodea from "../flodea/index.js";

async function taken(): Promise<void> {
  const { wallNanos, monotonicNanos }: flodea.clock.Time = await flodea.clock.now();
  const later: bigint = wallNanos + 1_000_000_000n;
  await flodea.clock.sleepUntil({ wallNanos: later });
  await flodea.clock.sleepUntil({ monotonicNanos }, { signal: new AbortController().signal });
  await flodea.clock.sleep(1.5);

  const version: number = await flodea.store.put("key", new Uint8Array(3), { ifVersion: 0 });
  const entry: flodea.store.Entry = await flodea.store.get(new TextEncoder().encode("key"));
  const existed: boolean = await flodea.store.delete("key", { ifVersion: entry.version });
  for await (const { key, value } of flodea.store.list("prefix/", { keysOnly: true, pageSize: 10 })) console.log(key.length + value.length);
  const committed = await flodea.store.commit({ puts: new Map([["a", "b"]]), deletes: ["c"], conditions: { a: version }, dedupKey: "once" });
  console.log(existed, committed.version, committed.deleted);

  const me: flodea.agent.Description = await flodea.agent.describe();
  const nanos: bigint = (await flodea.agent.usage()).cpuNanos;
  await flodea.agent.log(me.name, "warning", { nanos: String(nanos), limits: me.limits });
  await flodea.agent.ready();
  await flodea.agent.beat();
  flodea.agent.onStop((notice) => console.log(notice.deadlineNanos));
  const notice: flodea.agent.StopNotice = await flodea.agent.waitStop();
  const perhaps: flodea.agent.StopNotice | null = await flodea.agent.waitStop({ timeout: 1 });
  console.log(notice.reason, perhaps?.reason, flodea.agent.stopRequested());

  const answer = await flodea.call("flodea.kernel.v1.Clock/Now", {}, { timeout: 2, idempotencyKey: "k" });
  for await (const item of flodea.stream("flodea.agent.v1.Self/WatchStop")) console.log(item, answer);
  try {
    await flodea.store.get("none");
  } catch (error) {
    if (error instanceof flodea.NotFound) console.log(error.code.length, error.details[0]?.["@type"]);
  }
}

async function refused(): Promise<void> {
  // @ts-expect-error one of the two times
  await flodea.clock.sleepUntil({ wallNanos: 1n, monotonicNanos: 1n });
  // @ts-expect-error a number of seconds
  await flodea.clock.sleep("1s");
  // @ts-expect-error a value is bytes
  await flodea.store.put("key", 3);
  // @ts-expect-error a put has a value
  await flodea.store.put("key");
  // @ts-expect-error an entry's value is bytes, no text
  const text: string = (await flodea.store.get("key")).value;
  // @ts-expect-error no such level
  await flodea.agent.log("text", "fatal");
  // @ts-expect-error with a timeout it may be null
  const notice: flodea.agent.StopNotice = await flodea.agent.waitStop({ timeout: 1 });
  // @ts-expect-error an option that there is not
  await flodea.call("a.B/C", {}, { retries: 3 });
  // @ts-expect-error a namespace has no default
  await flodea.store.default("key");
  console.log(text, notice);
}

export { refused, taken };
