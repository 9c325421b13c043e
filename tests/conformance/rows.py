"""What is asked of an agent in every language, and how its answer is told: one outcome, a short text, per row."""
import json
import os
import re
import shutil
import subprocess

from flodea_host import TREE

HERE = os.path.dirname(os.path.abspath(__file__))
ENTRYPOINTS = {"python": "main.py", "javascript": "main.mjs", "wasm": "main.wasm"}
RESOURCES = {"memory": "128Mi", "disk": "16Mi", "pids": 64}
ENDED = ("stopped", "failed")
# What differs from run to run, or with the language as it must: shown by its type alone.
VARIABLE = {"wallNanos", "monotonicNanos", "specJson", "cpuNanos", "memoryBytes", "memoryPeakBytes", "diskUsedBytes", "calls", "pids", "nextPageToken"}


def write_bundle(host, language, directory):
    """What the language's agent is made of."""
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
    shutil.copy(os.path.join(HERE, "cases.tsv"), directory)
    entrypoint = ENTRYPOINTS[language]
    source = os.path.join(HERE, "agents", language, entrypoint)
    if language == "wasm":
        source = os.path.join(host.base, entrypoint)
        if not os.path.exists(source):
            sdk = os.path.join(TREE, "sdk", "wasm")
            subprocess.run(["clang", "--target=wasm32-wasi", "-O2", "-I", os.path.join(sdk, "include"), os.path.join(HERE, "agents", "wasm", "main.c"),
                            os.path.join(sdk, "src", "flodea.c"), os.path.join(sdk, "src", "json.c"), "-o", source], check=True)
    shutil.copy(source, directory)


class Agent:
    """One agent of one language, doing one thing."""

    def __init__(self, host, language, mode, *words, **spec):
        self.host, self.language = host, language
        self.name = mode  # the same in each language: it is among what they print
        directory = os.path.join(host.base, "agents", f"{language}-{mode}")
        write_bundle(host, language, directory)
        runtime = {"type": language, "entrypoint": ENTRYPOINTS[language], "args": [mode, *words], **spec.pop("runtime", {})}
        full = {"runtime": runtime, "bundle": ".", "resources": {**RESOURCES, **spec.pop("resources", {})},
                "restart": {"policy": "never"}, "stop_timeout": "2s", **spec}
        manifest = {"apiVersion": "flodea/v1", "kind": "Agent", "metadata": {"name": self.name, "labels": {"case": mode}}, "spec": full}
        with open(os.path.join(directory, "flodea.yaml"), "w") as file:
            json.dump(manifest, file)  # JSON is YAML
        self.directory = directory
        self.events = host.follow_new_events(self.name)

    def __enter__(self):
        self.host.cli("apply", "-f", self.directory)
        return self

    def __exit__(self, *_):
        self.events.close()
        self.host.cli("rm", self.name, check=False)

    def reach(self, *states, timeout=60):
        """Waits for one of these states; the event."""
        return json.loads(self.events.wait_for(lambda line: json.loads(line).get("to") in states and json.loads(line), timeout))

    def hear(self, pattern, timeout=60):
        """Waits for a line of its log; once for an agent, before all else."""
        self.reach("starting")  # from now on there is a log
        with self.host.follow_logs(self.name) as log:
            return log.wait_for(pattern, timeout)

    def end(self):
        """How it ended, as inspect has it."""
        self.reach(*ENDED)
        agent = self.host.inspect(self.name)
        state, reason = agent["state"].removeprefix("STATE_").lower(), agent["reason"]
        if "exit_code" in agent:
            reason = f"{reason} {agent['exit_code']}" if reason == "exit code" else f"{reason}, exit code {agent['exit_code']}"
        return f"{state}, {reason}"

    def message(self):
        """What is said of its state."""
        return self.host.inspect(self.name).get("message", "")

    def lines(self):
        """(stream, text) of each log line of its own."""
        records = [json.loads(line) for line in self.host.cli("-o", "json", "logs", self.name).stdout.splitlines()]
        return [record for record in records if record.get("stream") not in ("system", "STREAM_SYSTEM")]

    def texts(self):
        return [record.get("text", record.get("line", "")) for record in self.lines()]


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def canonical(value):
    if isinstance(value, dict):
        return {name: "…" if name in VARIABLE else canonical(inner) for name, inner in sorted(value.items())}
    return [canonical(inner) for inner in value] if isinstance(value, list) else value


# --- Each function runs agents and gives {row: outcome}. -----------------------------------------------------------


def calls(host, language):
    """Every module call of cases.tsv, in order, in a new store."""
    with Agent(host, language, "cases") as agent:
        end = agent.end()
        outcomes = {}
        for line in agent.texts():
            found = re.match(r'case (".*?") (result|error) (.*)', line)
            if found and found[2] == "result":
                outcomes[json.loads(found[1])] = compact(canonical(json.loads(found[3])))
            elif found:
                outcomes[json.loads(found[1])] = found[3]
        assert end == "stopped, exit code 0", f"{language}: {end}: {agent.texts()[-5:]}"
    with Agent(host, language, "late") as agent:
        agent.end()
        late = agent.texts()
    with open(os.path.join(HERE, "cases.tsv")) as file:
        names = [line.split("\t")[0] for line in file if not line.startswith("#")]
    assert list(outcomes) == names, f"{language}: {set(names) ^ set(outcomes)}"
    return {**outcomes, "sleep for an hour, with a deadline of 0.2 s": late[-1].removeprefix("late ")}


def endings(host, language):
    outcomes = {}
    for row, words in (("exit 0", ("exit", "0")), ("exit 7", ("exit", "7")), ("an error that nothing catches", ("throw",)), ("abort()", ("abort",))):
        with Agent(host, language, *words) as agent:
            outcomes[row] = agent.end()
            if "signal" in outcomes[row]:
                outcomes[row] += f" ({agent.message()})"
    with Agent(host, language, "again", restart={"policy": "on-failure", "max_retries": 2, "backoff": {"initial": "10ms"}}) as agent:
        agent.reach("backoff")
        end = agent.end()
        outcomes["fails once, restart on failure"] = f"{agent.texts()[-1]}; {end}, restarts {agent.host.inspect(agent.name)['restarts']}"
    return outcomes


def stops(host, language):
    outcomes = {}
    for row, mode in (("asked to stop, waits for it (wait_stop)", "stop"), ("SIGTERM, idle, nothing set for it", "idle"),
                      ("SIGTERM, in an endless loop", "busy"), ("SIGTERM ignored, in an endless loop", "deaf")):
        with Agent(host, language, mode) as agent:
            agent.hear("waiting")
            host.cli("stop", agent.name)
            end = agent.end()
            heard = [line for line in agent.texts() if line.startswith("asked")]
            outcomes[row] = "; ".join([*heard, f"{end} ({agent.message()})"])
    return outcomes


def readiness(host, language):
    outcomes = {}
    with Agent(host, language, "ready", readiness={"signal": "self", "timeout": "30s"}) as agent:
        agent.hear("waiting")
        state = agent.reach("running", *ENDED)["to"]
        outcomes["says that it is ready"] = state
    with Agent(host, language, "idle", readiness={"signal": "self", "timeout": "3s"}) as agent:
        outcomes["never says so"] = agent.end()
    return outcomes


def logs(host, language):
    with Agent(host, language, "log") as agent:
        agent.reach(*ENDED)
        told = [(line.get("stream", ""), line.get("text", line.get("line", ""))) for line in agent.lines()]
    shown = [f"{stream.removeprefix('STREAM_').lower()} {compact(re.sub('x{100,}', lambda m: f'<x × {len(m[0])}>', text))}" for stream, text in told]
    of_stdout = [line for line in shown if not line.startswith("stderr")]
    return {"stderr": "; ".join(line for line in shown if line.startswith("stderr")), "stdout, all kinds of lines": "; ".join(of_stdout)}


def surroundings(host, language):
    runtime = {"args": ["surroundings", "", "--x=ü", "two words"], "env": {"LOG": "debug", "EMPTY": ""}}
    with Agent(host, language, "surroundings", runtime=runtime) as agent:
        assert agent.end() == "stopped, exit code 0", agent.texts()
        lines = agent.texts()
    outcomes = {}
    for line in lines:
        name, value = line.split(" ", 1)
        outcomes[name.replace("_", " ")] = compact(json.loads(value))
    return outcomes


def limits(host, language):
    outcomes = {}
    for row, mode in (("memory, by objects", "objects"), ("memory, by buffers", "buffers")):
        with Agent(host, language, mode, resources={"memory": "96Mi"}) as agent:
            agent.reach(*ENDED, timeout=120)
            outcomes[row] = f"ended, {host.inspect(agent.name)['reason']}"
    for row, mode in (("pids: 40", "pids"), ("disk: 16Mi", "disk"), ("open_files: 64", "files")):
        with Agent(host, language, mode, resources={"pids": 40, "open_files": 64} if mode != "disk" else {}) as agent:
            end = agent.end()
            told = [line for line in agent.texts() if line.startswith("refused")]
            assert told, f"{language}, {row}: {end}: {agent.texts()[-3:]}"
            outcomes[row] = told[0].removeprefix("refused ")
    with Agent(host, language, "cpu", resources={"cpu": 0.25}) as agent:
        agent.reach(*ENDED)
        share = float(re.search(r"share ([\d.]+)", "\n".join(agent.texts()))[1])
        outcomes["cpu: 0.25"] = "held" if share < 0.32 else f"not held: {share:.2f}"
    return outcomes


def denials(host, language):
    with Agent(host, language, "denials") as agent:
        end = agent.end()
        found = [re.match(r'attempt (".*?") (.*)', line) for line in agent.texts()]
        outcomes = {json.loads(match[1]): match[2] for match in found if match}
        assert end == "stopped, exit code 0", f"{language}: {end}: {agent.texts()[-3:]}"
    assert "SUCCEEDED" not in outcomes.values(), f"{language}: {outcomes}"
    return outcomes


GROUPS = {"Module calls": calls, "How it ends": endings, "Asked to stop": stops, "Readiness": readiness, "Log": logs, "Surroundings": surroundings,
          "Limits": limits, "What it may not": denials}

# (group, row, language): why it may be another than Python's. One that is no longer needed is an error.
REASONS = {
    ("How it ends", "an error that nothing catches", "wasm"): "C has no exceptions; this is a trap: flodea-wasm writes where it was and ends with 134",
    ("How it ends", "abort()", "wasm"): "a trap: flodea-wasm writes where it was and ends with 134",
    ("Surroundings", "working directory", "wasm"): "WASI has none: wasi-libc starts at the top of the file tree",
    ("Surroundings", "a file of its bundle", "wasm"): "for the same reason: a module names it /app/cases.tsv",
    ("Surroundings", "user", "wasm"): "WASI has no users",
    ("Limits", "pids: 40", "wasm"): "WASI has no processes",
    ("Limits", "open_files: 64", "wasm"): "held by the same limit, of which the engine has some itself; its WASI tells EMFILE as EIO",
    **{("What it may not", row, "wasm"): "the kernel's EROFS, which the engine's WASI tells as EIO" for row in ("write into the host's programs", "write into the SDK")},
    **{("What it may not", row, "wasm"): "WASI has no such call"
       for row in ("make its bundle its own", "kill the worker", "reach an address outside", "make a raw socket")},
    ("What it may not", "make a raw socket", "javascript"): "Node's own library has no such call; the JavaScript intruder tries it through perl",
}
