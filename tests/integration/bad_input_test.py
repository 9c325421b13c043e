"""What people get wrong: one clear message that names the field and the remedy, the right exit status, nothing half made."""
import os
import re
import socket
import subprocess
import tempfile
import unittest

from flodea_host import BUILD, Host, HostTest, Refused

GOOD = """apiVersion: flodea/v1
kind: Agent
metadata: {name: NAME}
spec:
  runtime: {type: python, entrypoint: main.py}
  bundle: .
"""


class BadInput(HostTest):
    number = 0

    def directory(self, manifest=GOOD, files=()):
        BadInput.number += 1
        path = os.path.join(self.host.base, f"bad-{BadInput.number}")
        os.makedirs(path)
        for name, text in (("main.py", "import flodea; flodea.agent.wait_stop()"), ("flodea.yaml", manifest.replace("NAME", f"bad-{BadInput.number}")), *files):
            with open(os.path.join(path, name), "w") as file:
                file.write(text)
        return path

    def refused(self, path, *wanted, status=1):
        with self.assertRaises(Refused) as caught:
            self.host.cli("apply", "-f", path)
        self.assertEqual(caught.exception.status, status, caught.exception.stderr)
        for text in wanted:
            self.assertRegex(caught.exception.stderr, text)
        self.assertLessEqual(len(caught.exception.stderr.strip().splitlines()), 6, caught.exception.stderr)
        self.assertEqual([a for a in self.host.agents() if a["name"].startswith("bad-")], [])
        self.assertEqual([d for d in os.listdir(os.path.join(self.host.state, "bundles")) if d.startswith(".") and d != ".layers"], [])
        self.assertEqual(os.listdir(os.path.join(self.host.state, "bundles", ".layers")), [])
        self.assertEqual(os.listdir(os.path.join(self.host.state, "volumes")), [])

    def spec(self, line):
        return self.directory(GOOD + "  " + line + "\n")

    def test_manifests(self):
        for manifest, wanted in (
                (GOOD + "  resorces: {memory: 64Mi}\n", ["resorces", "resources", r"\b7\b"]),
                (GOOD + "  resources: {memory: [1]}\n", ["memory"]),
                (GOOD + "  resources: {memory: 64Mo}\n", ["memory", "64Mi"]),
                (GOOD + "  resources: {pids: many}\n", ["pids"]),
                (GOOD + "  stop_timeout: 5\n", ["stop_timeout", "5s"]),
                (GOOD + "  resources: {memory: 64Mi}\n  resources: {memory: 1Gi}\n", ["resources", "(?i)duplicate|twice"]),
                (GOOD + "---\nkind: Agent\n", ["(?i)document"]),
                (GOOD.replace("NAME", "a/b"), ["name"]),
                (GOOD.replace("main.py", "missing.py"), ["entrypoint", "missing.py"]),
                (GOOD.replace("main.py", "../main.py"), ["entrypoint"]),
                (GOOD.replace("python", "pyton"), ["type", "python"]),
                (GOOD.replace("flodea/v1", "flodea/v9"), ["api_?[vV]ersion"]),
                (GOOD + "  resources: {memory: 1Mi}\n", ["memory", "24Mi"]),
                (GOOD + "  resources: {memory: 900Gi}\n", ["memory"]),
                (GOOD + "  resources: {disk: 900Ti}\n", ["disk"]),
                (GOOD + "  resources: {cpu: 500}\n", ["cpu"]),
                ("a: &a [1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b,*b,*b]\n", ["(?i)alias|anchor|unknown"]),
                ("{", ["."])):
            with self.subTest(manifest[-60:]):
                self.refused(self.directory(manifest), *wanted)

    def test_bundles(self):
        def link(target):
            path = self.directory()
            os.symlink(target, os.path.join(path, "link"))
            return path
        self.refused(link("/etc/passwd"), "link")
        self.refused(link("../../outside"), "link")
        path = self.directory()
        os.mknod(os.path.join(path, "device"), 0o600 | 0o020000, os.makedev(1, 3))
        self.refused(path, "device")
        path = self.directory()
        os.chmod(os.path.join(path, "main.py"), 0o4755)
        self.refused(path, "setuid")
        path = self.directory()
        with open(os.path.join(path, "huge"), "w") as file:
            file.truncate(10 << 30)
        self.refused(path, "huge|64")
        path = self.directory()
        for i in range(100):
            os.mkdir(os.path.join(path, str(i)))
            for j in range(101):
                open(os.path.join(path, str(i), str(j)), "w").close()
        self.refused(path, "10,?000")

    def test_a_name_that_is_there_with_another_case_or_not_at_all(self):
        for verb in ("inspect", "logs", "start", "stop", "restart", "rm"):
            with self.subTest(verb), self.assertRaises(Refused) as caught:
                self.host.cli(verb, "nobody")
            self.assertEqual(caught.exception.status, 1)
            self.assertIn("nobody", caught.exception.stderr)

    def test_usage_is_2_and_no_supervisor_is_3(self):
        for arguments in (["frobnicate"], ["apply"], ["logs"], ["ps", "--no-such-flag"]):
            self.assertEqual(self.host.cli(*arguments, check=False).returncode, 2, arguments)
        result = subprocess.run([os.path.join(BUILD, "flodea"), "--socket", "/tmp/flodea-nobody.sock", "ps"], capture_output=True, text=True)
        self.assertEqual(result.returncode, 3)
        self.assertIn("/tmp/flodea-nobody.sock", result.stderr)

    def test_another_user_is_refused(self):
        result = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", *self.host.command("ps")], capture_output=True, text=True)
        self.assertEqual(result.returncode, 3)
        self.assertIn("flodea", result.stderr)


class BadHost(unittest.TestCase):
    """The supervisor's own surroundings. It ends, or refuses, with one message."""

    def ends(self, host, *wanted, timeout=60):
        host.start(ready=False)
        status = host.process.wait(timeout=timeout)
        host.process = None
        self.assertNotEqual(status, 0)
        for text in wanted:
            self.assertRegex(host.log(), text)

    def test_a_metrics_port_that_is_taken(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            host = Host("--metrics", address)
            host.start = lambda ready=True: start_with(host, address)
            try:
                self.ends(host, re.escape(address), "--metrics")
            finally:
                host.__exit__(None, None, None)

    def test_settings_that_are_wrong_are_78_and_a_wrong_option_is_2(self):
        with tempfile.TemporaryDirectory() as base:
            def ends(status, text, *arguments):
                directories = ["--state-dir", os.path.join(base, "state"), "--run-dir", os.path.join(base, "run")]
                result = subprocess.run([os.path.join(BUILD, "flodead"), *directories, *arguments], capture_output=True, text=True, timeout=60)
                self.assertEqual(result.returncode, status, result.stderr)
                self.assertRegex(result.stderr, text)
                self.assertEqual(os.listdir(base), settings, "nothing was made")

            settings = []
            ends(2, "--no-such", "--no-such")
            ends(78, "nothing.yaml: No such file", "--config", os.path.join(base, "nothing.yaml"))
            ends(78, "--log-level: .*loud.* is none of trace, debug, info, warn, error", "--log-level", "loud")
            ends(78, "--max-agents: .*0.* is no whole number from 1", "--max-agents", "0")
            settings = ["flodea.yaml"]
            path = os.path.join(base, "flodea.yaml")
            with open(path, "w") as file:
                file.write("max-agents: 4\nlog-level: loud\n")
            os.chmod(path, 0o644)
            ends(78, "flodea.yaml: line 2: log-level", "--config", path)
            os.chmod(path, 0o666)
            ends(78, "can be written by others than root", "--config", path)

    def test_a_truncated_state_db(self):
        host = Host().start()
        try:
            host.deploy("kept", "import flodea; flodea.agent.wait_stop()")
            host.stop()
            path = os.path.join(host.state, "state.db")
            os.truncate(path, os.path.getsize(path) // 2 + 100)
            self.ends(host, "state.db")
        finally:
            host.__exit__(None, None, None)

    def test_the_wrong_node_key(self):
        host = Host().start()
        try:
            host.deploy("locked", "import flodea; flodea.agent.wait_stop()")
            host.cli("stop", "locked")
            host.stop()
            key = os.path.join(host.state, "keys", "node.key")
            os.chmod(key, 0o600)
            with open(key, "r+b") as file:
                file.write(os.urandom(32))
            os.chmod(key, 0o400)
            host.start()
            host.cli("start", "locked", check=False)
            agent = host.inspect("locked")
            self.assertNotEqual(agent["state"], "STATE_RUNNING")
            self.assertRegex(agent.get("message", ""), "node")
            self.assertEqual([a["name"] for a in host.agents()], ["locked"])
        finally:
            host.__exit__(None, None, None)

    def test_two_supervisors_on_one_run_directory(self):
        with Host() as first:
            second = Host(base=first.base)
            second.log_path += ".second"
            self.ends(second, str(first.process.pid))


def start_with(host, address):
    with open(host.log_path, "ab") as log:
        host.process = subprocess.Popen([os.path.join(BUILD, "flodead"), "--state-dir", host.state, "--run-dir", host.run, "--metrics", address],
                                        stderr=log, stdout=log, stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    unittest.main(verbosity=2)
