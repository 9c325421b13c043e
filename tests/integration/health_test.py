"""What probes and beats see, and what comes of it: the real supervisor, real probes, nothing that sleeps to wait."""
import os
import re
import signal
import unittest
from datetime import datetime
from itertools import pairwise

from flodea_host import HostTest, children_of, kill_and_wait, links_of, text_of

IDLE = "import flodea\nprint('up', flodea.agent.describe().generation, flush=True)\nflodea.agent.wait_stop()\n"
SMALL = {"memory": "64Mi", "disk": "16Mi"}
SOON = {"initial": "10ms", "max": "10ms"}
RESTART = {"policy": "always", "backoff": SOON}


def probe(*command, every="100ms", timeout="2s", failures=3):
    return {"exec": {"command": list(command), "every": every, "timeout": timeout, "failures": failures}}


class Health(HostTest):
    def test_an_agent_whose_probe_starts_failing_is_restarted_with_what_it_said(self):
        with self.host.follow_new_events() as events:
            # Well in its first life until the file is there; in the next, the file is gone with /tmp.
            self.host.deploy("checked", "import flodea, os, time\nprint('up', flush=True)\n"
                             "if flodea.agent.describe().generation == 1:\n    flodea.clock.sleep(1)\n    open('/tmp/broken', 'w').close()\nflodea.agent.wait_stop()\n",
                             restart=RESTART, liveness=probe("sh", "-c", "if [ -e /tmp/broken ]; then echo it is broken; exit 3; fi"))
            event = events.wait_event(agent="checked", kind="agent.health")
            self.assertEqual(event["message"], "liveness probe: exit code 3: it is broken")
            stopping = events.wait_event(agent="checked", to="stopping")
            self.assertEqual(stopping["reason"], "health")
            self.assertEqual(stopping["message"], "liveness probe: exit code 3: it is broken (3 of 3)")
            backoff = events.wait_event(agent="checked", to="backoff")
            self.assertEqual(backoff["reason"], "health")
            events.wait_event(agent="checked", to="running")
        agent = self.host.inspect("checked")
        self.assertEqual(agent["restarts"], 1)
        self.host.cli("rm", "checked")

    def test_a_probe_that_hangs_ends_the_agent_and_leaves_no_process(self):
        with self.host.follow_new_events() as events:
            # In its first life; in the next, the file is gone with /tmp.
            self.host.deploy("hanging", "import flodea\nif flodea.agent.describe().generation == 1: open('/tmp/hang', 'w').close()\n" + IDLE,
                             restart=RESTART, wait=False,
                             liveness=probe("sh", "-c", "[ ! -e /tmp/hang ] || { echo waiting; sleep 3600 & wait; }", timeout="300ms"))
            event = events.wait_event(agent="hanging", to="stopping", timeout=40)
            # What it printed is told if it got the CPU to print it, and that it got none if so.
            self.assertRegex(event["message"], r"^liveness probe: no end within 300ms.*\(3 of 3\)$")
            events.wait_event(agent="hanging", to="running")
        names = [text_of(f"/proc/{pid}/comm").strip() for pid in self.host.own_processes()]
        self.assertIn("flodea-worker", names)
        self.assertNotIn("sleep", names)
        self.host.cli("rm", "hanging")

    def test_readiness_by_probe_and_start_up_before_it(self):
        with self.host.follow_new_events() as events:
            self.host.deploy("web", "import flodea, time\nfor name in ('started', 'ready'):\n    flodea.clock.sleep(0.5)\n    open('/tmp/' + name, 'w').close()\n    print(name, flush=True)\n"
                             "flodea.agent.wait_stop()\n",
                             startup=probe("test", "-e", "/tmp/started", failures=1000),
                             readiness={"signal": "probe", "timeout": "20s", **probe("test", "-e", "/tmp/ready", failures=1)})
            events.wait_event(agent="web", to="running")
        agent = self.host.inspect("web")
        self.assertEqual((agent["health"]["startup"], agent["health"]["readiness"]), ("ok", "ok"))
        self.assertIn("readiness probe:", self.host.cli("inspect", "web").stdout)
        self.host.cli("rm", "web")

    def test_an_agent_that_is_not_ready_any_more_runs_on_and_ps_says_so(self):
        code = ("import flodea, os, signal\nsignal.signal(signal.SIGUSR1, lambda *_: os.unlink('/tmp/ready'))\n"
                "open('/tmp/ready', 'w').close()\nflodea.agent.wait_stop()\n")
        with self.host.follow_new_events() as events:
            self.host.deploy("busy", code, readiness={"signal": "probe", **probe("test", "-e", "/tmp/ready", failures=1)})
            events.wait_event(agent="busy", to="running")
            os.kill(self.host.agent_pid("busy"), signal.SIGUSR1)
            events.wait_event(agent="busy", kind="agent.health", message="readiness probe: exit code 1")
        self.assertRegex(self.host.cli("ps").stdout, r"busy +running \(not ready\)")
        self.host.cli("rm", "busy")

    def test_a_start_up_probe_that_never_succeeds_ends_the_agent(self):
        with self.host.follow_new_events() as events:
            self.host.deploy("never", IDLE, wait=False, restart={"policy": "never"}, startup=probe("false", failures=5))
            event = events.wait_event(agent="never", to="failed")
        self.assertEqual((event["reason"], event["message"]), ("health", "start-up probe: exit code 1 (5 of 5)"))
        self.host.cli("rm", "never")

    def test_an_agent_that_stops_beating_is_restarted_and_one_that_beats_is_not(self):
        # It sleeps by itself: a control that stands still is not to end its beats.
        beats = ("import flodea, time\nfor _ in range({}):\n    print('beat', time.time(), flush=True)\n    flodea.agent.beat()\n    time.sleep(0.3)\n"
                 "flodea.agent.wait_stop()\n")
        with self.host.follow_new_events() as events:
            self.host.deploy("steady", beats.format(1000), restart=RESTART, liveness={"beat": "1s"})
            self.host.deploy("tired", beats.format(4), restart=RESTART, liveness={"beat": "1s"})
            event = events.wait_event(agent="tired", to="stopping")
            self.assertEqual((event["reason"], event["message"]), ("health", "no beat for 1s"))
            events.wait_event(agent="tired", to="running")
        ends = [datetime.fromisoformat(event["time"]).timestamp() for event in self.host.events("steady") if event.get("to") == "stopping"]
        if ends:  # the machine stood still: it did not beat for a second
            at = [float(line.split()[-1]) for line in self.host.logs("steady") if "beat" in line]
            at = [time for time in at if time < ends[0]] + ends[:1]
            self.assertGreaterEqual(max(after - before for before, after in pairwise(at)), 1, at)
        else:
            self.assertEqual(self.host.inspect("steady")["health"]["liveness"], "ok")
            self.assertEqual(self.host.inspect("steady").get("restarts", 0), 0)
        for name in ("steady", "tired"):
            self.host.cli("rm", name)

    def test_a_starved_agent_is_not_taken_for_a_hung_one(self):
        # Both probes take far longer than they may: one for want of CPU, with five busy neighbours in its own group; the other
        # for no such reason.
        starved = {"cpu": "0.02", "pids": 32, **SMALL}
        spin = ("import os\nfor _ in range(5):\n    if os.fork() == 0:\n        while True: pass\nprint('up', flush=True)\n"
                "import signal\nsignal.pause()\n")
        with self.host.follow_new_events() as events:
            self.host.deploy("starved", spin, resources=starved, restart=RESTART, liveness=probe("python3", "-c", "pass", timeout="500ms", failures=2))
            event = events.wait_event(agent="starved", kind="agent.health", timeout=40)
            self.assertRegex(event["message"], "no end within 500ms.*starved of CPU: not counted")
            self.host.deploy("hung", IDLE, restart=RESTART, wait=False, liveness=probe("sleep", "3600", timeout="500ms", failures=2))
            events.wait_event(agent="hung", to="stopping", reason="health", timeout=40)
        agent = self.host.inspect("starved")
        self.assertEqual((agent["state"], agent.get("restarts", 0)), ("STATE_RUNNING", 0), agent)
        for name in ("starved", "hung"):
            self.host.cli("rm", name)

    def test_probes_go_on_without_control_and_the_next_one_judges_them(self):
        code = ("import flodea\nprint('up', flush=True)\nwhile flodea.agent.describe().name and not __import__('os').path.exists('/tmp/late'):\n"
                "    flodea.agent.beat()\n    flodea.clock.sleep(0.1)\nflodea.agent.wait_stop()\n")
        count = "echo x >> /tmp/runs; [ $(wc -l < /tmp/runs) -lt 60 ] || { echo enough; exit 1; }"
        with self.host.follow_new_events() as events:
            self.host.deploy("kept", code, restart=RESTART, liveness=probe("sh", "-c", count))
            events.wait_event(agent="kept", to="running")
        before = self.host.agent_pid("kept")
        kill_and_wait(self.host.service_pid("flodea-control"))
        self.host.wait_services()
        self.host.wait_ready()
        with self.host.follow_events() as events:
            event = events.wait_event(agent="kept", to="stopping", timeout=40)
        self.assertEqual((event["reason"], event["message"]), ("health", "liveness probe: exit code 1: enough (3 of 3)"))
        self.assertEqual(event["generation"], "1")
        self.assertTrue(before)
        self.host.cli("rm", "kept")

    def test_the_prober_has_the_rights_of_the_agent(self):
        self.host.deploy("held", IDLE, liveness=probe("true"))
        with self.host.follow_logs("held") as log:
            log.wait_for("up")
        agent, prober = children_of(self.host.worker_pid("held"))[:2]
        self.assertEqual(text_of(f"/proc/{prober}/comm").strip(), "flodea-prober")
        for key in ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters"):
            one, other = (re.search(rf"^{key}:(.*)$", text_of(f"/proc/{pid}/status"), re.M)[1] for pid in (agent, prober))
            self.assertEqual(one, other, key)
        self.assertEqual(text_of(f"/proc/{agent}/cgroup"), text_of(f"/proc/{prober}/cgroup"))
        held = list(links_of(prober).values())  # a run under way has a descriptor more: of the probe's output, or of the probe itself
        self.assertEqual(len([link for link in held if link.startswith("socket:")]), 1, held)
        self.assertFalse([link for link in held if not re.match(r"/dev/null$|socket:|pipe:|anon_inode:\[pidfd\]$", link)], held)
        self.host.cli("rm", "held")

    def test_an_agent_that_kills_its_prober_harms_its_own_health_alone(self):
        with self.host.follow_new_events() as events:
            self.host.deploy("rash", "import flodea, os, signal\nprint('up', flush=True)\nflodea.clock.sleep(0.5)\n"
                             "if flodea.agent.describe().generation == 1: os.kill(-1, signal.SIGKILL)\nflodea.agent.wait_stop()\n",
                             restart=RESTART, liveness=probe("true"))
            event = events.wait_event(agent="rash", to="stopping")
            self.assertEqual(event["message"], "liveness probe: what runs its probes was killed (3 of 3)")
            events.wait_event(agent="rash", to="running")
        self.host.cli("rm", "rash")

    def test_what_cannot_be_probed_is_refused(self):
        for spec, said in (({"liveness": {"exec": {"command": ["true"]}, "beat": "1s"}}, "spec.liveness"),
                           ({"liveness": {"beat": "1ms"}}, "spec.liveness.beat"),
                           ({"startup": {"exec": {"command": []}}}, "spec.startup.exec.command"),
                           ({"readiness": {"signal": "probe"}}, "spec.readiness.exec.command"),
                           ({"readiness": {"exec": {"command": ["true"]}}}, "spec.readiness.exec"),
                           ({"runtime": {"type": "wasm", "entrypoint": "m.wasm"}, "liveness": probe("true")}, "")):
            with self.subTest(spec=spec):
                directory = self.host.bundle("refused", "", **spec)
                result = self.host.cli("apply", "-f", directory, check=False)
                self.assertNotEqual(result.returncode, 0)
                self.assertIn(said, result.stderr)
        self.assertNotIn("refused", self.host.cli("ps").stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
