"""The supervisor executes itself again, or is killed and followed by another: its agents go on. Nothing of theirs is lost or doubled."""
import contextlib
import json
import os
import shutil
import signal
import sqlite3
import time
import unittest

import flodea_host
from flodea_host import Host, Refused, executable_of, host_state, kill_and_wait, wait_for_end, PATIENCE
from turns import Fleet

ROUNDS = int(os.environ.get("FLODEA_ZERO_KILL_ROUNDS", "3"))
AGENTS = int(os.environ.get("FLODEA_ZERO_KILL_AGENTS", "4"))
LONGEST_PAUSE = 1000  # ms, the 99th of 100 calls


def epoch(host):
    return int(host.json("node")["epoch"])


def last_event(host):
    return int(json.loads(host.cli("-o", "json", "events", "--tail", "1").stdout)["id"])


class ZeroKill(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.before = host_state()
        cls.host = Host().start()
        cls.fleet = Fleet(cls.host, AGENTS)

    @classmethod
    def tearDownClass(cls):
        try:
            cls.host.stop()
        finally:
            cls.host.__exit__(None, None, None)
        assert host_state(cls.host) == cls.before, "something is left on the host"

    def wait_for_event(self, since, message):
        with self.host.follow_events() as events:
            events.wait_for(lambda line: int(json.loads(line)["id"]) == since, timeout=20)
            events.wait_for(lambda line: message in json.loads(line).get("message", ""), timeout=20)

    def rounds(self, act, message):
        for _ in range(ROUNDS):
            self.fleet.wait_turns(3)
            since, before = last_event(self.host), epoch(self.host)
            act()
            self.wait_for_event(since, message)
            self.assertGreater(epoch(self.host), before)
            self.fleet.wait_turns(5)
            self.assertEqual(self.fleet.problems(), [])
        self.fleet.report(message)
        pauses = sorted(self.fleet.pauses())
        self.assertLessEqual(pauses[int(len(pauses) * 0.99)], LONGEST_PAUSE * PATIENCE)

    def test_reload(self):
        pid, vault = self.host.process.pid, self.host.service_pid("flodea-vault")
        says = []
        self.rounds(lambda: says.append(self.host.cli("reload", "--wait").stdout), "reloaded, version")
        for said in says:
            self.assertRegex(said, r"^reloaded: version \S+, epoch \d+$")
        self.assertEqual((self.host.process.pid, self.host.service_pid("flodea-vault")), (pid, vault))

    def hang_up(self):
        took_over = self.host.log().count("state=took-over")
        self.host.process.send_signal(signal.SIGHUP)
        self.host.wait_until(lambda: self.host.log().count("state=took-over") > took_over, "no reload after SIGHUP")

    def test_hangup_signal(self):
        self.rounds(self.hang_up, "reloaded, version")

    def kill_flodead(self):
        control = self.host.service_pid("flodea-control")
        self.host.process.kill()
        self.host.process.wait()
        wait_for_end(control)  # it dies with its parent
        began = time.monotonic()
        self.host.start()
        print(f"flodead killed: {len(self.fleet.names)} agents are answered for again {time.monotonic() - began:.2f} s after the next start")

    def test_kill_of_flodead(self):
        self.rounds(self.kill_flodead, "took over from a flodead that was killed")

    def test_reload_after_a_kill(self):
        self.kill_flodead()
        self.rounds(lambda: self.host.cli("reload", "--wait"), "reloaded, version")


class Refusals(unittest.TestCase):
    """With a copy of the programs that can be broken."""

    @classmethod
    def setUpClass(cls):
        cls.host = Host()
        cls.programs = os.path.join(cls.host.base, "programs")
        os.makedirs(cls.programs)
        for name in os.listdir(flodea_host.BUILD):
            path = os.path.join(flodea_host.BUILD, name)
            if name.startswith("flodea") and os.access(path, os.X_OK) and os.path.isfile(path):
                shutil.copy2(path, os.path.join(cls.programs, name))
        for name in ("policy", "agent"):
            shutil.copytree(os.path.join(flodea_host.BUILD, name), os.path.join(cls.programs, name), symlinks=True)
        cls.host.programs = cls.programs
        cls.host.start()
        cls.fleet = Fleet(cls.host, 2)

    @classmethod
    def tearDownClass(cls):
        try:
            cls.host.stop()
        finally:
            cls.host.__exit__(None, None, None)

    def replace(self, name, content):
        path = os.path.join(self.programs, name)
        os.rename(path, path + ".good")
        if content is not None:
            with open(path, "wb") as file:
                file.write(content)
            os.chmod(path, 0o755)

    def put_back(self, name):
        os.replace(os.path.join(self.programs, name + ".good"), os.path.join(self.programs, name))

    def refused(self, name, content, why):
        before = epoch(self.host)
        self.replace(name, content)
        try:
            with self.assertRaises(Refused) as caught:
                self.host.cli("reload", "--wait")
        finally:
            self.put_back(name)
        self.assertEqual(caught.exception.status, 1)
        self.assertEqual(len(caught.exception.stderr.strip().splitlines()), 1, caught.exception.stderr)
        self.assertIn(why, caught.exception.stderr)
        events = self.host.cli("events", "--tail", "1").stdout
        self.assertIn("reload refused", events)
        self.assertEqual(epoch(self.host), before)
        self.fleet.wait_turns(3)
        self.assertEqual(self.fleet.problems(), [])

    def test_a_program_that_cannot_run(self):
        self.refused("flodead", b"not a program\n", "Exec format error")

    def test_a_program_that_refuses_the_state(self):
        with open("/bin/false", "rb") as file:
            self.refused("flodead", file.read(), "exit status 1")

    def test_a_control_that_cannot_run(self):
        self.refused("flodea-control", b"not a program\n", "flodea-control")

    def test_a_control_that_cannot_read_the_state(self):
        """As after a downgrade: what the running control has written is of a later schema."""
        with contextlib.closing(sqlite3.connect(os.path.join(self.host.state, "state.db"))) as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            self.host.cli("reload", "--wait")
            db.execute(f"PRAGMA user_version={version + 1}")
            try:
                with open(os.path.join(self.programs, "flodea-control"), "rb") as file:
                    self.refused("flodea-control", file.read(), f"was written by a later Flodea (schema {version + 1}")
            finally:
                db.execute(f"PRAGMA user_version={version}")

    def test_a_program_that_is_not_there(self):
        self.refused("flodea-vault", None, "open flodea-vault")

    def test_an_upgrade_runs_the_new_programs(self):
        old = {name: self.host.service_pid(name) for name in ("flodea-control", "flodea-vault")}
        for name in ("flodead", "flodea-control", "flodea-vault"):
            with open(os.path.join(self.programs, name), "rb") as file:
                content = file.read()
            self.replace(name, content)
        self.host.cli("reload", "--wait")
        self.host.wait_services()
        self.fleet.wait_turns(5)
        self.assertEqual(self.fleet.problems(), [])
        for name, pid in old.items():
            self.assertNotEqual(self.host.service_pid(name), pid)
        for pid in (self.host.process.pid, self.host.service_pid("flodea-control"), self.host.service_pid("flodea-vault")):
            self.assertFalse(os.readlink(f"/proc/{pid}/exe").endswith((".good", " (deleted)")), executable_of(pid))


class AnotherCgroup(unittest.TestCase):
    """After a kill flodead may be started from another session: its agents' groups are where they were."""

    def setUp(self):
        with open("/proc/self/mountinfo") as file:
            mounts = [line.split()[4] for line in file if " - cgroup" in line]
        mounts = [mount for mount in mounts if os.path.basename(mount) != "cpuset"]  # a new one has no CPU to run on
        self.groups = [os.path.join(mount, f"flodea-test-{os.getpid()}") for mount in mounts]
        for group in self.groups:
            os.makedirs(group, exist_ok=True)

    def tearDown(self):
        for group in self.groups:
            for inner, _, _ in os.walk(group, topdown=False):
                os.rmdir(inner)

    def test_agents_go_on(self):
        with Host() as host:
            fleet = Fleet(host, 1)
            fleet.wait_turns(3)
            host.process.kill()
            host.process.wait()
            enter = " && ".join(f"echo $$ > {group}/cgroup.procs" for group in self.groups)
            host.within = ("sh", "-c", enter + ' && exec "$@"', "sh")
            before = host.group
            host.start()
            self.assertEqual(host.group, before)
            fleet.wait_turns(3)
            self.assertEqual(fleet.problems(), [])
            host.cli("reload", "--wait")
            fleet.wait_turns(3)
            self.assertEqual(fleet.problems(), [])


class AllButTheWorkers(unittest.TestCase):
    def test_agents_are_ended_and_started_again_with_their_data(self):
        keep = """
import flodea, os
path = os.path.expanduser("~/kept")
print("found", os.path.exists(path), flush=True)
with open(path, "w") as file:
    file.write("x"); file.flush(); os.fsync(file.fileno())
print("written", flush=True)
flodea.agent.wait_stop()
"""
        with Host() as host:
            host.deploy("keeper", keep, restart={"policy": "always"})
            with host.follow_logs("keeper") as log:
                log.wait_for("written")
            worker, vault = host.worker_pid("keeper"), host.service_pid("flodea-vault")
            control = host.service_pid("flodea-control")
            host.process.kill()
            host.process.wait()
            wait_for_end(control)
            kill_and_wait(vault)
            host.start()
            wait_for_end(worker)
            with host.follow_logs("keeper") as log:
                log.wait_for("found False")
                log.wait_for("found True")
                log.wait_for("written")
            self.assertEqual(int(host.inspect("keeper")["generation"]), 2)
            reasons = [json.loads(line).get("reason") for line in host.cli("-o", "json", "events", "keeper").stdout.splitlines()]
            self.assertIn("host", reasons)
            self.assertNotIn("lost", reasons)


if __name__ == "__main__":
    unittest.main(verbosity=2)
