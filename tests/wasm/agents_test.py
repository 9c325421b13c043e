"""WebAssembly agents as a whole: compiled at apply in a job, kept, authenticated, run; and what is refused, with one clear message."""
import glob
import os
import pathlib
import unittest

from flodea_host import HostTest, Refused, host_state, kill_and_wait
from wasm_programs import FOREVER, GUESTS, counted, module, section

WASM = {"type": "wasm", "entrypoint": "main.wasm"}


class Wasm(HostTest):
    def bundle(self, name, code, args=(), **spec):
        return self.host.bundle(name, code, runtime={**WASM, "args": list(args)}, restart={"policy": "never"}, **spec)

    def end_of(self, name, code, args=(), state="stopped", **spec):
        """Applies and waits for its end: the last event and its log."""
        directory = self.bundle(name, code, args, **spec)
        with self.host.follow_new_events(name) as events:
            self.host.cli("apply", "-f", directory)
            event = events.wait_event(to=state, timeout=60)
        return event, self.host.logs(name)

    def refused(self, name, code, *parts, **spec):
        """Refused at apply with one line that has these parts, and nothing is left."""
        before = host_state(self.host)
        with self.assertRaises(Refused) as caught:
            self.host.cli("apply", "-f", self.bundle(name, code, **spec))
        self.assertEqual(caught.exception.status, 1)
        message = caught.exception.stderr.strip()
        for part in (name, *parts):
            self.assertIn(part, message)
        self.assertNotIn(name, [agent["name"] for agent in self.host.agents()])
        self.host.settle()
        self.assertEqual(host_state(self.host), before)

    def layer_files(self):
        return glob.glob(os.path.join(self.host.state, "bundles", "*", "app", ".flodea", "module.cwasm"))

    def jobs(self):
        """Machine code that was made so far: each job's output is a file of its own, or the same again."""
        return {path: os.stat(path).st_ino for path in self.layer_files()}

    def damage(self):
        return [event["message"] for event in self.host.events("--kind", "layer.damaged")]

    def damage_at_start(self, name):
        """Starts it, which ends well; what was said of machine code meanwhile."""
        before = len(self.damage())
        self.host.cli("start", name)
        self.host.wait_until(lambda: self.host.inspect(name)["state"].lower().endswith("stopped"), f"{name} does not end well")
        return self.damage()[before:]

    def test_a_module_runs_as_an_agent_and_its_exit_code_is_the_agents(self):
        event, log = self.end_of("plain", (GUESTS / "ends.wasm").read_bytes(), ["exit", "3"], state="failed")
        self.assertIn("exit code 3", event["message"])
        event, log = self.end_of("printing", (GUESTS / "ends.wasm").read_bytes(), ["unflushed"])
        self.assertIn("no line end", log[-1])

    def test_a_trap_is_one_line_of_its_log(self):
        event, log = self.end_of("trapping", (GUESTS / "ends.wasm").read_bytes(), ["divide"], state="failed")
        self.assertIn("exit code 134", event["message"])
        self.assertEqual(sum("trap: " in line for line in log), 1, log)

    def test_memory_at_its_limit_is_the_reason_oom(self):
        event, log = self.end_of("hungry", (GUESTS / "ends.wasm").read_bytes(), ["exhaust"], state="failed")
        self.assertEqual(event["reason"], "oom")

    def test_a_module_that_never_ends_is_ended_by_stop(self):
        self.host.cli("apply", "-f", self.bundle("endless", module(code=FOREVER), stop_timeout="200ms"), "--wait")
        self.host.cli("stop", "endless")
        self.host.wait_until(lambda: self.host.inspect("endless")["state"].lower().endswith("stopped"), "it does not stop")

    def test_bad_modules_are_refused_at_apply_by_name(self):
        good = (GUESTS / "ends.wasm").read_bytes()
        self.refused("truncated", good[:len(good) // 4], "spec.runtime.entrypoint")
        self.refused("magic", b"(module)", "does not begin with")
        self.refused("empty", b"", "is empty")
        self.refused("component", b"\0asm\x0d\0\1\0", "component")
        self.refused("long", b"\0asm\1\0\0\0" + bytes(32 << 20), "may have 33554432")
        imports = section(2, b"\1" + counted(b"env") + counted(b"system") + b"\0\0")
        self.refused("imports", module(imports=imports), "env.system")
        self.refused("greedy", module(memory=b"\1\0\xff\x0f"), "spec.resources.memory", resources={"memory": "16Mi", "disk": "16Mi"})
        self.refused("unstarted", module(start_export=b"main"), "_start")
        self.refused("invalid", module(code=b"\x6a\x0b"), "type mismatch")

    def test_machine_code_is_kept_shared_and_never_trusted_unseen(self):
        code = module(memory=b"\1\0\4")  # 4 pages: no other test has this machine code
        before = self.jobs()
        self.end_of("first", code)
        made = {path: inode for path, inode in self.jobs().items() if path not in before}
        self.assertEqual(len(made), 1)
        [path] = made
        # Another agent, and another start, compile nothing.
        self.end_of("second", code)
        self.assertEqual(self.jobs()[path], made[path])
        # Poisoned, it is found out and made anew, and said.
        original = pathlib.Path(path).read_bytes()
        with open(path, "r+b") as file:
            file.seek(len(original) // 2)
            file.write(bytes([original[len(original) // 2] ^ 0xff]))
        [message] = self.damage_at_start("first")
        self.assertIn("main.wasm", message)
        self.assertEqual(pathlib.Path(path).read_bytes(), original)

    def test_the_same_is_true_of_a_control_that_has_not_seen_it(self):
        code = module(memory=b"\1\0\3")
        before = self.jobs()
        self.end_of("third", code)
        [path] = set(self.jobs()) - set(before)
        kill_and_wait(self.host.service_pid("flodea-control"))
        self.host.wait_services()
        self.host.wait_ready()
        with open(path, "ab") as file:
            file.write(b"more")
        self.assertEqual(len(self.damage_at_start("third")), 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
