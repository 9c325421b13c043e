"""The intruder of the examples, and a look at the sandbox from the outside."""
import os
import unittest

from flodea_host import Host, TREE


def status_of(pid):
    with open(f"/proc/{pid}/status") as file:
        return dict(line.split(":\t", 1) for line in file if ":\t" in line)


class Intruder(unittest.TestCase):
    def test_no_attempt_succeeds_and_the_memory_bomb_ends_with_reason_oom(self):
        with Host() as host, host.follow_events() as events:
            host.cli("apply", "-f", os.path.join(TREE, "examples", "intruder"))
            events.wait_event(agent="intruder", reason="oom", timeout=60)
            events.wait_event(agent="intruder", to="stopped", timeout=60)
            lines = [line for line in host.logs("intruder") if "flood " not in line]
            text = "\n".join(lines)
            self.assertNotIn("SUCCEEDED", text)
            self.assertRegex(lines[-1], r"\b(\d{2,}) attempts, 0 succeeded$")
            self.assertGreaterEqual(text.count("held "), 30)
            denied = host.inspect("intruder")
            self.assertEqual(denied["restarts"], 1)

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
