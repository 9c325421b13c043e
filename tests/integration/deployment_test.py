"""Who starts when, what becomes of a revision that does not run, and agents under memory pressure: through the built programs."""
import json
import os
import signal
import subprocess
import tempfile
import unittest

from flodea_host import Host, Refused, text_of

IDLE = "import flodea\nprint('up', flodea.agent.describe().name, flush=True)\nflodea.agent.wait_stop()\n"
WORKS = "import flodea\nflodea.agent.ready()\nflodea.agent.wait_stop()\n"
MANY = 100  # of ten descriptors of flodead's each, and more: beyond the usual limit of 1,024, and that of a sandbox
READY = {"signal": "self", "timeout": "20s"}


def state_of(host, name):
    return host.inspect(name)["state"]


class Queue(unittest.TestCase):
    def test_dependencies_and_rings(self):
        with Host() as host, host.follow_new_events() as events:
            host.deploy("ledger", IDLE, wait=False, after=["prices"])
            events.wait_event(kind="agent.pending", agent="ledger")
            agent = host.inspect("ledger")
            self.assertEqual(agent["state"], "STATE_PENDING")
            self.assertEqual(agent["message"], "waits for agent prices, which is not there")
            self.assertIn("waits for agent prices", host.cli("ps").stdout)
            with self.assertRaises(Refused) as ring:
                host.deploy("prices", IDLE, after=["ledger"])
            self.assertIn("spec.after", ring.exception.stderr)
            self.assertIn("prices after ledger after prices", ring.exception.stderr)
            host.deploy("prices", WORKS, readiness=READY)
            events.wait_event(kind="agent.state", agent="ledger", to="running")

    def test_room_and_priorities(self):
        with Host("--max-memory", "200Mi") as host, host.follow_new_events() as events:
            large = {"memory": "120Mi", "disk": "16Mi"}
            host.deploy("first", IDLE, resources=large)
            host.deploy("plain", IDLE, wait=False, resources=large)
            events.wait_event(kind="agent.pending", agent="plain")
            host.deploy("urgent", IDLE, wait=False, resources=large, priority=90)
            events.wait_event(kind="agent.pending", agent="urgent")
            self.assertEqual(host.inspect("plain")["message"],
                             "waits for memory: it needs 120Mi, 80Mi of 200Mi are not promised to others")
            host.deploy("small", IDLE, resources={"memory": "32Mi", "disk": "16Mi"})  # who fits is not held up
            host.cli("stop", "first")
            events.wait_event(kind="agent.state", agent="urgent", to="running")
            self.assertEqual(state_of(host, "plain"), "STATE_PENDING")
            # Also after control's death: the queue is made anew from what is stored.
            os.kill(host.service_pid("flodea-control"), 9)
            host.cli("rm", "urgent")
            host.wait_until(lambda: state_of(host, "plain") == "STATE_RUNNING", "plain does not start")
            with self.assertRaises(Refused) as never:
                host.deploy("huge", IDLE, resources={"memory": "201Mi", "disk": "16Mi"})
            self.assertIn("max-memory", never.exception.stderr)


class Many(unittest.TestCase):
    def test_more_agents_than_one_sandbox_may_have_files(self):
        """Each start is made by a copy of flodead, with all that flodead has open."""
        with Host() as host, host.follow_new_events() as events:
            fleet = os.path.join(host.base, "fleet")
            os.mkdir(fleet)
            directory = host.bundle("many", IDLE, resources={"memory": "24Mi", "disk": "16Mi", "open_files": 16})
            with open(os.path.join(directory, "flodea.yaml")) as file:
                manifest = json.load(file)
            os.remove(os.path.join(directory, "flodea.yaml"))
            for i in range(MANY):
                manifest["metadata"]["name"], manifest["spec"]["bundle"] = f"many-{i}", directory
                with open(os.path.join(fleet, f"{i}.yaml"), "w") as file:
                    json.dump(manifest, file)
            host.cli("apply", "-f", fleet)
            for _ in range(MANY):
                events.wait_event(timeout=60, kind="agent.state", to="running")
            self.assertEqual({agent["state"] for agent in host.agents()}, {"STATE_RUNNING"})
            self.assertEqual({agent["generation"] for agent in host.agents()}, {"1"})


class PutBack(unittest.TestCase):
    def test_a_revision_that_does_not_run_is_taken_back(self):
        with Host() as host:
            host.deploy("ledger", WORKS, readiness=READY)
            host.wait_until(lambda: int(host.inspect("ledger").get("proven_revision", 0)) == 1, "it is not proven")
            with self.subTest("it does not get ready"), self.assertRaises(Refused) as refused:
                host.deploy("ledger", "import time\nwhile True: time.sleep(1)\n", readiness={"signal": "self", "timeout": "500ms"})
            self.assertIn("revision 2 failed, revision 1 is put back as revision 3: not ready within 500ms",
                          refused.exception.stderr)
            host.wait_until(lambda: state_of(host, "ledger") == "STATE_RUNNING", "the first revision is not back")
            agent = host.inspect("ledger")
            self.assertEqual((agent["revision"], agent["proven_revision"]), ("3", "3"))
            self.assertEqual(agent["restarts"] if "restarts" in agent else 0, 0)
            with self.subTest("it ends"):
                host.deploy("ledger", "import sys\nsys.exit(9)\n", wait=False, restart={"policy": "never"})
                host.wait_until(lambda: host.inspect("ledger")["revision"] == "5" and state_of(host, "ledger") == "STATE_RUNNING",
                                "the first revision is not back")
            told = host.events("--kind", "agent.put_back")
            self.assertEqual([event["reason"] for event in told], ["health", "exit code"])

    def test_a_rollout_ends_once_its_revision_is_proven(self):
        with Host() as host:
            host.deploy("ledger", WORKS, readiness=READY)
            host.wait_until(lambda: int(host.inspect("ledger").get("proven_revision", 0)) == 1, "it is not proven")
            host.deploy("ledger", WORKS + "# again\n", wait=False, readiness=READY)
            lines = host.cli("rollout", "status", "ledger").stdout.splitlines()
            self.assertEqual(lines[-2:], ["ledger running (revision 2, not proven yet)", "ledger running (revision 2)"])
            self.assertEqual(host.inspect("ledger")["proven_revision"], "2")
            with self.subTest("apply --wait"):
                host.deploy("ledger", WORKS + "# and again\n", readiness=READY)
                self.assertEqual(host.inspect("ledger")["proven_revision"], "3")
            with self.subTest("it ran, and ends before it is proven"), host.follow_new_events() as events:
                directory = host.bundle("ledger", WORKS + "# the last\n", readiness=READY)
                applying = subprocess.Popen(host.command("apply", "-f", directory, "--wait"), stdout=subprocess.DEVNULL,
                                            stderr=subprocess.PIPE, text=True)
                events.wait_event(agent="ledger", to="running")
                os.kill(host.agent_pid("ledger"), signal.SIGKILL)
                _, error = applying.communicate(timeout=60)
                self.assertEqual(applying.returncode, 1)
                self.assertIn("revision 4 failed, revision 3 is put back as revision 5: killed by SIGKILL", error)


class Pressure(unittest.TestCase):
    def test_idle_agents_of_low_priority_are_frozen_and_go_on(self):
        with tempfile.NamedTemporaryFile("w", suffix=".pressure") as pressure:
            def press(percent):
                pressure.seek(0)
                pressure.write(f"some avg10={percent:.2f} avg60=0.00 avg300=0.00 total=1\n".ljust(80))
                pressure.flush()

            press(0)
            os.chmod(pressure.name, 0o644)
            napper = """
import flodea
while True:
    flodea.clock.sleep(4)  # each answer is to an agent that is frozen, but one that comes too early
    print("awake", flush=True)
"""
            with Host("--pressure", pressure.name) as host, host.follow_new_events() as events:
                host.deploy("usual", IDLE)
                host.deploy("low", IDLE, priority=10)
                press(60)
                events.wait_event(kind="agent.frozen", agent="low")
                self.assertTrue(host.inspect("low")["frozen"])
                self.assertIn("frozen", host.cli("ps").stdout)
                self.assertIn("frozen 1", text_of(frozen_file(host, "low")))
                self.assertFalse(host.inspect("usual")["frozen"])
                host.cli("stop", "low")  # not after its grace, nor by a kill
                self.assertEqual(host.inspect("low").get("exit_code", 0), 0)
                host.cli("start", "low")
                events.wait_event(kind="agent.frozen", agent="low")
                host.deploy("napper", napper, priority=10)
                events.wait_event(kind="agent.frozen", agent="napper")
                events.wait_event(kind="agent.thawed", agent="napper")  # its sleep is over, whatever the pressure
                with host.follow_logs("napper") as log:
                    log.wait_for("awake")
                press(0)
                events.wait_event(kind="agent.thawed", agent="low")


def frozen_file(host, name):
    pid = host.worker_pid(name)
    path = [line.split(":", 2)[2] for line in text_of(f"/proc/{pid}/cgroup").splitlines() if line.startswith("0::")][0]
    mounts = [line.split() for line in text_of("/proc/self/mountinfo").splitlines()]
    root = [fields[4] for fields in mounts if " - cgroup2 " in " ".join(fields)][0]
    return root + path + "/cgroup.events"


if __name__ == "__main__":
    unittest.main(verbosity=2)
