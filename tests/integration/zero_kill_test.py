"""Control is killed or upgraded, the supervisor executes itself again, or is killed and followed by another: its agents go on. Nothing of
theirs is lost or doubled."""
import contextlib
import os
import sqlite3
import unittest

from flodea_host import Host, HostTest, Refused, executable_of, kill_and_wait, wait_for_end
from successions import Programs, SuccessionTest, SupervisedHost, hang_up, kill_control, kill_flodead, reload
from turns import Fleet

ROUNDS = int(os.environ.get("FLODEA_ZERO_KILL_ROUNDS", "3"))
AGENTS = int(os.environ.get("FLODEA_ZERO_KILL_AGENTS", "4"))


class ZeroKill(SuccessionTest):
    @classmethod
    def make_host(cls):
        host = Host()
        cls.programs = Programs(os.path.join(host.base, "programs"))
        host.programs = cls.programs.directory
        return host

    @classmethod
    def prepare(cls):
        cls.fleet = Fleet(cls.host, AGENTS)

    def test_kill_of_control(self):
        self.rounds(ROUNDS, kill_control, "flodea-control is up")

    def upgrade_control(self, host):
        self.programs.put_another("flodea-control")
        began = reload(host)
        executed = os.stat(f"/proc/{host.service_pid('flodea-control')}/exe")
        self.assertTrue(os.path.samestat(executed, os.stat(self.programs.path("flodea-control"))))
        return began

    def test_upgrade_of_control(self):
        self.rounds(ROUNDS, self.upgrade_control, "reloaded, version")

    def test_reload(self):
        pid, vault = self.host.process.pid, self.host.service_pid("flodea-vault")
        self.rounds(ROUNDS, reload, "reloaded, version")
        self.assertEqual((self.host.process.pid, self.host.service_pid("flodea-vault")), (pid, vault))
        self.assertRegex(self.host.cli("reload", "--wait").stdout, r"^reloaded: version \S+, epoch \d+$")

    def test_hangup_signal(self):
        self.rounds(ROUNDS, hang_up, "reloaded, version")

    def test_kill_of_flodead(self):
        self.rounds(ROUNDS, kill_flodead, "took over from a flodead that was killed")

    def test_reload_after_a_kill(self):
        kill_flodead(self.host)
        self.rounds(ROUNDS, reload, "reloaded, version")


class Supervised(SuccessionTest):
    """flodead's workers are inherited by what stands above it, which starts it again at once."""

    @classmethod
    def make_host(cls):
        return SupervisedHost()

    @classmethod
    def prepare(cls):
        cls.fleet = Fleet(cls.host, AGENTS)

    def test_kill_of_flodead(self):
        self.rounds(ROUNDS, SupervisedHost.kill_flodead, "took over from a flodead that was killed")

    def test_reload(self):
        self.rounds(ROUNDS, reload, "reloaded, version")


class Refusals(HostTest):
    """With a copy of the programs that can be broken."""

    @classmethod
    def make_host(cls):
        host = Host()
        cls.programs = os.path.join(host.base, "programs")
        host.programs = Programs(cls.programs).directory
        return host

    @classmethod
    def prepare(cls):
        cls.fleet = Fleet(cls.host, 2)

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
        before = self.host.json("node")["epoch"]
        self.replace(name, content)
        try:
            with self.assertRaises(Refused) as caught:
                self.host.cli("reload", "--wait")
        finally:
            self.put_back(name)
        self.assertEqual(caught.exception.status, 1)
        self.assertEqual(len(caught.exception.stderr.strip().splitlines()), 1, caught.exception.stderr)
        self.assertIn(why, caught.exception.stderr)
        event = self.host.events("--kind", "service", "--tail", "1")[0]
        self.assertIn("reload refused", event["message"])
        self.assertIn(why, event["message"])
        self.assertEqual(self.host.json("node")["epoch"], before)
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
            host.kill()
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
            host.kill()
            wait_for_end(control)
            kill_and_wait(vault)
            host.start()
            wait_for_end(worker)
            with host.follow_logs("keeper") as log:
                log.wait_for("found False")
                log.wait_for("found True")
                log.wait_for("written")
            self.assertEqual(int(host.inspect("keeper")["generation"]), 2)
            reasons = [event.get("reason") for event in host.events("keeper")]
            self.assertIn("host", reasons)
            self.assertNotIn("lost", reasons)


if __name__ == "__main__":
    unittest.main(verbosity=2)
