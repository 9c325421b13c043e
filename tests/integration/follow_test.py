"""Who follows hears all of it once, although the supervisor, or a part of it, is killed or replaced meanwhile."""
import json
import re
import unittest

from flodea_host import PATIENCE, HostTest, Lines
from successions import kill_control, kill_flodead, reload

WAIT = "import flodea; flodea.agent.wait_stop()"
COUNT = """
import flodea, itertools
for n in itertools.count(1):
    print("line", n, flush=True)
    if flodea.agent.wait_stop(0.02) is not None: break
"""
ROUNDS = 3


class Follow(HostTest):
    def events_and_agents_go_on(self, act):
        self.host.deploy("first", WAIT)
        with self.host.follow_new_events() as events, \
                Lines(self.host.command("-o", "json", "ps", "-w")) as agents:
            agents.wait_for("TYPE_SYNCED")
            for n in range(ROUNDS):
                act(self.host)
                self.host.cli("restart", "first")  # while the followers find their way back, or before
                self.host.deploy(f"more-{n}", WAIT)
                events.wait_event(agent=f"more-{n}", to="running", timeout=40)
                agents.wait_for(lambda line, n=n: json.loads(line)["agent"]["name"] == f"more-{n}" and "STATE_RUNNING" in line, 40)
            self.host.cli("rm", "more-0")
            events.wait_event(agent="more-0", kind="agent.removed")
            agents.wait_for(lambda line: "TYPE_REMOVED" in line and json.loads(line)["agent"]["name"] == "more-0")
            self.heard_once(events.seen)
            self.know_all(agents.seen)
        self.host.cli("rm", "--all", "--yes")

    def heard_once(self, events):
        seen = [json.loads(line) for line in events]
        ids = [int(event["id"]) for event in seen]
        self.assertEqual(ids, list(range(ids[0], ids[0] + len(ids))), "events are lost or come twice")
        recorded = self.host.events()
        self.assertEqual(seen, [event for event in recorded if int(event["id"]) in ids])

    def know_all(self, changes):
        state = {}
        for change in map(json.loads, changes):
            if change["type"] == "TYPE_REMOVED":
                state.pop(change["agent"]["name"], None)
            elif change["type"] != "TYPE_SYNCED":
                state[change["agent"]["name"]] = change["agent"]["state"]
        self.assertEqual(state, {agent["name"]: agent["state"] for agent in self.host.agents()})

    def a_log_goes_on(self, act):
        self.host.deploy("counts", COUNT)
        with self.host.follow_logs("counts") as log:
            log.wait_for("line 5$")
            for n in range(ROUNDS):
                act(self.host)
                last = int(re.search(r"\d+", log.seen[-1])[0])
                log.wait_for(f"line {last + 50}$", 40)
            numbers = [int(line.split()[1]) for line in log.seen if line.startswith("line")]
            self.assertEqual(numbers, list(range(1, len(numbers) + 1)), "lines are lost or come twice")
            self.host.cli("rm", "counts")
            self.assertEqual(log.process.wait(timeout=20 * PATIENCE), 0)
            self.assertEqual(len(re.findall("the supervisor is away", log.process.stderr.read())), 1)

    def test_events_and_agents_after_control_was_killed(self):
        self.events_and_agents_go_on(kill_control)

    def test_events_and_agents_after_a_reload(self):
        self.events_and_agents_go_on(reload)

    def test_events_and_agents_after_flodead_was_killed(self):
        self.events_and_agents_go_on(kill_flodead)

    def test_a_log_after_control_was_killed(self):
        self.a_log_goes_on(kill_control)

    def test_a_log_after_a_reload(self):
        self.a_log_goes_on(reload)

    def test_a_log_after_flodead_was_killed(self):
        self.a_log_goes_on(kill_flodead)

    def test_a_watch_by_label_hears_of_those_alone(self):
        with Lines(self.host.command("-o", "json", "ps", "-w", "-l", "team=x")) as agents:
            agents.wait_for("TYPE_SYNCED")
            self.host.deploy("unlabelled", WAIT)
            self.host.cli("rm", "unlabelled")
            self.assertEqual(len(agents.seen), 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
