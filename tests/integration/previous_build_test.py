"""From the previous commit's build to this one: agents that run under it do not notice the upgrade, and live on with its worker, runtimes
and SDKs under the supervisor of this one, whatever of that is killed, executed again or upgraded. `scripts/previous_build` builds it."""
import os
import sys
import unittest

from flodea_host import BUILD, TREE, Host
from successions import Programs, SuccessionTest, kill_control, kill_flodead, reload
from turns import Fleet, runtimes

PREVIOUS = os.path.join(TREE, "build", "previous")


def content(path):
    with open(path, "rb") as file:
        return file.read()


class PreviousWorker(SuccessionTest):
    @classmethod
    def make_host(cls):
        host = Host()
        cls.programs = Programs(os.path.join(host.base, "programs"), PREVIOUS)
        host.programs = cls.programs.directory
        return host

    def setUp(self):
        self.programs.install(PREVIOUS)
        self.host.cli("reload", "--wait")
        self.fleet = Fleet(self.host, len(runtimes()))
        self.assert_runs(self.fleet, PREVIOUS)

    def tearDown(self):
        self.host.cli("rm", "--all", "--yes")

    def assert_runs(self, fleet, build):
        for name, (worker, agent) in fleet.pids.items():
            self.assertEqual(content(f"/proc/{worker}/exe"), content(os.path.join(build, "flodea-worker")), name)
            if "wasm" in name:
                self.assertEqual(content(f"/proc/{agent}/exe"), content(os.path.join(build, "agent", "bin", "flodea-wasm")), name)

    def test_kill_of_control(self):
        self.rounds(1, kill_control, "flodea-control is up")

    def test_reload(self):
        self.rounds(1, reload, "reloaded, version")

    def test_kill_of_flodead(self):
        self.rounds(1, kill_flodead, "took over from a flodead that was killed")

    def upgrade(self, host):
        self.programs.install(BUILD)
        return reload(host)

    def test_an_upgrade_leaves_them_their_worker_and_starts_others_with_the_new_one(self):
        self.rounds(1, self.upgrade, "reloaded, version")
        self.assert_runs(self.fleet, PREVIOUS)
        for name in self.fleet.names:
            self.host.cli("restart", name)
        self.fleet.remember()
        self.assert_runs(self.fleet, BUILD)


class PreviousSupervisor(SuccessionTest):
    """All of it is the previous commit's, until all of it is replaced."""

    @classmethod
    def make_host(cls):
        host = Host()
        cls.programs = Programs(os.path.join(host.base, "programs"), PREVIOUS, os.path.join(PREVIOUS, "supervisor"))
        host.programs = cls.programs.directory
        return host

    @classmethod
    def prepare(cls):
        cls.fleet = Fleet(cls.host, len(runtimes()))

    def assert_is_of(self, build):
        pids = {"flodead": self.host.pid, **{name: self.host.service_pid(name) for name in ("flodea-control", "flodea-vault")}}
        for name, pid in pids.items():
            self.assertEqual(content(f"/proc/{pid}/exe"), content(os.path.join(build, name)), name)

    def upgrade(self, host):
        self.programs.install(BUILD)
        return reload(host)

    def test_an_upgrade(self):
        self.assert_is_of(os.path.join(PREVIOUS, "supervisor"))
        self.rounds(1, self.upgrade, "reloaded, version")
        self.host.wait_services()
        self.assert_is_of(BUILD)
        self.rounds(1, kill_control, "flodea-control is up")
        self.assertEqual(self.fleet.problems(), [])


if __name__ == "__main__":
    if not os.path.exists(os.path.join(PREVIOUS, "commit")):
        print("scripts/previous_build has built nothing: there is no commit before this one")
        sys.exit(77)
    unittest.main(verbosity=2)
