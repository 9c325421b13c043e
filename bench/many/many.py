#!/usr/bin/python3
"""Many agents: applied at once, how long until all of them run; and what the supervisor's CPU does while they idle.

Promises (docs/specification.md): no start fails; at rest the supervisor (flodead, flodea-control, flodea-vault) takes at most 1 % of a core.
"""
import argparse
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "support"))
from flodea_host import BUILD, Host, text_of  # noqa: E402

PYTHON = "import flodea\nflodea.agent.wait_stop()\n"
JAVASCRIPT = "import * as flodea from 'flodea';\nawait flodea.agent.waitStop();\nprocess.exit(0);\n"
GUEST = os.path.join(BUILD, "bench", "guests", "idle.wasm")
MOST = 0.01  # of a core


def kinds():
    found = [("python", "main.py", "32Mi", PYTHON), ("javascript", "main.mjs", "64Mi", JAVASCRIPT)]
    if os.path.exists(GUEST):
        with open(GUEST, "rb") as file:
            found.append(("wasm", "main.wasm", "8Mi", file.read()))
    return found


def cpu_seconds(pids):
    ticks = 0
    for pid in pids:
        fields = text_of(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=60, help="of rest")
    options = parser.parse_args()
    with Host() as host:
        names = []
        for i in range(options.agents):
            kind, entrypoint, memory, code = kinds()[i % len(kinds())]
            names.append(f"{kind}-{i}")
            directory = host.bundle(names[-1], code, runtime={"type": kind, "entrypoint": entrypoint},
                                    resources={"memory": memory, "disk": "16Mi", "cpu": 1, "pids": 32})
            with open(os.path.join(directory, "flodea.yaml")) as file:
                manifest = json.load(file)
            manifest["spec"]["bundle"] = directory
            os.makedirs(os.path.join(host.base, "fleet"), exist_ok=True)
            with open(os.path.join(host.base, "fleet", f"{names[-1]}.yaml"), "w") as file:
                json.dump(manifest, file)
        with host.follow_new_events() as events:
            began = time.monotonic()
            applied = host.cli("apply", "-f", os.path.join(host.base, "fleet"), check=False, timeout=300)
            refused = applied.stderr.splitlines() if applied.returncode != 0 else []
            for _ in names if not refused else []:
                events.wait_event(timeout=300, kind="agent.state", to="running")
            took = time.monotonic() - began
        agents = host.agents()
        failed = [agent["name"] for agent in agents if agent["state"] != "STATE_RUNNING" or int(agent.get("restarts", 0)) or int(agent["generation"]) != 1]
        print(f"{len(names)} agents applied at once: all run after {took:.1f} s ({took / len(names) * 1000:.0f} ms each); "
              f"refused {len(refused)}, started again {len(failed)}", flush=True)
        for why in refused[:5]:
            print("  " + why.strip())
        services = [host.process.pid, host.service_pid("flodea-control"), host.service_pid("flodea-vault")]
        before, since = [cpu_seconds([pid]) for pid in services], time.monotonic()
        time.sleep(options.seconds)  # rest is what is measured
        passed = time.monotonic() - since
        parts = [(cpu_seconds([pid]) - used) / passed for pid, used in zip(services, before)]
        print(f"at rest: {sum(parts) * 100:.2f} % of a core (must {MOST * 100:.0f} %): "
              + ", ".join(f"{name} {part * 100:.2f} %" for name, part in zip(("flodead", "flodea-control", "flodea-vault"), parts)))
        return 1 if refused or failed or sum(parts) > MOST else 0


if __name__ == "__main__":
    sys.exit(main())
