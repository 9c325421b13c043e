"""kill -9, one at a time, under load: an agent, a worker, control, the vault. The others go on; nothing that was synced or logged is lost."""
import json
import os
import re
import time
import unittest

from flodea_host import HostTest, kill_and_wait, PATIENCE
from standstill import Standstill

ROUNDS = int(os.environ.get("FLODEA_KILL_ROUNDS", "20"))

# Every turn: one synced write to its disk, one write to its store, one call, one line. Prints what a turn took.
LOAD = """
import flodea, os, time
path = os.path.expanduser("~/counter")
def disk():
    try:
        with open(path) as f: return int(f.read() or 0)
    except FileNotFoundError: return 0
def store():
    try: return int(flodea.store.get(b"n").value)
    except flodea.NotFound: return 0
n = max(disk(), store())
print(f"begin disk={disk()} store={store()}", flush=True)
fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
while not flodea.agent.stop_requested():
    n += 1
    begin = time.monotonic()
    os.pwrite(fd, b"%-12d" % n, 0)
    os.fsync(fd)
    flodea.store.put(b"n", b"%d" % n)
    flodea.clock.now()
    print(f"turn {n} ms={(time.monotonic() - begin) * 1000:.1f} at={time.time():.3f}", flush=True)
    flodea.clock.sleep(0.01)
"""
POLICY = {"policy": "always", "max_retries": 1000, "backoff": {"initial": "50ms", "max": "100ms"}}


def losses(lines):
    """What an instance found gone of what an earlier one had logged. A turn is logged once disk and store have it, the disk first."""
    found, last = [], 0
    for line in lines:
        if turn := re.search(r"turn (\d+) ms", line):
            last = int(turn[1])
        if begin := re.search(r"begin disk=(\d+) store=(\d+)", line):
            disk, store = int(begin[1]), int(begin[2])
            if not (last <= store <= disk <= store + 1):
                found.append(f"after turn {last}: {line}")
    return found


class Losses(unittest.TestCase):
    def test_what_is_lost_is_found(self):
        for begin, lost in (("disk=7 store=7", 0), ("disk=8 store=7", 0), ("disk=8 store=8", 0), ("disk=6 store=7", 1),
                            ("disk=7 store=6", 1), ("disk=9 store=7", 1), ("disk=0 store=0", 1)):
            lines = ["x begin disk=0 store=0", "x turn 1 ms=1", "x turn 7 ms=1", "x begin " + begin]
            self.assertEqual(len(losses(lines)), lost, begin)


class Kill(HostTest):
    @classmethod
    def prepare(cls):
        for name in ("victim", "bystander"):
            cls.host.deploy(name, LOAD, restart=POLICY, resources={"memory": "64Mi", "disk": "16Mi", "cpu": 0.5})

    def turns(self, name):
        return [int(m[1]) for m in re.finditer(r"turn (\d+) ms", "\n".join(self.host.logs(name)))]

    def generation(self, name):
        return int(self.host.inspect(name)["generation"])

    def assert_no_turn_lost_or_twice(self, name):
        turns = self.turns(name)
        self.assertEqual(turns, list(range(turns[0], turns[0] + len(turns))), f"lines of {name} are lost or doubled")

    def kill_rounds(self, pid_of, expect_event, restarted, lived=0):
        """Kills ROUNDS times; after each the event is seen, both agents take five more turns, and what was killed is back for `lived` seconds. Streams are opened after the kill:
        a client's own stream ends with the control that served it."""
        others = self.generation("bystander")
        for _ in range(ROUNDS):
            last = int(self.host.events("--tail", "1")[0]["id"])
            kill_and_wait(pid_of())
            with self.host.follow_events() as events:
                events.wait_for(lambda line: int(json.loads(line)["id"]) == last, timeout=20)
                events.wait_event(timeout=20, **expect_event)
                if restarted:
                    events.wait_event(timeout=20, agent="victim", to="running")
            back = time.time()
            for name in ("victim", "bystander"):
                with self.host.follow_logs(name, "--tail", "1") as log:
                    for _ in range(5):
                        log.wait_for(r"turn \d+", timeout=20)
                    while float(log.wait_for(r"at=([\d.]+)", timeout=20)[1]) < back + lived:
                        pass
        self.assertEqual(self.generation("bystander"), others, "the bystander was restarted")
        lines = self.host.logs("victim")
        self.assertGreaterEqual(len([line for line in lines if "begin " in line]), ROUNDS + 1 if restarted else 1)
        self.assertEqual(losses(lines), [], "an instance did not find what the one before had logged")

    def test_an_agent(self):
        self.kill_rounds(lambda: self.host.agent_pid("victim"), {"agent": "victim", "reason": "signal"}, restarted=True)

    def test_a_worker(self):
        self.kill_rounds(lambda: self.host.worker_pid("victim"), {"agent": "victim", "reason": "worker"}, restarted=True)

    def stalls(self, name, begin, still):
        """Milliseconds of each turn after that one, without those in which the machine stood still."""
        found = re.finditer(r"turn (\d+) ms=([\d.]+) at=([\d.]+)", "\n".join(self.host.logs(name)))
        turns = [(float(m[2]), float(m[3])) for m in found if int(m[1]) > begin]
        return [ms - still.within(at - ms / 1000, at) * 1000 for ms, at in turns]

    def supervisor_part(self, binary, service):
        generation, begin = self.generation("victim"), max(self.turns("bystander"), default=0)
        # After a second the next one is started at once: one that keeps dying young waits up to 0.5 s more (supervisor/root/restart_policy.h).
        with Standstill() as still:
            self.kill_rounds(lambda: self.host.service_pid(binary), {"kind": "service"}, restarted=False, lived=1)
            stalls = self.stalls("bystander", begin, still)
        self.assertEqual(self.generation("victim"), generation, f"the death of {binary} restarted an agent")
        self.assert_no_turn_lost_or_twice("bystander")
        print(f"{service}: {ROUNDS} kills, {len(stalls)} turns, longest turn {max(stalls):.0f} ms")
        self.assertLessEqual(max(stalls), 1000 * PATIENCE, "a stall of more than a second")
        for name in ("victim", "bystander"):
            self.assertFalse([line for line in self.host.logs(name) if "Error" in line], "an agent saw an error")

    def test_control(self):
        self.supervisor_part("flodea-control", "control")

    def test_the_vault(self):
        self.supervisor_part("flodea-vault", "vault")


if __name__ == "__main__":
    unittest.main(verbosity=2)
