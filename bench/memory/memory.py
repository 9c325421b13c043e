#!/usr/bin/python3
"""What Flodea's own processes cost in memory: PSS with nothing running, and what each idle agent adds beyond its interpreter; and what an
interpreter takes for itself as an idle agent and as a plain program that waits.

Promises (docs/specification.md): flodead ≤ 5 MB, flodea-control ≤ 25 MB; each agent ≤ 1.5 MB over all Flodea processes and its cgroup's kernel memory;
an idle interpreter ≤ 1 MB more private memory than without Flodea, a WebAssembly agent ≤ 0.6 MB.
"""
import argparse
import os
import pathlib
import re
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "support"))
from flodea_host import BUILD, Host, children_of, executable_of, pss_kib  # noqa: E402

IDLE = "import flodea\nflodea.agent.ready()\nflodea.agent.wait_stop()\n"


# Idle by what the language has: the bare program waits too, after it has said that it is there.
ENGINES = {
    "python": (["/usr/bin/python3"], {"type": "python", "entrypoint": "main.py"}, "48Mi", IDLE,
               "import sys\nprint('up', flush=True)\nsys.stdin.read()\n"),
    "node": (["/usr/bin/node", "--max-old-space-size=48", "--max-semi-space-size=2"], {"type": "javascript", "entrypoint": "main.mjs"}, "96Mi",
             'import * as flodea from "flodea";\nawait flodea.agent.ready();\nawait flodea.agent.waitStop();\n',
             "console.log('up'); process.stdin.resume();\n"),
}
# The machine code and its engine are the agent's own process: nothing to compare with, so a bound of its own.
WASM = pathlib.Path(BUILD) / "bench/guests/idle.wasm"
WASM_KIB = 0.6 * 1024


def anonymous_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Anonymous:"))


def bare_kib(command, code, directory, name):
    script = os.path.join(directory, name)
    with open(script, "w") as file:
        file.write(code)
    with subprocess.Popen([*command, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        found = anonymous_kib(process.pid)
        process.stdin.close()
    return found


def engine_memory(host, engine, count):
    """(agent's, bare) private memory in KiB, medians."""
    command, runtime, memory, idle, bare = ENGINES[engine]
    agents, plain = [], []
    for i in range(count):
        name = f"{engine}-{i}"
        host.deploy(name, idle, runtime=runtime, resources={"memory": memory, "disk": "16Mi"}, readiness={"signal": "self"})
        agents.append(anonymous_kib(host.agent_pid(name)))
        plain.append(bare_kib(command, bare, host.base, "bare-" + runtime["entrypoint"]))
        host.cli("rm", name)
    return statistics.median(agents), statistics.median(plain)


def wasm_kib(host, count):
    """Private memory of an idle WebAssembly agent; None where this build has no modules."""
    if not WASM.exists():
        return None
    found = []
    for i in range(count):
        name = f"wasm-{i}"
        host.deploy(name, WASM.read_bytes(), runtime={"type": "wasm", "entrypoint": "main.wasm"}, resources={"memory": "16Mi", "disk": "16Mi"},
                    readiness={"signal": "self"})
        found.append(anonymous_kib(host.agent_pid(name)))
        host.cli("rm", name)
    return statistics.median(found)


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
        engines = {engine: engine_memory(host, engine, 7) for engine in ENGINES}
        module = wasm_kib(host, 7)
    for name, kib in programs.items():
        print(f"{name:16} {kib / 1024:6.1f} MB PSS with nothing running")
    print(f"each agent       {each / 1024:6.2f} MB PSS over all Flodea processes, {kernel / 1024:.2f} MB kernel memory of its cgroup")
    for engine, (agent, bare) in engines.items():
        print(f"idle {engine:11} {agent / 1024:6.2f} MB of its own as an agent, {bare / 1024:.2f} MB bare: {(agent - bare) / 1024:+.2f} MB")
    if module is not None:
        print(f"idle wasm        {module / 1024:6.2f} MB of its own as an agent")
    held = programs["flodead"] <= 5 * 1024 and programs["flodea-control"] <= 25 * 1024 and each + kernel <= 1.5 * 1024
    held = held and all(agent <= bare + 1024 for agent, bare in engines.values())
    held = held and (module is None or module <= WASM_KIB)
    print("promises (5 MB, 25 MB, 1.5 MB, 1 MB, wasm 0.6 MB):", "held" if held else "BROKEN")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
