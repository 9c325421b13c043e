"""Agents that count: ten times a second a call of a module and a line of their log, in each runtime; and what can be said of them after
something of the supervisor was killed, replaced or executed again."""
import os
import re
import statistics

from flodea_host import BUILD

PYTHON = """
import flodea, time
n = 0
while not flodea.agent.stop_requested():
    n += 1
    began, said = time.monotonic(), "ok"
    try: flodea.clock.now()
    except Exception as error: said = repr(error)
    print(f"turn {n} ms={(time.monotonic() - began) * 1000:.1f} {said}", flush=True)
    flodea.clock.sleep(0.1)
"""
JAVASCRIPT = """
import * as flodea from "flodea";
let stopped = false;
flodea.agent.waitStop().then(() => { stopped = true; });
for (let n = 1; !stopped; ++n) {
  const began = performance.now();
  let said = "ok";
  try { await flodea.clock.now(); } catch (error) { said = String(error); }
  console.log(`turn ${n} ms=${(performance.now() - began).toFixed(1)} ${said}`);
  await new Promise((resolve) => setTimeout(resolve, 100));
}
process.exit(0);
"""
GUEST = os.path.join(BUILD, "tests", "wasm", "turns.wasm")
TURN = re.compile(r"turn (\d+) ms=([\d.]+) (.*)")


def runtimes():
    """Those that this build has, by name: (manifest's runtime, memory, code)."""
    found = {"python": ({"type": "python", "entrypoint": "main.py"}, "64Mi", PYTHON),
             "javascript": ({"type": "javascript", "entrypoint": "main.mjs"}, "96Mi", JAVASCRIPT)}
    if os.path.exists(GUEST):
        with open(GUEST, "rb") as file:
            found["wasm"] = ({"type": "wasm", "entrypoint": "main.wasm"}, "16Mi", file.read())
    return found


def percentile(values, part):
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


class Fleet:
    """`count` agents that count, the runtimes in turn."""

    def __init__(self, host, count, **spec):
        self.host, self.names, self.pids, self.seen = host, [], {}, {}
        kinds = list(runtimes().items())
        for i in range(count):
            kind, (runtime, memory, code) = kinds[i % len(kinds)]
            name = f"turns-{kind}-{i}"
            host.deploy(name, code, runtime=runtime, resources={"memory": memory, "disk": "16Mi", "cpu": 0.5},
                        restart={"policy": "always"}, **spec)
            self.names.append(name)
        self.remember()

    def remember(self):
        """What must stay as it is from here on."""
        self.pids = {name: (self.host.worker_pid(name), self.host.agent_pid(name)) for name in self.names}

    def wait_turns(self, count, timeout=30):
        """Each agent takes so many more turns, as its log says."""
        for name in self.names:
            with self.host.follow_logs(name, "--tail", "1") as log:
                for _ in range(count):
                    log.wait_for(TURN, timeout)

    def turns(self, name):
        return [(int(m[1]), float(m[2]), m[3]) for m in map(TURN.search, self.host.logs(name)) if m]

    def problems(self):
        """In words, agent by agent: other processes, restarts, lines that are lost or there twice, calls that failed."""
        found = []
        for name in self.names:
            agent = self.host.inspect(name)
            now = (self.host.worker_pid(name), self.host.agent_pid(name))
            if now != self.pids[name]:
                found.append(f"{name}: its processes were {self.pids[name]} and are {now}")
            if int(agent.get("restarts", 0)) != 0 or int(agent["generation"]) != 1:
                found.append(f"{name}: restarted ({agent.get('restarts', 0)} times, generation {agent['generation']})")
            turns = self.turns(name)
            numbers = [number for number, _, _ in turns]
            if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
                found.append(f"{name}: lines are lost or doubled: {numbers}")
            failed = [turn for turn in turns if turn[2] != "ok"]
            if failed:
                found.append(f"{name}: calls failed: {failed[:5]}")
        return found

    def pauses(self):
        """Milliseconds that each call took, of all agents."""
        return [ms for name in self.names for _, ms, _ in self.turns(name)]

    def report(self, what):
        pauses = self.pauses()
        print(f"{what}: {len(self.names)} agents, {len(pauses)} calls, p50 {statistics.median(pauses):.1f} ms, "
              f"p99 {percentile(pauses, 0.99):.1f} ms, longest {max(pauses):.0f} ms", flush=True)
