"""SIGTERM to flodead at its worst moments, with agents up: control down, the vault down, both, in the middle of a start. It always ends with 0,
and leaves nothing."""
import os
import subprocess
import unittest

from flodea_host import Host, host_state, kill_and_wait

WRITER = """
import flodea, os
fd = os.open(os.path.expanduser("~/file"), os.O_RDWR | os.O_CREAT, 0o600)
while not flodea.agent.stop_requested():
    os.pwrite(fd, b"x" * 65536, 0)
    flodea.store.put(b"n", b"1")
    flodea.clock.sleep(0.005)
"""
ROUNDS = int(os.environ.get("FLODEA_SHUTDOWN_ROUNDS", "3"))


class Shutdown(unittest.TestCase):
    def end_with(self, *victims, times=1):
        before = host_state()
        for _ in range(ROUNDS):
            with Host() as host:
                for name in ("one", "two"):
                    host.deploy(name, WRITER)
                for n in range(times):
                    if n > 0:
                        host.wait_services()
                    for pid in [host.service_pid(victim) for victim in victims]:
                        kill_and_wait(pid)
                host.stop(timeout=40)
            self.assertEqual(host_state(host), before)

    def test_control_is_down(self):
        self.end_with("flodea-control")

    def test_the_vault_is_down(self):
        self.end_with("flodea-vault")

    def test_both_are_down(self):
        self.end_with("flodea-control", "flodea-vault")

    def test_the_vault_and_then_control_are_down(self):
        self.end_with("flodea-vault", "flodea-control")

    def test_control_is_in_a_crash_loop(self):
        self.end_with("flodea-control", times=8)

    def test_both_are_in_a_crash_loop(self):
        self.end_with("flodea-control", "flodea-vault", times=8)

    def test_a_start_is_under_way(self):
        before = host_state()
        for _ in range(ROUNDS):
            with Host() as host:
                host.bundle("one", WRITER)
                command = subprocess.Popen(host.command("apply", "-f", os.path.join(host.base, "agents", "one")), stdout=subprocess.DEVNULL,
                                           stderr=subprocess.DEVNULL)
                host.wait_until(lambda: "to=preparing" in host.log(), "no start")
                host.stop(timeout=40)
                command.wait(timeout=20)
            self.assertEqual(host_state(host), before)


if __name__ == "__main__":
    unittest.main(verbosity=2)
