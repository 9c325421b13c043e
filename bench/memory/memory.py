#!/usr/bin/python3
"""What Flodea's own processes cost in memory: PSS with nothing running, and what each idle agent adds beyond its interpreter.

Promises (docs/specification.md): flodead ≤ 5 MB, flodea-control ≤ 25 MB; each agent ≤ 1.5 MB over all Flodea processes and its cgroup's kernel memory.
"""
import argparse
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "support"))
from flodea_host import Host, children_of, executable_of, pss_kib  # noqa: E402

IDLE = "import flodea\nflodea.agent.ready()\nflodea.agent.wait_stop()\n"


def flodea_processes(host):
    """pid → program, of flodead and everything below it that is Flodea's own (not the interpreters)."""
    found, todo = {}, [host.process.pid]
    while todo:
        pid = todo.pop()
        name = os.path.basename(executable_of(pid))
        if name.startswith("flodea"):
            found[pid] = name
            todo += children_of(pid)
    return found


def total_kib(host):
    return sum(pss_kib(pid) for pid in flodea_processes(host))


def kernel_kib(host, names):
    """Kernel memory charged to the agents' cgroups: v1's kmem counter, or `kernel` of v2's memory.stat."""
    total = 0
    for name in names:
        with open(f"/proc/{host.worker_pid(name)}/cgroup") as file:
            groups = file.read()
        v1 = re.search(r"^\d+:memory:(.*)$", groups, re.M)
        if v1:
            with open(f"/sys/fs/cgroup/memory{v1[1]}/memory.kmem.usage_in_bytes") as file:
                total += int(file.read()) // 1024
        else:
            path = re.search(r"^0::(.*)$", groups, re.M)[1]
            with open(f"/sys/fs/cgroup{path}/memory.stat") as file:
                total += int(re.search(r"^kernel (\d+)$", file.read(), re.M)[1]) // 1024
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=30, help="agents (default 30)")
    count = parser.parse_args().n
    with Host() as host:
        programs = {name: pss_kib(pid) for pid, name in flodea_processes(host).items()}
        empty = total_kib(host)
        names = [f"idle-{i}" for i in range(count)]
        for name in names:
            host.deploy(name, IDLE, resources={"memory": "48Mi", "disk": "16Mi"}, readiness={"signal": "self"})
        each = (total_kib(host) - empty) / count
        kernel = kernel_kib(host, names) / count
        for pid, name in sorted(flodea_processes(host).items(), key=lambda item: item[1])[:4]:
            print(f"with {count} agents: {name} {pss_kib(pid) / 1024:.1f} MB")
        host.cli("node")
    for name, kib in programs.items():
        print(f"{name:16} {kib / 1024:6.1f} MB PSS with nothing running")
    print(f"each agent       {each / 1024:6.2f} MB PSS over all Flodea processes, {kernel / 1024:.2f} MB kernel memory of its cgroup")
    held = programs["flodead"] <= 5 * 1024 and programs["flodea-control"] <= 25 * 1024 and each + kernel <= 1.5 * 1024
    print("promises (5 MB, 25 MB, 1.5 MB):", "held" if held else "BROKEN")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
