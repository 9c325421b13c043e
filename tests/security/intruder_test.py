"""The intruders of the examples, and a look at the sandbox from the outside."""
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from flodea_host import BUILD, Host, PATIENCE, TREE

# Where the JavaScript intruder's attempts are held by nothing: root's own namespaces, with an interface, a route and another process.
OUTSIDE = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--uts", "--ipc", "--net", "sh", "-c",
           "ip link add v0 type veth peer name v1 && ip addr add 192.0.2.2/24 dev v0 && ip link set v0 up && ip link set v1 up && "
           '/usr/bin/node outside.mjs; exit "$?"']
WASM = os.path.join(BUILD, "agent", "bin", "flodea-wasm")
# Where the module's are: a root of its own with all that it looks for, as root, with another process to see.
OUTSIDE_OF_WASI = ["unshare", "--mount", "--pid", "--fork", "sh", "-c",
                   'mount -t proc proc "$0/proc" && mount -t sysfs -o ro sysfs "$0/sys" && mknod "$0/dev/null" c 1 3 && mknod "$0/dev/random" c 1 8 && mknod "$0/dev/urandom" c 1 9 && '
                   'chroot "$0" /opt/flodea/bin/flodea-wasm --memory 16777216 /app/.flodea/module.cwasm outside; exit "$?"']


def status_of(pid):
    with open(f"/proc/{pid}/status") as file:
        return dict(line.split(":\t", 1) for line in file if ":\t" in line)


class Intruder(unittest.TestCase):
    def attempts_in_the_sandbox(self, name, examples=os.path.join(TREE, "examples")):
        """How many there were; none may succeed, and the memory bomb ends the agent with reason oom."""
        with Host() as host, host.follow_events() as events:
            host.cli("apply", "-f", os.path.join(examples, name))
            events.wait_event(agent=name, reason="oom", timeout=60)
            events.wait_event(agent=name, to="stopped", timeout=60)
            lines = [line for line in host.logs(name) if "flood flood" not in line and "ffffffff" not in line]
            text = "\n".join(lines)
            self.assertNotIn("SUCCEEDED", text)
            attempts = re.search(r"\b(\d+) attempts, 0 succeeded$", lines[-1])
            self.assertTrue(attempts, lines[-1])
            # The line before the bomb may still be in the worker's hands when the kernel ends it all.
            self.assertGreaterEqual(text.count("held "), int(attempts[1]) - 1)
            self.assertEqual(host.inspect(name)["restarts"], 1)
            return int(attempts[1])

    def test_no_attempt_succeeds_and_the_memory_bomb_ends_with_reason_oom(self):
        self.assertGreaterEqual(self.attempts_in_the_sandbox("intruder"), 70)

    def test_no_attempt_in_javascript_succeeds_and_each_would_without_the_sandbox(self):
        with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:  # /tmp: one attempt mounts over it
            copy = os.path.join(directory, "intruder")
            shutil.copytree(os.path.join(TREE, "examples", "intruder-js"), copy)
            shutil.copytree(os.path.join(BUILD, "agent", "node_modules"), os.path.join(copy, "node_modules"))
            done = subprocess.run(OUTSIDE, cwd=copy, env={**os.environ, "HOME": directory}, capture_output=True, text=True,
                                  timeout=120 * PATIENCE)
        self.assertEqual(done.returncode, 0, done.stderr[-2000:])
        self.assertNotIn("held ", done.stdout, "it proves nothing where it is held without a sandbox too")
        counts = re.search(r"(\d+) not tried, (\d+) attempts, \2 succeeded$", done.stdout.strip())
        self.assertTrue(counts, done.stdout[-500:])
        # And the memory bomb, which the sandbox's limit alone ends.
        self.assertEqual(self.attempts_in_the_sandbox("intruder-js"), int(counts[1]) + int(counts[2]) + 1)

    @unittest.skipUnless(os.path.exists(WASM), "this build has no WebAssembly runtime")
    def test_no_attempt_of_a_module_succeeds_and_each_would_without_the_sandbox(self):
        with tempfile.TemporaryDirectory() as directory:
            code = os.path.join(directory, "app", ".flodea", "module.cwasm")
            for path in ("app/.flodea", "data", "dev", "etc", "opt/flodea/bin", "proc", "root", "sys", "usr/bin", "var/lib/flodea"):
                os.makedirs(os.path.join(directory, path))
            for path in ("app/flodea.yaml", "etc/shadow", "etc/passwd", "root/kept", "var/lib/flodea/state.db"):
                with open(os.path.join(directory, path), "w") as file:
                    file.write("of others")
            shutil.copy(WASM, os.path.join(directory, "opt/flodea/bin"))
            with open(os.path.join(BUILD, "examples", "intruder-wasm", "intruder.wasm"), "rb") as module, open(code, "wb") as out:
                subprocess.run([os.path.join(BUILD, "flodea-wasmc")], stdin=module, stdout=out, check=True)
            done = subprocess.run([*OUTSIDE_OF_WASI, directory], capture_output=True, text=True, timeout=120 * PATIENCE)
        self.assertEqual(done.returncode, 0, done.stdout[-2000:] + done.stderr[-300:])
        counts = re.search(r"(\d+) not tried, (\d+) attempts, \2 succeeded$", done.stdout.strip())
        self.assertTrue(counts, done.stdout[-500:])
        # And memory without end, which the sandbox's limit alone ends.
        made = self.attempts_in_the_sandbox("intruder-wasm", os.path.join(BUILD, "examples"))
        self.assertEqual(made, int(counts[1]) + int(counts[2]) + 1)

    def test_the_sandbox_is_as_documented_from_the_outside(self):
        with Host() as host:
            host.deploy("seen", "import flodea; flodea.agent.wait_stop()")
            worker, agent = host.worker_pid("seen"), host.agent_pid("seen")
            for pid in (worker, agent):
                for namespace in ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time"):
                    self.assertNotEqual(os.readlink(f"/proc/{pid}/ns/{namespace}"), os.readlink(f"/proc/self/ns/{namespace}"), namespace)
            status = status_of(agent)
            for field in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
                self.assertEqual(int(status[field], 16), 0, field)
            self.assertEqual(status["NoNewPrivs"].strip(), "1")
            self.assertEqual(status["Seccomp"].strip(), "2")
            worker_status = status_of(worker)
            self.assertEqual(int(worker_status["CapEff"], 16), 0xE0, "the worker keeps KILL, SETGID and SETUID of its own namespace")
            self.assertEqual(worker_status["Seccomp"].strip(), "2")
            self.assertNotEqual(status["Uid"].split()[0], worker_status["Uid"].split()[0])
            self.assertGreaterEqual(int(status["Uid"].split()[0]), 1879048192)
            with open("/proc/self/mountinfo") as mounts:
                self.assertNotIn(host.base, "".join(mounts), "nothing of it is attached in the host's mount namespace")


if __name__ == "__main__":
    unittest.main(verbosity=2)
