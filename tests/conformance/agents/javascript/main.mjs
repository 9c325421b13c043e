// The conformance agent in JavaScript: does what its first argument says. The same in each language; conformance_test.py reads what it prints.
import { spawn } from "node:child_process";
import * as fs from "node:fs";
import { connect } from "node:net";

import * as flodea from "flodea";

const [mode, ...words] = process.argv.slice(2);
const text = JSON.stringify;

function say(...parts) {
  fs.writeSync(1, parts.join(" ") + "\n");
}

function expand(value) {
  if (Array.isArray(value)) return value.map(expand);
  if (value === null || typeof value !== "object") return value;
  if (Object.keys(value).join() === "repeat") return "A".repeat(value.repeat);
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, expand(inner)]));
}

async function cases() {
  for (const line of fs.readFileSync("/app/cases.tsv", "utf8").split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    const [name, method, params] = line.split("\t");
    try {
      say("case", text(name), "result", text(await flodea.call(method, expand(JSON.parse(params)))));
    } catch (error) {
      if (!(error instanceof flodea.FlodeaError)) throw error;
      say("case", text(name), "error", error.code);
    }
  }
}

async function late() {
  const { wallNanos } = await flodea.call("flodea.kernel.v1.Clock/Now");
  const until = String(BigInt(wallNanos) + 3600n * 10n ** 9n);
  try {
    await flodea.call("flodea.kernel.v1.Clock/SleepUntil", { wallNanos: until }, { timeout: 0.2 });
  } catch (error) {
    say("late", error.code);
  }
}

async function stop() {
  const asked = flodea.agent.waitStop(); // from now on SIGTERM does not end it
  say("waiting");
  say("asked", (await asked).reason);
}

function idle() {
  say("waiting");
  setInterval(() => {}, 3_600_000);
}

function busy() {
  say("waiting");
  for (;;);
}

function deaf() {
  process.on("SIGTERM", () => {});
  busy();
}

async function ready() {
  say("about to be ready");
  await flodea.agent.ready();
  idle();
}

function again() {
  const mark = "/data/ran";
  if (fs.existsSync(mark)) return say("second run");
  fs.writeFileSync(mark, "");
  process.exit(3);
}

function log() {
  const write = (stream, bytes) => fs.writeSync(stream, Buffer.from(bytes, "latin1"));
  write(1, "a line\n");
  write(2, "a line of stderr\n");
  write(1, "\n");
  write(1, "tab\tand \xc3\xbcml\xc3\xa4ut\n");
  write(1, "bad \xff\xfe bytes\n");
  write(1, "nul \0 byte\n");
  write(1, "x".repeat(20000) + "\n");
  write(1, "in two ");
  write(1, "writes\n");
  write(1, "no newline");
}

function surroundings() {
  say("arguments", text(words));
  for (const name of ["LOG", "EMPTY", "ABSENT", "HOME", "TMPDIR", "LANG", "PATH", "FLODEA_AGENT"]) say(name, text(process.env[name] ?? null));
  say("working_directory", text(process.cwd()));
  say("a_file_of_its_bundle", text(fs.readFileSync("cases.tsv", "utf8").split(",")[0]));
  say("user", text([process.getuid(), process.getgid()]));
  const write = (path, content) => fs.writeSync(fs.openSync(path, "w"), content);
  say("writes_to_data_and_tmp", text([write("/data/kept", "1"), write("/tmp/scratch", "22")]));
}

function objects() {
  const kept = [];
  for (;;) kept.push(new Array(10000).fill().map(() => ({ half: Math.random() })));
}

function buffers() {
  const kept = [];
  for (;;) kept.push(Buffer.alloc(1 << 20, "x"));
}

async function pids() {
  for (let count = 0; count < 1000; ++count) {
    const refused = await new Promise((done) => {
      const child = spawn("/bin/sleep", ["3600"], { stdio: "ignore" });
      child.on("spawn", () => done());
      child.on("error", (error) => done(error.code));
    });
    if (refused) {
      say("refused", refused);
      break;
    }
  }
  process.exit(0);
}

function refused(action) {
  try {
    action();
  } catch (error) {
    return error.code;
  }
  return "SUCCEEDED";
}

function disk() {
  const file = fs.openSync("/data/fill", "w");
  const piece = Buffer.alloc(65536, "x");
  let written = 0;
  const code = refused(() => {
    while (written < 1 << 30) written += fs.writeSync(file, piece);
  });
  say("refused", code, written < 15 << 20 ? "below its size" : "at its size");
}

function files() {
  let last = 0;
  const code = refused(() => {
    while (last < 10000) last = fs.openSync("/app/cases.tsv", "r");
  });
  say("refused", code, "at descriptor", last + 1);
}

function cpu() {
  const began = performance.now();
  const used = process.cpuUsage();
  while (performance.now() - began < 2000);
  const { user, system } = process.cpuUsage(used);
  say("share", (user + system) / 1000 / (performance.now() - began));
}

async function denials() {
  const attempt = (name, action) => say("attempt", text(name), refused(action));
  attempt("write into its bundle", () => fs.openSync("/app/made", "w"));
  attempt("change its own code", () => fs.openSync("/app/main.mjs", "a"));
  attempt("make its bundle its own", () => fs.chmodSync("/app", 0o777));
  attempt("write into the host's programs", () => fs.openSync("/usr/bin/made", "w"));
  attempt("write into the SDK", () => fs.openSync("/opt/flodea/made", "w"));
  attempt("read the passwords", () => fs.openSync("/etc/shadow", "r"));
  attempt("read the node's keys", () => fs.readdirSync("/var/lib/flodea"));
  attempt("read the worker's environment", () => fs.readFileSync("/proc/1/environ"));
  attempt("read kernel memory", () => fs.openSync("/proc/kcore", "r"));
  attempt("write a kernel setting", () => fs.openSync("/proc/sys/kernel/core_pattern", "w"));
  attempt("kill the worker", () => process.kill(1, "SIGKILL"));
  const outside = await new Promise((done) => {
    const socket = connect(80, "192.0.2.1");
    socket.on("connect", () => done("SUCCEEDED"));
    socket.on("error", (error) => done(error.code));
  });
  say("attempt", text("reach an address outside"), outside);
  say("attempt", text("make a raw socket"), "has no means");
}

const modes = {
  cases, late, stop, idle, busy, deaf, ready, again, log, surroundings, objects, buffers, pids, disk, files, cpu, denials,
  exit: () => process.exit(Number(words[0])),
  abort: () => process.abort(),
  throw: () => { throw new Error("not caught"); },
};
await modes[mode]();
