#!/usr/bin/python3
"""What an agent notices of an offender beside it: its p50 of Clock.Now, with the offender running and stopped in turn.

The offender calls as fast as it may, floods its log and makes refused system calls. Interleaved pairs, so that the machine's drift cancels.
Promise (docs/specification.md): the p50 moves less than 20 %.
"""
import argparse
import os
import re
import statistics
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "support"))
from flodea_host import Host  # noqa: E402

NEIGHBOUR = """
import flodea, time, statistics
print("ready", flush=True)
calls = []
while not flodea.agent.stop_requested():
    begin = time.perf_counter()
    flodea.clock.now()
    calls.append(time.perf_counter() - begin)
    if len(calls) == 200:
        print(f"p50_us {statistics.median(calls) * 1e6:.1f}", flush=True)
        calls.clear()
        flodea.clock.sleep(0.02)
"""
OFFENDER = """
import flodea, os, ctypes
print("offending", flush=True)
libc = ctypes.CDLL(None)
while True:
    flodea.clock.now()
    libc.mount(b"a", b"/tmp", b"tmpfs", 0, 0)
    os.write(1, b"noise " * 100 + b"\\n")
"""


def p50(host):
    """Median of three windows of 200 calls, the one under way left out."""
    with host.follow_logs("neighbour", "--tail", "0") as log:
        log.wait_for("p50_us")
        return statistics.median(float(log.wait_for(r"p50_us ([\d.]+)")[1]) for _ in range(3))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=20, help="pairs (default 20)")
    pairs = parser.parse_args().n
    quiet, loud = [], []
    with Host() as host:
        small = {"memory": "48Mi", "disk": "16Mi"}
        host.deploy("neighbour", NEIGHBOUR, resources={**small, "calls_per_second": 100000})
        host.deploy("offender", OFFENDER, resources={**small, "cpu": 0.5, "calls_per_second": 500, "log_rate": "256Ki"})
        for _ in range(pairs):
            host.cli("stop", "offender")
            quiet.append(p50(host))
            host.cli("start", "offender")
            with host.follow_logs("offender", "--tail", "1") as log:
                log.wait_for("offending|noise")
            loud.append(p50(host))
    ratio = statistics.median(a / b for a, b in zip(loud, quiet))
    held = ratio < 1.2
    print(f"p50 {statistics.median(quiet):.0f} us alone, {statistics.median(loud):.0f} us beside an offender: {ratio:.2f} x (promise 1.2): {'held' if held else 'BROKEN'}")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
