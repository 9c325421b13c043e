#!/usr/bin/python3
"""How long a cold start takes: Start received by control (its event "preparing") to the first line of agent code, volume present.

For each engine in turn, within one run: the bare engine with the agent's own flags and environment, the same under bwrap (namespaces, no
overlay, no seccomp, no cgroup), and a Flodea agent. Medians. Promises: docs/specification.md.
"""
import argparse
import dataclasses
import datetime
import os
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "support"))
from flodea_host import BUILD, Host  # noqa: E402


@dataclasses.dataclass
class Engine:
    """What is measured, and what is promised of it."""
    name: str
    command: list  # what runs a program without Flodea, as the agent's launch plan has it
    entrypoint: str
    runtime: dict
    memory: str
    bare: str  # without Flodea: the time, by the clock that is the same everywhere (CLOCK_REALTIME), and a line with it
    agent: str | bytes  # the same first, then a module's answer, the time, a line with both, exit code 1
    environment: dict
    times_bare: float  # the first line, at most
    over_bwrap: float | None = None  # milliseconds more than under bwrap, less than; None: nothing is promised
    bare_name: str = ""  # where another engine stands in for it


def guest(name):
    """A module of bench/guests; empty where this build has none."""
    path = os.path.join(BUILD, "bench", "guests", f"{name}.wasm")
    return open(path, "rb").read() if os.path.exists(path) else b""


ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "TMPDIR": "/tmp", "LANG": "C.UTF-8"}
NODE_FIRST = "const now = () => Math.round((performance.timeOrigin + performance.now()) * 1e6), first = now();\n"
ENGINES = [
    Engine("python3", ["/usr/bin/python3"], "main.py", {"type": "python"}, "64Mi",
           "import time; first = time.time_ns()\nprint('first', first, flush=True)\n",
           "import time; first = time.time_ns()\nimport flodea\nflodea.clock.now()\nanswer = time.time_ns()\nprint('first', first, 'answer', answer, flush=True)\nraise SystemExit(1)\n",
           {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": os.path.join(BUILD, "agent", "sdk", "python")}, 2.0, 10),
    Engine("node", ["/usr/bin/node", "--max-old-space-size=48", "--max-semi-space-size=2"], "main.mjs", {"type": "javascript"}, "96Mi",
           NODE_FIRST + "console.log('first', first);\n",
           NODE_FIRST + "const flodea = await import('flodea');\nawait flodea.clock.now();\nconst answer = now();\n"
           "console.log('first', first, 'answer', answer);\nprocess.exitCode = 1;\n", {}, 1.4),
    # No engine runs modules outside of Flodea on every host: Python stands in, as small as it can be.
    Engine("wasm", ["/usr/bin/python3", "-I", "-S"], "main.wasm", {"type": "wasm"}, "32Mi",
           "import time; first = time.time_ns()\nprint('first', first, flush=True)\n", guest("first"), {}, 1.5, bare_name="python3 -I -S"),
]
BWRAP = ["bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib",
         "--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]


def run_once(prefix, engine, script):
    """Milliseconds from just before the process is made to the first line of its code."""
    begin = time.time_ns()
    out = subprocess.run([*prefix, *engine.command, script], env={**ENVIRONMENT, **engine.environment}, capture_output=True, text=True, check=True).stdout
    return (int(out.split()[1]) - begin) / 1e6


def event_time(event):
    """A protobuf timestamp in JSON ("2026-…123456789Z") in nanoseconds: datetime alone would lose the last digits."""
    text = event["time"].rstrip("Z")
    whole, _, fraction = text.partition(".")
    seconds = datetime.datetime.fromisoformat(whole).replace(tzinfo=datetime.timezone.utc).timestamp()
    return int(seconds) * 10**9 + int((fraction + "0" * 9)[:9])


def start_round(host, events, name):
    """(first line, first answer) in milliseconds, of a start that the command line asks for and of the one that follows by the restart policy.

    The agent ends by itself; events and log are read afterwards. While the first of the two goes on, the command that asked for it is still
    ending, which takes it a CPU; nothing of ours runs beside the second."""
    host.cli("start", name)
    events.wait_event(agent=name, to="failed")
    stream = host.events(name, "--tail", "20")
    received = [event_time(event) for event in stream if event.get("to") == "preparing"][-2:]
    figures = []
    for begin, line in zip(received, host.logs(name, "--tail", "2"), strict=True):
        _, first, _, answer = line.split()[-4:]
        figures.append(((int(first) - begin) / 1e6, (int(answer) - begin) / 1e6))
    if not all(0 < first < answer < 60_000 for first, answer in figures):
        raise AssertionError(f"the log's lines are not those of these starts: {figures}")
    return *figures, {p["name"]: int(p["nanos"]) / 1e6 for p in host.inspect(name).get("start_phases", [])}


def measure(host, events, engine, rounds):
    """Medians in milliseconds by what they are of, and those of the start's phases."""
    names = ["bare", "bwrap", "first line", "first line, command beside it", "first module answer"]
    figures, phases = {name: [] for name in names}, {}
    agent = f"bench-{engine.name}"
    script = os.path.join(host.base, f"bare-{engine.entrypoint}")
    with open(script, "w") as file:
        file.write(engine.bare)
    host.deploy(agent, engine.agent, wait=False, runtime={**engine.runtime, "entrypoint": engine.entrypoint},
                resources={"memory": engine.memory, "disk": "128Mi"},
                restart={"policy": "on-failure", "max_retries": 1, "backoff": {"initial": "100ms", "max": "100ms"}})
    events.wait_event(agent=agent, to="failed")
    inside = "/" + os.path.basename(script)
    for _ in range(rounds):
        (asked, _), (first, answer), steps = start_round(host, events, agent)
        bare, bwrap = run_once([], engine, script), run_once([*BWRAP, "--ro-bind", script, inside], engine, inside)
        for name, ms in zip(names, (bare, bwrap, first, asked, answer), strict=True):
            figures[name].append(ms)
        for name, ms in steps.items():
            phases.setdefault(name, []).append(ms)
    return [{name: statistics.median(values) for name, values in each.items()} for each in (figures, phases)]


def report(engine, medians, phases):
    """Whether its promises hold."""
    bare = medians["bare"]
    for name, ms in medians.items():
        label = f"{name} {engine.bare_name or engine.name}" if name in ("bare", "bwrap") else name
        print(f"{label:30} {ms:7.2f} ms   {ms / bare:.2f} x bare")
    for name, ms in phases.items():
        print(f"    phase {name:24} {ms:7.3f} ms")
    ratio, over = medians["first line"] / bare, medians["first line"] - medians["bwrap"]
    held = ratio <= engine.times_bare and (engine.over_bwrap is None or over < engine.over_bwrap)
    also = "" if engine.over_bwrap is None else f" (promise < {engine.over_bwrap})"
    print(f"{engine.name}: first line {ratio:.2f} x bare (promise {engine.times_bare}), {over:+.2f} ms over bwrap{also}: {'held' if held else 'BROKEN'}",
          flush=True)
    return held


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=50, help="rounds (default 50)")
    parser.add_argument("engines", nargs="*", help=f"which of {', '.join(e.name for e in ENGINES)} (default: all)")
    options = parser.parse_args()
    chosen = [engine for engine in ENGINES if engine.agent and (not options.engines or engine.name in options.engines)]
    with Host() as host, host.follow_new_events() as events:
        held = [report(engine, *measure(host, events, engine, options.n)) for engine in chosen]
    return 0 if held and all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
