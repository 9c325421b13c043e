#!/usr/bin/python3
"""How long after the death of something an agent is served again: agent, worker, vault, control, flodead.

Each is killed `--rounds` times under an agent that asks a module and makes a synced write to its disk every 5 ms. For agent and worker: from the kill to the first answer of the next
instance (restart backoff 200 ms ± 10 %). For the others the agent lives on: how long the longest of both took. Promise: docs/specification.md.
"""
import argparse
import os
import re
import signal
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "support"))
from flodea_host import Host, kill_and_wait  # noqa: E402
from successions import kill_control, kill_flodead  # noqa: E402
from turns import percentile  # noqa: E402

ASKER = """
import flodea, os, time
file = os.open(os.path.expanduser("~/state"), os.O_RDWR | os.O_CREAT, 0o600)
first, beat = True, 0
while True:
    began = time.monotonic()
    flodea.clock.now()
    os.pwrite(file, b"x" * 64, 0)
    os.fsync(file)
    took = (time.monotonic() - began) * 1000
    if first: print("serving", time.time_ns(), flush=True)
    elif took > 20: print(f"paused {took:.1f}", flush=True)
    if first or began - beat > 0.1:
        beat = began
        print("beat", flush=True)
    first = False
    time.sleep(0.005)
"""
# Each backoff is as the first.
RESTART = {"policy": "always", "max_retries": 1000000, "backoff": {"initial": "200ms", "max": "200ms"}}
MUST = {"agent": 300}  # milliseconds, median


def of_instance(host, what):
    """Milliseconds from the kill of the agent, or its worker, to the first answer of the next one."""
    with host.follow_logs("asker", "--tail", "0") as log:
        log.wait_for("beat")
        pid = host.agent_pid("asker") if what == "agent" else host.worker_pid("asker")
        killed = time.time_ns()
        os.kill(pid, signal.SIGKILL)
        serving = log.wait_for(r"serving (\d+)")
        log.wait_for("beat")
    return (int(serving[1]) - killed) / 1e6


def kill_vault(host):
    kill_and_wait(host.service_pid("flodea-vault"))
    host.wait_services()


KILL = {"vault": kill_vault, "control": kill_control, "flodead": kill_flodead}


def of_service(host, what):
    """The longest turn, in milliseconds, around the kill of a service that agents survive. The service has lived for more than a second:
    one that keeps dying young is started again after up to 0.5 s more (supervisor/root/restart_policy.h)."""
    paused = len(pauses(host))
    KILL[what](host)
    with host.follow_logs("asker", "--tail", "0") as log:
        for _ in range(12):  # a second, and some more
            log.wait_for("beat")
    return max(pauses(host)[paused:], default=20)


def pauses(host):
    return [float(m[1]) for m in (re.search(r"paused ([\d.]+)", line) for line in host.logs("asker")) if m]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    failed = False
    with Host() as host:
        host.deploy("asker", ASKER, restart=RESTART)
        for what in ("agent", "worker", "vault", "control", "flodead"):
            measure = of_instance if what in ("agent", "worker") else of_service
            took = [measure(host, what) for _ in range(rounds)]
            must = f" (must {MUST[what]})" if what in MUST else ""
            print(f"{what:8} p50 {statistics.median(took):6.0f} ms   p99 {percentile(took, 0.99):6.0f} ms{must}", flush=True)
            failed |= statistics.median(took) > MUST.get(what, float("inf"))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
