#!/usr/bin/python3
"""state.db full against state.db almost empty, through the built programs: `ps` and `events` with and without filters.

Two supervisors with the same 100 agents, all stopped: one with 1,000 events and one revision of each agent, the other with 1,000,000 events
and 100 revisions of each (10,000). Each command is run on both in turn; ratios are of medians. As root:
    bench/state/state.py [rounds, 100]
"""
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "support"))
from flodea_host import Host  # noqa: E402

AGENTS, TEAMS = 100, 10
KINDS = ["agent.state", "agent.state", "agent.state", "agent.limit"]
STOPPED, OPERATOR = 5, 7  # AgentState, Reason
BOUND = 1.5


def fill(host, events, revisions):
    """What a supervisor that ran long would have left. The one agent that is there is the model of the others."""
    db = sqlite3.connect(os.path.join(host.state, "state.db"))
    manifest = json.loads(db.execute("SELECT manifest FROM revisions").fetchone()[0])
    bundle = manifest["spec"]["bundle"]
    db.execute("DELETE FROM agents")
    db.execute("DELETE FROM revisions")
    db.execute("DELETE FROM events")
    db.execute("DELETE FROM event_streams")
    now = time.time_ns()
    columns = [row[1] for row in db.execute("PRAGMA table_info(agents)")]
    for n in range(AGENTS):
        manifest["name"], manifest["labels"] = f"agent-{n:03}", {"team": f"team-{n % TEAMS}"}
        row = dict.fromkeys(columns, 0) | {"id": f"{n:032x}", "name": manifest["name"], "revision": revisions, "created": now, "state": STOPPED,
                                           "reason": OPERATOR, "message": "", "after": None, "exit_code": None, "state_since": now, "boot_id": "",
                                           "observed_revision": revisions, "incarnation": 1, "started_incarnation": 1}
        db.execute(f"INSERT INTO agents ({','.join(row)}) VALUES ({','.join('?' * len(row))})", list(row.values()))
        for revision in range(1, revisions + 1):
            manifest["spec"]["runtime"]["args"] = [str(revision)]
            db.execute("INSERT INTO revisions (agent, revision, manifest, created, author, bundle) VALUES (?,?,?,?,?,?)",
                       (row["id"], revision, json.dumps(manifest), now, "uid 0", bundle))
        for k, kind in enumerate(sorted(set(KINDS))):
            db.execute("INSERT INTO event_streams VALUES (?,?,?,?)", (1 + 2 * n + k, manifest["name"], kind, f"team=team-{n % TEAMS}"))
    place = {kind: k for k, kind in enumerate(sorted(set(KINDS)))}
    begin = now - events * 1_000_000
    db.executemany("INSERT INTO events (id, time, stored, stream, from_state, to_state, reason, message, generation, cause) VALUES (?,?,?,?,?,?,?,?,?,?)",
                   ((i + 1, begin + i * 1_000_000, begin + i * 1_000_000, 1 + 2 * (i * 7 % AGENTS) + place[KINDS[i % len(KINDS)]], "starting", "running",
                     "operator", "message of a usual length, forty characters", i // AGENTS, "uid 0") for i in range(events)))
    db.commit()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def supervisor(events, revisions):
    host = Host().start()
    host.deploy("model", "import flodea; flodea.agent.wait_stop()", resources={"memory": "32Mi", "disk": "16Mi"})
    host.cli("stop", "model")
    host.stop()
    fill(host, events, revisions)
    begin = time.monotonic()
    host.start()
    print(f"{events:>9,} events, {revisions * AGENTS:>6,} revisions: ready in {time.monotonic() - begin:.2f} s, state.db {size(host):.0f} MB")
    return host


def size(host):
    names = ("state.db", "state.db-wal")
    return sum(os.path.getsize(os.path.join(host.state, n)) for n in names if os.path.exists(os.path.join(host.state, n))) / 1e6


def took(host, arguments):
    begin = time.perf_counter()
    result = subprocess.run(host.command(*arguments), capture_output=True, text=True, check=True)
    return time.perf_counter() - begin, result.stdout


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    small, large = supervisor(1_000, 1), supervisor(1_000_000, 100)
    failed = False
    try:
        for arguments in (["ps"], ["ps", "-l", "team=team-3"], ["events", "--tail", "20"], ["events", "agent-042", "--tail", "20"],
                          ["events", "--kind", "agent.limit", "--tail", "20"], ["events", "-l", "team=team-3", "--tail", "20"],
                          ["events", "-l", "team!=team-3", "--kind", "agent.state", "--tail", "20"], ["events", "--since", "10m", "--tail", "20"],
                          ["events", "--until", "8m", "--tail", "20"], ["inspect", "agent-042"]):
            times = {small: [], large: []}
            for _ in range(rounds):
                for host in (small, large):
                    seconds, out = took(host, arguments)
                    times[host].append(seconds)
                    assert out or "--until" in arguments, arguments
            a, b = (statistics.median(times[host]) * 1000 for host in (small, large))
            verdict = "" if b <= BOUND * a else f"  MORE THAN {BOUND} ×"
            failed |= b > BOUND * a
            print(f"flodea {' '.join(arguments):<60} {a:6.1f} ms {b:6.1f} ms  {b / a:.2f} ×{verdict}")
        print(f"afterwards state.db has {size(large):.0f} MB")
    finally:
        for host in (small, large):
            host.stop()
            host.__exit__(None, None, None)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
