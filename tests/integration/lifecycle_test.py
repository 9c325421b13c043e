"""An agent's life through the built programs: apply, run, logs, stop, start, restart, remove."""
import os
import unittest

from flodea_host import Host, HostTest, PATIENCE, Refused

HELLO = """
import flodea, os, sys
print("hello from", flodea.agent.describe().name)
print("to stderr", file=sys.stderr)
with open(os.path.expanduser("~/count"), "a") as f: f.write("x")
print("runs", len(open(os.path.expanduser("~/count")).read()), flush=True)
flodea.agent.wait_stop()
print("bye")
"""


class Lifecycle(HostTest):
    def test_an_agent_runs_logs_and_stops(self):
        self.host.deploy("hello", HELLO)
        agent = self.host.inspect("hello")
        self.assertEqual(agent["state"], "STATE_RUNNING")
        with self.host.follow_logs("hello") as log:
            log.wait_for("hello from hello")
            log.wait_for("runs 1")
            self.host.cli("stop", "hello")
            log.wait_for("bye")
        self.assertEqual(self.host.inspect("hello")["state"], "STATE_STOPPED")
        self.assertTrue(any("to stderr" in line for line in self.host.logs("hello")), "logs are readable while it is stopped")
        self.host.cli("start", "hello")
        with self.host.follow_logs("hello") as log:
            log.wait_for("runs 2")  # its disk is as it left it
        self.host.cli("restart", "hello")
        with self.host.follow_logs("hello") as log:
            log.wait_for("runs 3")
        removed = self.host.cli("rm", "hello").stdout
        self.assertRegex(removed, "[0-9a-f]{64}")  # the receipt of its key
        with self.assertRaises(Refused) as refused:
            self.host.cli("inspect", "hello")
        self.assertEqual(refused.exception.status, 1)
        self.assertEqual(os.listdir(os.path.join(self.host.state, "volumes")), [])

    def test_following_a_log_ends_with_its_agent(self):
        self.host.deploy("brief", HELLO)
        followers = [self.host.follow_logs("brief") for _ in range(64)]  # as many streams as control serves at a time
        try:
            for follower in followers:
                follower.wait_for("runs 1", timeout=60)
            self.host.cli("rm", "brief")
            for follower in followers:
                self.assertEqual(follower.process.wait(timeout=20 * PATIENCE), 0, "a follower did not end well")
            self.host.deploy("brief", HELLO)
            with self.host.follow_logs("brief") as log:  # the streams that ended have made room
                log.wait_for("runs 1")
            self.host.cli("rm", "brief")
        finally:
            for follower in followers:
                follower.close()

    def test_exit_codes_decide_the_state(self):
        for name, code, state, reason in (("zero", "raise SystemExit(0)", "STATE_STOPPED", "exit code"),
                                          ("seven", "raise SystemExit(7)", "STATE_FAILED", "exit code"),
                                          ("fault", "import os; os.kill(os.getpid(), 11)", "STATE_FAILED", "signal")):
            with self.subTest(name):
                self.host.deploy(name, code, restart={"policy": "never"}, wait=False)
                with self.host.follow_events() as events:
                    events.wait_event(agent=name, to=state.removeprefix("STATE_").lower())
                agent = self.host.inspect(name)
                self.assertEqual((agent["state"], agent["reason"]), (state, reason))
                self.host.cli("rm", name)

    def test_a_failing_agent_is_started_again_and_then_given_up(self):
        self.host.deploy("flaky", "raise SystemExit(3)", wait=False,
                         restart={"policy": "on-failure", "max_retries": 2, "backoff": {"initial": "10ms", "max": "20ms"}})
        with self.host.follow_events() as events:
            events.wait_event(agent="flaky", to="failed", timeout=30)
        agent = self.host.inspect("flaky")
        self.assertEqual(agent["restarts"], 2)
        self.assertEqual(agent["exit_code"], 3)
        self.host.cli("rm", "flaky")

    def test_a_bundle_with_links_arrives_as_it_is(self):
        directory = self.host.bundle("linked", "import os, helper\nprint(helper.WORD, os.readlink('node_modules/.bin/tool'), os.path.samefile('self', '.'), flush=True)\n",
                                     files={"lib/helper.py": "WORD = 'found'\n", "node_modules/tool/cli.js": ""}, restart={"policy": "never"})
        os.mkdir(os.path.join(directory, "node_modules", ".bin"))
        for link, target in (("helper.py", "lib/helper.py"), ("node_modules/.bin/tool", "../tool/cli.js"), ("self", ".")):
            os.symlink(target, os.path.join(directory, link))
        with self.host.follow_new_events("linked") as events:
            self.host.cli("apply", "-f", directory)
            events.wait_event(to="stopped")
        self.assertEqual([line for line in self.host.logs("linked") if not line.startswith("[flodea]")], ["found ../tool/cli.js True"])
        self.host.cli("rm", "linked")

    def test_a_kept_volume_is_listed_until_it_is_destroyed(self):
        directory = self.host.deploy("gone", HELLO)
        before = set(os.listdir(os.path.join(self.host.state, "volumes")))
        self.host.cli("rm", "gone", "--keep-data")
        self.assertEqual(self.host.json("node")["kept_volumes"], {"gone": str(16 << 20)})
        self.assertRegex(self.host.cli("node").stdout, r"kept volume: +gone, 16Mi")
        self.host.cli("apply", "-f", directory, "--wait")
        self.assertEqual(self.host.json("node")["kept_volumes"], {})
        self.assertRegex(self.host.cli("rm", "gone").stdout, r"^gone removed, its key destroyed \(sha256 [0-9a-f]{64}\)$")
        self.assertEqual(len(before - set(os.listdir(os.path.join(self.host.state, "volumes")))), 1)
        self.assertEqual(self.host.json("node")["kept_volumes"], {})

    def test_events_are_printed_from_a_time_on(self):
        self.host.deploy("early", HELLO)
        last = self.host.events("early")[-1]
        self.host.cli("stop", "early")
        since = self.host.events("early", "--since", last["time"])
        self.assertEqual(since[0], last)  # at or after that time
        self.assertEqual((since[-1]["agent"], since[-1]["to"]), ("early", "stopped"))
        self.assertEqual(self.host.cli("events", "--since", "2100-01-01T00:00:00Z").stdout, "")
        self.assertIn("early", self.host.cli("events", "early", "--since", "1h").stdout)
        self.host.cli("rm", "early")

    def test_the_node_shows_every_service_from_the_start(self):
        services = {s["name"]: s for s in self.host.json("node")["services"]}
        self.assertEqual(sorted(services), ["flodea-control", "flodea-vault", "flodead"])
        self.assertTrue(all(s["up"] for s in services.values()), services)

    def test_the_same_manifest_again_changes_nothing(self):
        directory = self.host.deploy("same", HELLO)
        generation = self.host.inspect("same")["generation"]
        self.assertIn("unchanged", self.host.cli("apply", "-f", directory).stdout)
        self.assertEqual(self.host.inspect("same")["generation"], generation)
        self.host.cli("rm", "same")


if __name__ == "__main__":
    unittest.main(verbosity=2)
