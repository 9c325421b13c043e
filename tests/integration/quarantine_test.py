"""An agent that flodea-control was at in two crashes in a row is not served again until an operator says so; nobody else notices."""
import os
import signal
import struct
import time
import unittest

from flodea_host import Host, PATIENCE, kill_and_wait, links_of, wait_for_end

# Its write is with control for as long as the vault is stopped.
CULPRIT = """
import flodea
n = 0
while not flodea.agent.stop_requested():
    n += 1
    flodea.store.put(b"n", b"%d" % n)
    print("put", n, flush=True)
    flodea.clock.sleep(0.01)
"""
# A call that takes long is answered by its beginning.
SLEEPER = "import flodea\nprint('sleeps', flush=True)\nflodea.clock.sleep(3600)\n"
CHATTER = """
import flodea
n = 0
while not flodea.agent.stop_requested():
    n += 1
    flodea.clock.now()
    if n % 100 == 0: print("turn", n, flush=True)
    flodea.clock.sleep(0.01)
"""
ROW = struct.Struct("<32sq")  # base/call_marks.h
AT_IT = 2**63 - 1
HELD = 0.05  # s: no call takes so long, but one that waits for the vault


class Quarantine(unittest.TestCase):
    def setUp(self):
        self.host = self.enterContext(Host())
        for name, code in (("culprit", CULPRIT), ("sleeper", SLEEPER), ("chatter", CHATTER)):
            self.host.deploy(name, code)
        self.ids = {name: self.host.inspect(name)["id"] for name in ("culprit", "sleeper", "chatter")}

    def marked(self):
        """The agents that control is at."""
        for number, link in links_of(self.host.pid).items():
            if link.startswith("/memfd:flodea-calls"):
                with open(f"/proc/{self.host.pid}/fd/{number}", "rb") as file:
                    rows = file.read()
                return {agent.decode() for agent, at in ROW.iter_unpack(rows) if at == AT_IT}
        raise AssertionError("flodead has no marks")

    def end_control_in_a_put(self, number):
        """Ends control by a signal while the culprit, and nobody else for longer than an instant, waits for an answer."""
        with self.host.follow_logs("culprit", "--tail", "0") as log:
            log.wait_for(r"put \d+")
        control, vault = self.host.service_pid("flodea-control"), self.host.service_pid("flodea-vault")
        os.kill(vault, signal.SIGSTOP)
        try:
            begin = since = time.monotonic()
            while (marked := self.marked()) != {self.ids["culprit"]} or time.monotonic() - since < HELD:
                if self.ids["culprit"] not in marked:
                    since = time.monotonic()
                self.assertLess(time.monotonic() - begin, 20 * PATIENCE, "no call of the culprit stays unanswered")
            os.kill(control, number)
        finally:
            os.kill(vault, signal.SIGCONT)  # a process ends only once its reads and writes have
        wait_for_end(control)
        self.host.wait_services()

    def generations(self):
        return {agent["name"]: int(agent["generation"]) for agent in self.host.agents()}

    def assert_bystanders_untouched(self):
        for name in ("sleeper", "chatter"):
            agent = self.host.inspect(name)
            self.assertEqual((agent["state"], agent["generation"]), ("STATE_RUNNING", "1"), name)
        with self.host.follow_logs("chatter", "--tail", "0") as log:
            log.wait_for(r"turn \d+")

    def test_two_crashes(self):
        self.end_control_in_a_put(signal.SIGTRAP)  # a sanitizer would make an exit status of SIGSEGV
        self.assertEqual(self.host.inspect("culprit")["state"], "STATE_RUNNING")
        self.assertEqual(self.generations(), {"culprit": 1, "sleeper": 1, "chatter": 1})
        # Two are enough, unless control was at the chatter too both times: between the look at the marks and the signal.
        for _ in range(3):
            self.end_control_in_a_put(signal.SIGABRT)
            culprit = self.host.inspect("culprit")
            if culprit["state"] != "STATE_RUNNING":
                break
        self.assertEqual((culprit["state"], culprit["reason"]), ("STATE_FAILED", "quarantine"))
        self.assertIn("`flodea start culprit`", culprit["message"])
        events = self.host.cli("events", "culprit").stdout
        self.assertIn("quarantine", events)
        self.assert_bystanders_untouched()
        # It is gone, and stays so over controls that are only killed.
        kill_and_wait(self.host.service_pid("flodea-control"))
        self.host.wait_services()
        self.assertEqual(self.host.inspect("culprit")["state"], "STATE_FAILED")
        self.host.cli("start", "culprit")
        with self.host.follow_logs("culprit", "--tail", "0") as log:
            log.wait_for(r"put \d+")
        self.assertEqual(self.generations(), {"culprit": 2, "sleeper": 1, "chatter": 1})

    def test_kills_are_no_crashes(self):
        for _ in range(3):
            self.end_control_in_a_put(signal.SIGKILL)
        self.assertEqual(self.generations(), {"culprit": 1, "sleeper": 1, "chatter": 1})
        self.assert_bystanders_untouched()


if __name__ == "__main__":
    unittest.main(verbosity=2)
