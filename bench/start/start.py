#!/usr/bin/python3
"""How long a cold start takes: Start received by control (its event "preparing") to the first line of agent code, volume present.

In turn, within one run: bare /usr/bin/python3 with the agent's own flags and environment, the same under bwrap (namespaces, no overlay,
no seccomp, no cgroup), and a Flodea agent. Medians. Promises (docs/specification.md): ≤ 2.0 × bare, < 10 ms more than bwrap.
"""
import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "support"))
from flodea_host import BUILD, Host  # noqa: E402

# What an agent does first. time_ns is the same clock everywhere (CLOCK_REALTIME); the module answer comes after.
FIRST_LINE = "import time; first = time.time_ns()\n"
AGENT = FIRST_LINE + """
import flodea
flodea.clock.now()
answer = time.time_ns()
print("first", first, "answer", answer, flush=True)
raise SystemExit(1)
"""
NAMES = ["bare python3", "bwrap python3", "first line", "first line, command beside it", "first module answer"]
BARE = FIRST_LINE + "print('first', first, flush=True)\n"
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "TMPDIR": "/tmp", "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1",
               "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": os.path.join(BUILD, "agent", "sdk", "python")}
BWRAP = ["bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib",
         "--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]


def run_once(prefix, script):
    """Milliseconds from just before the process is made to the first line of its code."""
    begin = time.time_ns()
    out = subprocess.run([*prefix, "/usr/bin/python3", *script], env=ENVIRONMENT, capture_output=True, text=True, check=True).stdout
    return (int(out.split()[1]) - begin) / 1e6


def event_time(event):
    """A protobuf timestamp in JSON ("2026-…123456789Z") in nanoseconds: datetime alone would lose the last digits."""
    text = event["time"].rstrip("Z")
    whole, _, fraction = text.partition(".")
    seconds = datetime.datetime.fromisoformat(whole).replace(tzinfo=datetime.timezone.utc).timestamp()
    return int(seconds) * 10**9 + int((fraction + "0" * 9)[:9])


def start_round(host, events):
    """(first line, first answer) in milliseconds, of a start that the command line asks for and of the one that follows by the restart policy.

    The agent ends by itself; events and log are read afterwards. While the first of the two goes on, the command that asked for it is still
    ending, which takes it a CPU; nothing of ours runs beside the second."""
    host.cli("start", "bench")
    events.wait_event(agent="bench", to="failed")
    stream = [json.loads(line) for line in host.cli("-o", "json", "events", "bench", "--tail", "20").stdout.splitlines()]
    received = [event_time(event) for event in stream if event.get("to") == "preparing"][-2:]
    figures = []
    for begin, line in zip(received, host.logs("bench", "--tail", "2"), strict=True):
        _, first, _, answer = line.split()[-4:]
        figures.append(((int(first) - begin) / 1e6, (int(answer) - begin) / 1e6))
    if not all(0 < first < answer < 60_000 for first, answer in figures):
        raise AssertionError(f"the log's lines are not those of these starts: {figures}")
    return *figures, {p["name"]: int(p["nanos"]) / 1e6 for p in host.inspect("bench").get("start_phases", [])}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=50, help="rounds (default 50)")
    rounds = parser.parse_args().n
    figures = {name: [] for name in NAMES}
    phases = {}
    with Host() as host, host.follow_events("--tail", "0") as events:
        script = os.path.join(host.base, "bare.py")
        with open(script, "w") as file:
            file.write(BARE)
        host.deploy("bench", AGENT, wait=False, resources={"memory": "64Mi", "disk": "128Mi"},
                    restart={"policy": "on-failure", "max_retries": 1, "backoff": {"initial": "100ms", "max": "100ms"}})
        events.wait_event(agent="bench", to="failed")
        for _ in range(rounds):
            (asked, _), (first, answer), steps = start_round(host, events)
            bare, bwrap = run_once([], [script]), run_once([*BWRAP, "--ro-bind", script, "/app.py"], ["/app.py"])
            for name, ms in zip(NAMES, (bare, bwrap, first, asked, answer)):
                figures[name].append(ms)
            for name, ms in steps.items():
                phases.setdefault(name, []).append(ms)
    medians = {name: statistics.median(values) for name, values in figures.items()}
    for name, ms in medians.items():
        print(f"{name:30} {ms:7.2f} ms   {ms / medians['bare python3']:.2f} x bare")
    for name, values in phases.items():
        print(f"    phase {name:24} {statistics.median(values):7.3f} ms")
    ratio = medians["first line"] / medians["bare python3"]
    over = medians["first line"] - medians["bwrap python3"]
    held = ratio <= 2.0 and over < 10
    print(f"first line {ratio:.2f} x bare (promise 2.0), {over:+.2f} ms over bwrap (promise < 10): {'held' if held else 'BROKEN'}")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
