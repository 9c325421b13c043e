#!/usr/bin/python3
"""How long after the death of something an agent is served again: agent, worker, vault, control, flodead.

Each is killed `--rounds` times under an agent that asks a module every 5 ms. For agent and worker: from the kill to the first answer of the next
instance (restart backoff 200 ms ± 10 %). For the others the agent lives on: how long its longest call took. Promise: docs/specification.md.
"""
import argparse
import os
import re
import signal
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "support"))
from flodea_host import Host, wait_for_end  # noqa: E402

ASKER = """
import flodea, time
first = True
while True:
    began = time.monotonic()
    flodea.clock.now()
    took = (time.monotonic() - began) * 1000
    if first: print("serving", time.time_ns(), flush=True)
    elif took > 20: print(f"paused {took:.1f}", flush=True)
    first = False
    if time.monotonic() % 0.1 < 0.006: print("beat", flush=True)
    time.sleep(0.005)
"""
MUST = {"agent": 300}  # milliseconds, median


def percentile(values, part):
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def of_instance(host, what):
    """Milliseconds from the kill of the agent, or its worker, to the first answer of the next one."""
    with host.follow_logs("asker", "--tail", "0") as log:
        log.wait_for("beat")
        pid = host.agent_pid("asker") if what == "agent" else host.worker_pid("asker")
        killed = time.time_ns()
        os.kill(pid, signal.SIGKILL)
        line = log.wait_for("serving")
        log.wait_for("beat")
    host.cli("start", "asker")  # forgives: the next backoff is the first again
    return (int(re.search(r"serving (\d+)", line)[1]) - killed) / 1e6


def of_service(host, what):
    """The longest call, in milliseconds, around the kill of a service that agents survive."""
    paused = len(pauses(host))
    if what == "flodead":
        control = host.service_pid("flodea-control")
        host.process.kill()
        host.process.wait()
        wait_for_end(control)
        host.start()
    else:
        pid = host.service_pid(f"flodea-{what}")
        os.kill(pid, signal.SIGKILL)
        wait_for_end(pid)
        host.wait_services()
    with host.follow_logs("asker", "--tail", "0") as log:
        for _ in range(3):
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
        host.deploy("asker", ASKER, restart={"policy": "always", "max_retries": 4294967295})
        for what in ("agent", "worker", "vault", "control", "flodead"):
            measure = of_instance if what in ("agent", "worker") else of_service
            took = [measure(host, what) for _ in range(rounds)]
            must = f" (must {MUST[what]})" if what in MUST else ""
            print(f"{what:8} p50 {statistics.median(took):6.0f} ms   p99 {percentile(took, 0.99):6.0f} ms{must}", flush=True)
            failed |= statistics.median(took) > MUST.get(what, float("inf"))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
