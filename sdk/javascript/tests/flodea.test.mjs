// The SDK against a fake worker.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import * as flodea from "../flodea/index.js";
import { Agent, RpcError } from "./fake_worker.mjs";

const NOW = "flodea.kernel.v1.Clock/Now";
const SLEEP = "flodea.kernel.v1.Clock/SleepUntil";
const COMMIT = "flodea.storage.v1.Store/Commit";
const GET = "flodea.storage.v1.Store/Get";
const WATCH_STOP = "flodea.agent.v1.Self/WatchStop";
const MOMENT = { wallNanos: "1700000000000000001", monotonicNanos: "5000000000" };

// Runs the code to its end and gives what it said.
const said = async (code, answers, options) => (await Agent.start(code, answers, options)).done();

test("a call is one line with the method and its parameters, its answer the result", async () => {
  const agent = await Agent.start(
    'say(await flodea.call("a/B", {x: 1, big: 2n ** 60n}, {timeout: 1.5, idempotencyKey: "k"}))', { "a/B": { y: 2 } });
  assert.deepEqual(await agent.done(), [{ y: 2 }]);
  assert.deepEqual(agent.requests, [{
    jsonrpc: "2.0", id: 1, method: "a/B", params: { x: 1, big: "1152921504606846976" }, deadline_ms: 1500, idempotency_key: "k",
  }]);
});

test("an error has its class, its code, its message and details, and a stack that leads to the caller", async () => {
  const details = [{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", reason: "NO_KEY" }];
  const [error] = await said(
    'async function caller() { await flodea.call("a/B"); }\ntry { await caller(); } catch (e) { say({kind: e instanceof flodea.NotFound && ' +
    "e instanceof flodea.FlodeaError && e instanceof Error, name: e.name, code: e.code, message: e.message, details: e.details, stack: e.stack}) }",
    { "a/B": new RpcError(-32005, "no such key", details) });
  assert.deepEqual({ ...error, stack: undefined },
    { kind: true, name: "NotFound", code: "NOT_FOUND", message: "no such key", details, stack: undefined });
  assert.match(error.stack, /at async caller/);
});

test("every status code and the protocol's own have a class", async () => {
  const names = ["Cancelled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists", "PermissionDenied",
    "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented", "Internal", "Unavailable", "DataLoss"];
  const expected = [...names.map((name, at) => [-32001 - at, name]), [-32601, "Unimplemented"], [-32602, "InvalidArgument"], [-32700, "Internal"]];
  const code = `for (const c of ${JSON.stringify(expected.map(([number]) => number))}) try { await flodea.call("a/B", {c}) } catch (e) { say(e.name) }`;
  assert.deepEqual(await said(code, { "a/B": ({ params }) => new RpcError(params.c, "x") }), expected.map(([, name]) => name));
});

test("many calls at once get their own answers, in whatever order they come", async () => {
  const agent = await Agent.start('say(await Promise.all([...Array(50).keys()].map((n) => flodea.call("a/B", {n}))))');
  const requests = [];
  for (let n = 0; n < 50; n++) requests.push(await agent.next("a/B"));
  for (const request of requests.reverse()) agent.reply(request, { n: request.params.n });
  assert.deepEqual(await agent.done(), [[...Array(50).keys()].map((n) => ({ n }))]);
});

test("a call over a mebibyte is refused here, and the connection stays good", async () => {
  const agent = await Agent.start(
    'try { await flodea.call("a/B", {v: "x".repeat(1 << 20)}) } catch (e) { say(e.name) }\nawait flodea.call("a/C")', { "a/C": {} });
  assert.deepEqual(await agent.done(), ["InvalidArgument"]);
  assert.deepEqual(agent.requests.map(({ method }) => method), ["a/C"]);
});

test("a large answer in pieces is put together, also where a piece ends within a character", async () => {
  const agent = await Agent.start('say((await flodea.call("a/B")).text.length)');
  const request = await agent.next("a/B");
  const whole = Buffer.from(JSON.stringify({ jsonrpc: "2.0", id: request.id, result: { text: "ü".repeat(400_000) } }) + "\n");
  for (let at = 0; at < whole.length; at += 65537) agent.socket.write(whole.subarray(at, at + 65537));
  assert.deepEqual(await agent.done(), [400_000]);
});

test("when the worker hangs up calls end, and so do later ones", async () => {
  const agent = await Agent.start(
    'const open = [1, 2].map(() => flodea.call("a/B").catch((e) => e.name)); say(await Promise.all(open));\n' +
    'say(await flodea.call("a/B").catch((e) => e.name + ": " + e.message))');
  await agent.next("a/B");
  await agent.next("a/B");
  agent.socket.end();
  assert.deepEqual(await agent.done(), [["Unavailable", "Unavailable"], "Unavailable: Flodea has closed the connection"]);
});

test("an aborted call rejects with the signal's reason and is cancelled at the worker", async () => {
  const agent = await Agent.start(
    'const stop = new AbortController(); setTimeout(() => stop.abort(new Error("enough")), 0);\n' +
    'say(await flodea.clock.sleepUntil({wallNanos: 1n}, {signal: stop.signal}).catch((e) => e.message));\n' +
    'say(await flodea.clock.now({signal: AbortSignal.abort("before")}).catch((e) => e));\nsay((await flodea.clock.now()).wallNanos)', { [NOW]: MOMENT });
  const request = await agent.next(SLEEP);
  assert.deepEqual((await agent.next("cancel")).params, { id: request.id });
  assert.deepEqual(await agent.done(), ["enough", "before", "1700000000000000001n"]);
  assert.equal(agent.requests.filter(({ method }) => method === NOW).length, 1);
});

test("without a connection it says why", async () => {
  const code = 'say(await flodea.clock.now().catch((e) => [e.name, e.message]))';
  const cases = [
    [{ environment: { FLODEA_FD: "" } }, code, /not an agent of Flodea's/],
    [{ environment: { FLODEA_FD: "77" } }, code, /descriptor 77 is no connection to Flodea/],
    [{}, 'import { Worker } from "node:worker_threads";\nnew Worker(' +
      JSON.stringify(`import(${JSON.stringify(new URL("../flodea/index.js", import.meta.url).href)}).then((flodea) => flodea.clock.now()).catch((e) => console.log(JSON.stringify([e.name, e.message])))`) +
      ", {eval: true})", /main thread only/],
  ];
  for (const [options, program, expected] of cases) {
    const [[name, message]] = await said(program, {}, options);
    assert.equal(name, "Unavailable");
    assert.match(message, expected);
  }
});

test("a program ends by itself once no call is open, and not before", async () => {
  assert.deepEqual(await said('await flodea.clock.now(); flodea.agent.stopRequested(); flodea.agent.onStop(() => {}); say("over")', { [NOW]: MOMENT }), ["over"]);
  const agent = await Agent.start('flodea.call("a/B").then(() => say("answered"))');
  agent.reply(await agent.next("a/B"), {});
  assert.deepEqual(await agent.done(), ["answered"]);
});

test("the clock has nanoseconds as bigints, and sleeps by the monotonic one", async () => {
  const agent = await Agent.start(
    "say(await flodea.clock.now()); say(await flodea.clock.sleep(1.5));\n" +
    "for (const wrong of [() => flodea.clock.sleepUntil(), () => flodea.clock.sleepUntil({wallNanos: 1.5}), () => flodea.clock.sleep(NaN)]) say(await wrong().catch((e) => e.name))",
    { [NOW]: MOMENT, [SLEEP]: { monotonicNanos: "6500000000" } });
  assert.deepEqual(await agent.done(), [
    { wallNanos: "1700000000000000001n", monotonicNanos: "5000000000n" }, { wallNanos: "0n", monotonicNanos: "6500000000n" },
    "InvalidArgument", "InvalidArgument", "InvalidArgument"]);
  assert.deepEqual(agent.requests.at(-1).params, { monotonicNanos: "6500000000" });
});

test("the store reads bytes; what is left out of the answer is empty", async () => {
  const entry = { key: "aw==", value: "AAH/", version: "7" };
  const answers = { [GET]: ({ params }) => ({ entry: params.key === "aw==" ? entry : { key: "bA==", version: "8" } }) };
  const code = 'for (const k of ["k", new Uint8Array([108])]) { const e = await flodea.store.get(k); say([e.value instanceof Uint8Array, e.key.toString(), [...e.value], e.version]) }';
  assert.deepEqual(await said(code, answers), [[true, "k", [0, 1, 255], 7], [true, "l", [], 8]]);
});

test("a write is a commit with a key of its own", async () => {
  const agent = await Agent.start(
    'say(await flodea.store.put("k", "v", {ifVersion: 0})); say(await flodea.store.delete(Buffer.from("k"), {ifVersion: 9n}))',
    { [COMMIT]: { version: "9", deleted: 1 } });
  assert.deepEqual(await agent.done(), [9, true]);
  const [put, removed] = agent.requests.map(({ params }) => params);
  assert.deepEqual(put.conditions, [{ key: "aw==", version: "0" }]);
  assert.deepEqual(put.puts, [{ key: "aw==", value: "dg==" }]);
  assert.deepEqual(removed.deletes, ["aw=="]);
  assert.deepEqual(removed.conditions, [{ key: "aw==", version: "9" }]);
  assert.ok(put.dedupKey.length >= 16 && put.dedupKey !== removed.dedupKey);
});

test("a commit of many takes objects, maps and pairs; what is no bytes and no version is refused here", async () => {
  const agent = await Agent.start(
    'say(await flodea.store.commit({puts: {a: "1", b: new Uint8Array([2])}, deletes: ["c"], conditions: new Map([[Buffer.from("d"), 4]]), dedupKey: "mine"}));\n' +
    'for (const wrong of [() => flodea.store.put("k", 3), () => flodea.store.get(null), () => flodea.store.put("k", "v", {ifVersion: -1})]) say(await wrong().catch((e) => e.name))',
    { [COMMIT]: { version: "9" } });
  assert.deepEqual(await agent.done(), [{ version: 9, deleted: 0 }, "TypeError", "TypeError", "InvalidArgument"]);
  assert.deepEqual(agent.requests.map(({ params }) => params), [{
    dedupKey: "mine", conditions: [{ key: "ZA==", version: "4" }], deletes: ["Yw=="],
    puts: [{ key: "YQ==", value: "MQ==" }, { key: "Yg==", value: "Ag==" }],
  }]);
});

test("a list goes through all pages, as they are wanted", async () => {
  const pages = { first: { entries: [{ key: "YQ==", version: "1" }], nextPageToken: "t" }, t: { entries: [{ key: "Yg==", version: "2" }] } };
  const answers = { "flodea.storage.v1.Store/List": ({ params }) => pages[params.pageToken ?? "first"] };
  const all = await Agent.start('const keys = []; for await (const e of flodea.store.list("x", {keysOnly: true})) keys.push(e.key.toString()); say(keys)', answers);
  assert.deepEqual(await all.done(), [["a", "b"]]);
  assert.deepEqual(all.requests[0].params, { pageSize: 100, prefix: "eA==", keysOnly: true });
  const one = await Agent.start("for await (const e of flodea.store.list()) { say(e.key.toString()); break; }", answers);
  assert.deepEqual(await one.done(), ["a"]);
  assert.equal(one.requests.length, 1);
});

test("what an agent knows of itself", async () => {
  const [about, used, nothing] = await said("say(await flodea.agent.describe()); say(await flodea.agent.usage()); say((await flodea.agent.ready()) === undefined)", {
    "flodea.agent.v1.Self/Describe": { name: "ledger", generation: "3", specJson: '{"bundle":"b"}', limits: { memoryBytes: "1048576", pids: 64 } },
    "flodea.agent.v1.Self/Usage": { cpuNanos: "12", pids: 2 },
    "flodea.agent.v1.Self/Ready": {},
  });
  assert.deepEqual([about.name, about.generation, about.spec, about.limits.memoryBytes, about.limits.pids, about.labels], ["ledger", 3, { bundle: "b" }, 1048576, 64, {}]);
  assert.deepEqual([used.cpuNanos, used.pids, used.memoryBytes], ["12n", 2, 0]);
  assert.equal(nothing, true);
});

test("structured records", async () => {
  const agent = await Agent.start(
    'await flodea.agent.log("bought", "warning", {amount: 3n}); await flodea.agent.log("plain"); say(await flodea.agent.log("x", "loud").catch((e) => e.name))',
    { "flodea.agent.v1.Self/Log": {} });
  assert.deepEqual(await agent.done(), ["InvalidArgument"]);
  assert.deepEqual(agent.requests.map(({ params }) => params.records[0]),
    [{ level: "LEVEL_WARNING", message: "bought", fields: { amount: "3" } }, { level: "LEVEL_INFO", message: "plain" }]);
});

test("a stream's items come in order under credit, and it ends", async () => {
  const agent = await Agent.start('const seen = []; for await (const item of flodea.stream("a/S", {p: 1})) seen.push(item.n); say(seen)');
  const request = await agent.next("a/S");
  assert.deepEqual((await agent.next("credit")).params, { id: request.id, n: 16 });
  for (let seq = 1; seq <= 3; seq++) agent.item(request, seq, { n: seq });
  for (let seq = 1; seq <= 3; seq++) assert.deepEqual((await agent.next("credit")).params, { id: request.id, n: 1 });
  agent.reply(request, {});
  assert.deepEqual(await agent.done(), [[1, 2, 3]]);
});

test("a stream that is left is cancelled; an error or an aborted signal ends it", async () => {
  const agent = await Agent.start(
    'for await (const item of flodea.stream("a/S")) break;\nsay("left");\ntry { for await (const item of flodea.stream("a/T")); } catch (e) { say(e.name) }\n' +
    'const stop = new AbortController(); const items = flodea.stream("a/U", {}, {signal: stop.signal}); setTimeout(() => stop.abort("enough"), 0);\n' +
    "say(await items.next().catch((e) => e))", { "a/T": new RpcError(-32014, "gone") });
  const left = await agent.next("a/S");
  agent.item(left, 1, {});
  assert.deepEqual((await agent.next("cancel")).params, { id: left.id });
  const aborted = await agent.next("a/U");
  assert.deepEqual((await agent.next("cancel")).params, { id: aborted.id });
  assert.deepEqual(await agent.done(), ["left", "Unavailable", "enough"]);
});

test("stopRequested looks without waiting, waitStop waits", async () => {
  const agent = await Agent.start('say(flodea.agent.stopRequested()); await flodea.clock.now(); say(flodea.agent.stopRequested()); say(await flodea.agent.waitStop())');
  const request = await agent.next(WATCH_STOP);
  agent.item(request, 1, { reason: "operator", deadlineNanos: "42" });
  agent.reply(request, {});
  agent.reply(await agent.next(NOW), MOMENT);
  assert.deepEqual(await agent.done(), [false, true, { reason: "operator", deadlineNanos: "42n" }]);
});

test("waitStop gives up when its time is over or its signal aborted, and hears of it later", async () => {
  const agent = await Agent.start(
    "for (const timeout of [0, -1, 0.02]) say(await flodea.agent.waitStop({timeout}));\n" +
    'say(await flodea.agent.waitStop({signal: AbortSignal.abort("enough")}).catch((e) => e));\nsay(await flodea.agent.waitStop({timeout: 1e300}))');
  const request = await agent.next(WATCH_STOP);
  for (let turn = 0; turn < 4; turn++) await agent.hear();
  agent.item(request, 1, { reason: "operator" });
  assert.deepEqual(await agent.done(), [null, null, null, "enough", { reason: "operator", deadlineNanos: "0n" }]);
  assert.equal(agent.requests.filter(({ method }) => method === WATCH_STOP).length, 1);
});

test("a watch that ends without a notice is opened again", async () => {
  const agent = await Agent.start("say(await flodea.agent.waitStop())");
  agent.reply(await agent.next(WATCH_STOP), {});
  agent.item(await agent.next(WATCH_STOP), 1, { reason: "shutdown" });
  assert.equal((await agent.done())[0].reason, "shutdown");
});

test("onStop calls back, once", async () => {
  const agent = await Agent.start('flodea.agent.onStop((notice) => say(notice.reason)); await flodea.call("a/B")');
  agent.item(await agent.next(WATCH_STOP), 1, { reason: "shutdown" });
  assert.equal(await agent.hear(), "shutdown");
  agent.reply(await agent.next("a/B"), {});
  assert.deepEqual(await agent.done(), ["shutdown"]);
});

test("SIGTERM ends who does not ask and spares who does, or who has a listener of its own", async () => {
  const last = 'await flodea.clock.now(); process.kill(process.pid, "SIGTERM"); await flodea.clock.now(); await flodea.clock.now(); say("alive")';
  assert.deepEqual(await said(`flodea.agent.stopRequested();\n${last}`, { [NOW]: MOMENT }), ["alive"]);
  assert.deepEqual(await said(`process.on("SIGTERM", () => {});\n${last}`, { [NOW]: MOMENT }), ["alive"]);
  const killed = await Agent.start(last, { [NOW]: MOMENT });
  assert.deepEqual(await killed.done("SIGTERM"), []);
});

test("the types name what there is", async () => {
  for (const file of ["agent", "clock", "store", "errors"]) {
    const types = readFileSync(new URL(`../flodea/${file}.d.ts`, import.meta.url), "utf8");
    const declared = [...types.matchAll(/^export (?:(?:class|function) (\w+)|\{ \w+ as (\w+) \})/gm)].map(([, own, renamed]) => own ?? renamed);
    assert.deepEqual([...new Set(declared)].sort(), Object.keys(await import(`../flodea/${file}.js`)).sort(), file);
  }
  assert.ok(["agent", "clock", "store", "call", "stream", "FlodeaError"].every((name) => name in flodea));
});

test("importing loads nothing that is slow to load", () => {
  const code = 'const before = new Set(process.moduleLoadList); await import(process.argv[1]); console.log(JSON.stringify(process.moduleLoadList.filter((m) => !before.has(m))))';
  const sdk = new URL("../flodea/index.js", import.meta.url).href;
  const loaded = JSON.parse(execFileSync(process.execPath, ["--input-type=module", "-e", code, sdk], { encoding: "utf8" }));
  for (const slow of ["net", "stream", "worker_threads", "crypto", "child_process"]) {
    assert.ok(!loaded.includes(`NativeModule ${slow}`), `${slow} is loaded: ${loaded}`);
  }
});
