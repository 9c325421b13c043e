"""Agents that count: about ten times a second a call of a module (those in Python: some) and a line of their log, in each runtime; and what can be said of them after
something of the supervisor was killed, replaced or executed again."""
import json
import os
import re
from datetime import datetime, timezone
from typing import NamedTuple

from flodea_host import BUILD, Lines

# Beside the call that may be sent again, a write with a key, which happens once (or its version would not be the one asked for), and a
# write without: that one may be unknown to have happened, once the supervisor is another. `ms` is of the longest of them.
PYTHON = """
import base64, flodea, time

def plain():
    try: return int(flodea.store.get("plain").value)
    except flodea.NotFound: return 0

def write_plain(n):
    try:
        flodea.call("flodea.storage.v1.Store/Put",
                    {"key": base64.b64encode(b"plain").decode(), "value": base64.b64encode(str(n).encode()).decode()})
        return True
    except flodea.Unavailable as error:
        print("not known:", error, flush=True)
        return False

def timed(call, *arguments):
    global took
    began = time.monotonic()
    try: return call(*arguments)
    finally: took = max(took, (time.monotonic() - began) * 1000)

n = version = kept = 0
while not flodea.agent.stop_requested():
    n += 1
    took, said = 0, "ok"
    try:
        timed(flodea.clock.now)
        version = timed(lambda: flodea.store.put("keyed", str(n), if_version=version))
        if timed(plain) != kept: said = f"plain is {plain()}, {kept} was there"
        known = timed(write_plain, n)
        found = timed(plain)
        if found != n and (known or found != kept): said = f"plain is {found}, {n} was written, {kept} was there"
        kept = found
    except Exception as error: said = repr(error)
    print(f"turn {n} ms={took:.1f} {said}", flush=True)
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
OF_AGENT = re.compile(r"^(?:(\S+) \| )?turn ")  # a followed line; with its agent's name where more than one is followed
FOLLOWED = 32  # logs that one `flodea logs -f` follows


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


class Turn(NamedTuple):
    number: int
    ms: float  # of its call
    said: str
    at: float  # when its line was written, as time.time()


class Fleet:
    """`count` agents that count, the runtimes in turn."""

    def __init__(self, host, count, **spec):
        self.host, self.names, self.pids = host, [], {}
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
        for first in range(0, len(self.names), FOLLOWED):
            left = {name: count for name in self.names[first:first + FOLLOWED]}
            with Lines(self.host.command("logs", *left, "-f", "--tail", "1")) as log:
                while any(left.values()):
                    name = log.wait_for(OF_AGENT, timeout)[1] or self.names[first]
                    left[name] = max(0, left[name] - 1)

    def turns(self, name, *arguments):
        lines = [json.loads(line) for line in self.host.cli("-o", "json", "logs", name, *arguments).stdout.splitlines()]
        found = [(TURN.search(line["line"]), line["time"]) for line in lines]
        return [Turn(int(m[1]), float(m[2]), m[3], datetime.fromisoformat(at).timestamp()) for m, at in found if m]

    def turns_since(self, name, moment):
        return self.turns(name, "--since", datetime.fromtimestamp(moment, timezone.utc).isoformat().replace("+00:00", "Z"))

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
            numbers = [turn.number for turn in turns]
            if numbers != list(range(1, len(numbers) + 1)):
                found.append(f"{name}: lines are lost or doubled: {numbers}")
            failed = [turn for turn in turns if turn.said != "ok"]
            if failed:
                found.append(f"{name}: calls failed: {failed[:5]}")
        return found

    def writers(self):
        return [name for name in self.names if name.startswith("turns-python-")]

    def unknown(self):
        """How many writes ended with UNAVAILABLE, as those that have no key may."""
        return sum(line.startswith("not known: UNAVAILABLE") for name in self.writers() for line in self.host.logs(name))

    def longest_calls(self, moment, still):
        """Milliseconds of each agent's longest call since then, without those in which the machine stood still."""
        return [max(turn.ms - still.within(turn.at - turn.ms / 1000, turn.at) * 1000 for turn in self.turns_since(name, moment))
                for name in self.names]

    def served_since(self, moment):
        """When the last of them had its first call since then answered: up to 0.1 s of it are between two of its calls."""
        return max(min(turn.at for turn in self.turns_since(name, moment)) for name in self.names)
