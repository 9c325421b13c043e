"""Every process of Flodea and of its agents is killed at once, at random points under load, and the supervisor is started again: each agent
is back in its desired state with all that was acknowledged to it, and at the end nothing is left on the host."""
import os
import random
import re
import signal
import unittest

from flodea_host import Host, host_state, wait_for_end

ROUNDS = int(os.environ.get("FLODEA_KILL_ALL_ROUNDS", "4"))
WRITERS = int(os.environ.get("FLODEA_KILL_ALL_AGENTS", "4"))

# What it prints as acknowledged was acknowledged before; what it finds at its start is what is left of that.
WRITER = """
import flodea, itertools
try: n = int(flodea.store.get("n").value)
except flodea.NotFound: n = 0
print("found", n, flush=True)
for n in itertools.count(n + 1):
    flodea.store.put("n", str(n))
    print("acknowledged", n, flush=True)
"""
IDLE = "import flodea\nprint('up', flush=True)\nflodea.agent.wait_stop()\n"


def numbers(lines, word):
    return [int(m[1]) for m in (re.search(rf"{word} (\d+)$", line) for line in lines) if m]


class KillAll(unittest.TestCase):
    def test_everything_at_once(self):
        before = host_state()
        points = random.Random(4711)
        host = Host().start()
        try:
            resources = {"memory": "64Mi", "disk": "16Mi", "cpu": 0.5}
            for i in range(WRITERS):
                host.deploy(f"writer-{i}", WRITER, restart={"policy": "always"}, resources=resources)
            host.deploy("idle", IDLE)
            host.deploy("stopped", IDLE)
            host.cli("stop", "stopped")
            for self.starts in range(1, ROUNDS + 1):
                self.one_round(host, points)
            host.stop()
        finally:
            host.__exit__(None, None, None)
        self.assertEqual(host_state(host), before, "something is left on the host")

    def one_round(self, host, points):
        # The load decides when: after so many more acknowledged writes of one of them.
        with host.follow_logs(f"writer-{points.randrange(WRITERS)}", "--tail", "0") as log:
            for _ in range(points.randrange(1, 60)):
                log.wait_for("acknowledged")
        doomed = host.own_processes()
        points.shuffle(order := sorted(doomed))
        for pid in order:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # one that its parent's death took along
        host.process.wait()
        for pid in doomed:
            wait_for_end(pid)
        host.start()
        for i in range(WRITERS):
            name = f"writer-{i}"
            with host.follow_logs(name) as log:  # from its beginning: it may have written much since its start
                for _ in range(self.starts + 1):
                    log.wait_for("found")
                log.wait_for("acknowledged")
            lines = host.logs(name)
            start = max(i for i, line in enumerate(lines) if "found" in line)
            promised = numbers(lines[:start], "acknowledged")
            found = numbers(lines[start:start + 1], "found")[0]
            self.assertGreaterEqual(found, max(promised, default=0), f"{name} lost what was acknowledged")
        host.wait_until(lambda: host.inspect("idle")["state"] == "STATE_RUNNING", "the idle agent does not run again")
        self.assertEqual(host.inspect("stopped")["state"], "STATE_STOPPED")


if __name__ == "__main__":
    unittest.main(verbosity=2)
