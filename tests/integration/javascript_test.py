"""JavaScript agents: what Node.js and the SDK must do inside a sandbox, and how each of their ends is told."""
import datetime
import json
import os
import re
import signal
import subprocess
import tempfile
import unittest

from flodea_host import Host, HostTest, Refused, kill_and_wait

# A native add-on: Node-API is a stable C interface, so its few declarations stand here instead of Node's headers.
ADDON = """
extern "C" {
typedef struct napi_env__* napi_env; typedef struct napi_value__* napi_value; typedef struct napi_callback_info__* napi_callback_info;
typedef napi_value (*napi_callback)(napi_env, napi_callback_info);
int napi_create_double(napi_env, double, napi_value*);
int napi_create_function(napi_env, const char*, unsigned long, napi_callback, void*, napi_value*);
int napi_set_named_property(napi_env, napi_value, const char*, napi_value);
static napi_value answer(napi_env env, napi_callback_info) { napi_value v; napi_create_double(env, 42, &v); return v; }
__attribute__((visibility("default"))) napi_value napi_register_module_v1(napi_env env, napi_value exports) {
  napi_value f; napi_create_function(env, "answer", 6, answer, nullptr, &f); napi_set_named_property(env, exports, "answer", f); return exports;
}
}
"""


def native_addon():
    with tempfile.TemporaryDirectory() as directory:
        source, built = os.path.join(directory, "a.cc"), os.path.join(directory, "a.node")
        with open(source, "w") as file:
            file.write(ADDON)
        subprocess.run(["g++", "-shared", "-fPIC", "-o", built, source], check=True)
        with open(built, "rb") as file:
            return file.read()


def script(entrypoint="main.mjs", memory="96Mi", **spec):
    """The manifest's spec of a JavaScript agent."""
    resources = {"memory": memory, "disk": "16Mi", **spec.pop("resources", {})}
    return {"runtime": {"type": "javascript", "engine": "node", "entrypoint": entrypoint}, "resources": resources,
            "restart": {"policy": "never"}, **spec}


class Javascript(HostTest):
    def run_to_the_end(self, name, code, to="stopped", files=None, **spec):
        """Deploys an agent that ends by itself; returns (inspect, its log)."""
        with self.host.follow_new_events() as events:
            self.host.deploy(name, code, wait=False, files=files, **script(**spec))
            events.wait_for(lambda line: json.loads(line).get("agent") == name and json.loads(line).get("to") in ("stopped", "failed"), 60)
        agent, log = self.host.inspect(name), "\n".join(self.host.logs(name))
        self.assertEqual(agent["state"].removeprefix("STATE_").lower(), to, log)
        self.host.cli("rm", name)
        return agent, log

    # --- what runs ----------------------------------------------------------------------------------------------------

    def test_es_modules_and_commonjs_speak_with_flodea(self):
        body = ('await flodea.store.put("k", "v"); const {value} = await flodea.store.get("k"); const me = await flodea.agent.describe();\n'
                'console.log("got", value.toString(), me.name, me.spec.runtime.engine, (await flodea.clock.now()).wallNanos > 1n, process.cwd(), process.argv[2] ?? "-");\n')
        common = f'(async () => {{ const flodea = await import("flodea"); require("node:os"); {body} }})();\n'
        for name, entrypoint, code, files in (
                ("esm", "main.mjs", 'import * as flodea from "flodea";\n' + body, {}),
                ("cjs", "main.cjs", common, {}),
                ("plain", "src/main.js", common, {}),
                ("typed", "src/main.js", 'import * as flodea from "flodea";\n' + body, {"package.json": '{"type": "module"}'})):
            with self.subTest(name):
                _, log = self.run_to_the_end(name, code, files=files, entrypoint=entrypoint)
                self.assertIn(f"got v {name} node true /app -", log)

    def test_packages_in_node_modules_work_and_native_add_ons_too(self):
        files = {"node_modules/esm-only/package.json": '{"name": "esm-only", "type": "module", "exports": "./i.js"}',
                 "node_modules/esm-only/i.js": "export const two = 2;",
                 "node_modules/@scope/old/package.json": '{"name": "@scope/old", "main": "lib"}',
                 "node_modules/@scope/old/lib/index.js": "exports.three = 3;",
                 "node_modules/native/index.js": "module.exports = require('./native.node');",
                 "node_modules/native/native.node": native_addon()}
        _, log = self.run_to_the_end(
            "packages", 'import {two} from "esm-only"; import old from "@scope/old"; import native from "native";\n'
            'console.log("sum", two + old.three + native.answer());', files=files)
        self.assertIn("sum 47", log)

    def test_the_engine_has_what_it_needs(self):
        """Compiled code, WebAssembly, worker threads, processes, timers, files, loopback; and none of it is counted as refused."""
        agent, log = self.run_to_the_end("engine", """
import { Worker } from "node:worker_threads"; import { execFileSync, fork } from "node:child_process"; import { once } from "node:events";
import { createServer } from "node:http"; import * as fs from "node:fs/promises"; import { scryptSync } from "node:crypto"; import { gzipSync } from "node:zlib";
let sum = 0; for (let i = 0; i < 3e7; i++) sum = (sum + i) | 0; console.log("compiled", sum);
await WebAssembly.instantiate(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])); console.log("wasm");
const workers = [1, 2, 3].map((n) => new Worker(`require("node:worker_threads").parentPort.postMessage(${n} * 2)`, {eval: true}));
console.log("workers", (await Promise.all(workers.map((w) => once(w, "message")))).flat().join());
console.log("child", execFileSync(process.execPath, ["-p", "6 * 7"]).toString().trim());
const child = fork("child.mjs"); console.log("fork", (await once(child, "message"))[0]); await once(child, "exit");
await fs.writeFile("/data/x", "kept"); console.log("file", await fs.readFile("/data/x", "utf8"));
const server = createServer((_, answer) => answer.end("hi")); server.listen(0, "127.0.0.1"); await once(server, "listening");
console.log("http", await (await fetch(`http://127.0.0.1:${server.address().port}`)).text()); server.close(); server.closeAllConnections();
console.log("crypto", scryptSync("a", "b", 8).length, gzipSync("x".repeat(1e5)).length < 1000);
""", files={"child.mjs": 'import * as flodea from "flodea"; process.send(await flodea.clock.now().catch((e) => e.message)); process.disconnect();'}, memory="256Mi")
        for expected in ("compiled ", "wasm", "workers 2,4,6", "child 42", "fork descriptor 3 is no connection to Flodea", "file kept", "http hi", "crypto 8 true"):
            self.assertIn(expected, log)
        self.assertEqual(agent.get("usage", {}).get("denied_syscalls", {}), {})

    def test_processes_and_threads_are_held_to_their_number(self):
        _, log = self.run_to_the_end("forker", """
import { spawn } from "node:child_process"; import { once } from "node:events";
const children = []; let refused;
while (!refused && children.length < 40) {
  const child = spawn("/usr/bin/sleep", ["1000"]);
  await Promise.race([once(child, "spawn"), once(child, "error").then(([e]) => { refused = e; })]).catch((e) => { refused = e; });
  children.push(child);
}
console.log("refused", refused?.code, children.length); process.exit(0);
""", resources={"pids": 24})
        match = re.search(r"refused EAGAIN (\d+)", log)
        self.assertTrue(match and int(match[1]) <= 24, log)

    # --- how it ends ----------------------------------------------------------------------------------------------------

    def test_a_heap_that_leaks_ends_by_v8s_report_and_the_reason_is_oom(self):
        leaks = {"objects": "const kept = []; for (;;) kept.push({a: new Array(20).fill(1)});",
                 "map": "const kept = new Map(); for (let i = 0; ; i++) kept.set('key' + i, {i});"}
        for memory in ("64Mi", "128Mi", "256Mi"):
            for name, code in leaks.items():
                with self.subTest(memory=memory, leak=name):
                    agent, log = self.run_to_the_end(f"leak-{name}", code, to="failed", memory=memory)
                    self.assertIn("JavaScript heap out of memory", log)
                    self.assertEqual((agent["reason"], agent["message"]),
                                     ("oom", "out of memory: V8 ended it because its heap was full, see its log (SIGABRT)"))

    def test_memory_beside_the_heap_ends_it_by_the_kernel_and_the_reason_is_oom(self):
        agent, log = self.run_to_the_end("buffers", "const kept = []; for (;;) kept.push(Buffer.alloc(1 << 20, 1));", to="failed")
        self.assertEqual(agent["reason"], "oom")
        self.assertNotIn("heap out of memory", log)

    def test_an_abort_with_memory_left_is_no_want_of_it(self):
        agent, _ = self.run_to_the_end("aborts", "process.abort();", to="failed", memory="256Mi")
        self.assertEqual((agent["reason"], agent["message"]), ("signal", "killed by SIGABRT"))

    def test_exit_codes_and_uncaught_errors(self):
        agent, _ = self.run_to_the_end("exits", "process.exit(3);", to="failed")
        self.assertEqual((agent["reason"], agent["exit_code"]), ("exit code", 3))
        agent, log = self.run_to_the_end("throws", "async function inner() { throw new Error('wrong'); }\nawait inner();", to="failed")
        self.assertEqual(agent["exit_code"], 1)
        self.assertRegex(log, r"Error: wrong\n.*at inner \(file:///app/main.mjs:1")

    def test_stops_as_asked_or_is_killed_in_its_time(self):
        waits = 'import * as flodea from "flodea"; flodea.agent.stopRequested(); console.log("up"); const notice = await flodea.agent.waitStop(); console.log("asked", notice.reason, notice.deadlineNanos > 1n);'
        loops = 'import * as flodea from "flodea"; flodea.agent.stopRequested(); console.log("up"); let turns = 0; while (!flodea.agent.stopRequested()) { turns++; await flodea.clock.sleep(0.01); } console.log("asked", turns > 0);'
        deaf = 'process.on("SIGTERM", () => {}); console.log("up"); setInterval(() => {}, 1000);'
        for name, code, word in (("waits", waits, "asked operator true"), ("loops", loops, "asked true"), ("deaf", deaf, None)):
            with self.subTest(name):
                self.host.deploy(name, code, **script(stop_timeout="500ms" if word is None else "20s"))
                with self.host.follow_logs(name) as log:
                    log.wait_for("up$")
                    self.host.cli("stop", name)
                self.assertIn("STOPPED", self.host.inspect(name)["state"].upper())
                if word:
                    self.assertIn(word, "\n".join(self.host.logs(name)))
                    self.assertEqual(self.host.inspect(name)["exit_code"], 0)
                self.host.cli("rm", name)

    def test_readiness_is_when_it_says_so(self):
        code = ('import * as flodea from "flodea"; await flodea.agent.waitStop({timeout: 0.3}); console.log("says so", Date.now());\n'
                'await flodea.agent.ready(); await flodea.agent.waitStop();')
        with self.host.follow_new_events() as events:
            self.host.deploy("readies", code, wait=False, **script(readiness={"signal": "self", "timeout": "30s"}))
            running = events.wait_event(agent="readies", to="running", timeout=30)["time"]
        said = int(re.search(r"says so (\d+)", "\n".join(self.host.logs("readies")))[1])
        self.assertGreaterEqual(datetime.datetime.fromisoformat(running).timestamp() * 1000, said)
        self.host.cli("rm", "readies")

    def test_calls_go_on_when_control_dies(self):
        code = ('import * as flodea from "flodea"; let slept = false; flodea.clock.sleep(3).then(() => { slept = true; }); console.log("up");\n'
                'let n = 0; for (; !slept; n++) await flodea.store.put("n", String(n));\n'
                'console.log("went on", (await flodea.store.get("n")).value.toString() === String(n - 1));')
        self.host.deploy("survives", code, **script())
        kill_and_wait(self.host.service_pid("flodea-control"))
        self.host.wait_services()
        with self.host.follow_events() as events:
            events.wait_event(agent="survives", to="stopped")
        self.assertIn("went on true", "\n".join(self.host.logs("survives")))
        self.assertEqual(int(self.host.inspect("survives").get("restarts", 0)), 0)
        self.host.cli("rm", "survives")

    # --- what is refused ------------------------------------------------------------------------------------------------

    def test_what_cannot_run_is_refused_with_its_field(self):
        def refused(**spec):
            directory = self.host.bundle("refused", "", **spec)
            with self.assertRaises(Refused) as caught:
                self.host.cli("apply", "-f", directory)
            self.assertEqual(caught.exception.stderr.strip().count("\n"), 0, caught.exception.stderr)
            return caught.exception.stderr

        good = script()
        self.assertRegex(refused(**{**good, "runtime": {**good["runtime"], "engine": "deno"}}), r"spec\.runtime\.engine.*use: node")
        self.assertRegex(refused(**{**good, "runtime": {"type": "python", "entrypoint": "main.py", "engine": "node"}}), r"spec\.runtime\.engine.*leave")
        self.assertRegex(refused(**{**good, "runtime": {"type": "javascript", "entrypoint": "main.ts"}}), r"spec\.runtime\.entrypoint.*\.mjs")
        self.assertRegex(refused(**script(memory="32Mi")), r"spec\.resources\.memory.*64Mi")

    def test_the_node_says_what_it_has_and_run_knows_main_mjs(self):
        version = subprocess.run(["/usr/bin/node", "--version"], capture_output=True, text=True, check=True).stdout.strip().lstrip("v")
        self.assertRegex(self.host.cli("node").stdout, rf"runtime: +javascript {re.escape(version)}\n")
        directory = os.path.join(self.host.base, "agents", "bare")
        os.makedirs(directory)
        with open(os.path.join(directory, "main.mjs"), "w") as file:
            file.write('console.log("ran");')
        with self.host.follow_new_events() as events:
            self.host.cli("run", directory)
            events.wait_event(agent="bare", to="stopped")
        self.assertIn("ran", "\n".join(self.host.logs("bare")))
        self.assertEqual(self.host.inspect("bare")["spec"]["runtime"]["engine"], "node")


class AnOldNode(unittest.TestCase):
    """A host whose /usr/bin/node is too old: in a mount namespace of its own, where a script that only says its version is in its place."""

    def test_it_is_told_and_refused_with_both_versions(self):
        with tempfile.NamedTemporaryFile("w", suffix="-node", delete=False) as old:
            old.write("#!/bin/sh\necho v16.20.2\n")
        os.chmod(old.name, 0o755)
        self.addCleanup(os.unlink, old.name)
        node = os.path.realpath("/usr/bin/node")
        within = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" "$1" && shift && exec "$@"', old.name, node]
        with Host(within=within) as host:
            self.assertRegex(host.cli("node").stdout, r"missing: +runtime javascript: /usr/bin/node is 16\.20\.2, 18 or newer is needed")
            with self.assertRaises(Refused) as caught:
                host.deploy("late", "", **script())
            self.assertRegex(caught.exception.stderr, r"is 16\.20\.2, 18 or newer is needed \(field spec\.runtime\.type\); install 18 or newer")
            host.deploy("python", "import flodea; flodea.agent.wait_stop()")


if __name__ == "__main__":
    unittest.main(verbosity=2)
