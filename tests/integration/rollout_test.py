"""Selectors, plan, diff, prune, revisions, rollback and rollout, through the built programs."""
import json
import os
import subprocess
import unittest

from flodea_host import HostTest, Refused

WAIT = "import flodea; flodea.agent.wait_stop()"

STARTS = """
import flodea, os
with open(os.path.expanduser("~/starts"), "a+") as file:
    file.write("x")
    file.seek(0)
    print(len(file.read()), flush=True)
flodea.agent.wait_stop()
"""


class Rollout(HostTest):
    def manifest(self, directory, name, labels=None, code=WAIT, **spec):
        """A manifest DIRECTORY/NAME.yaml with its bundle beside it."""
        path = os.path.join(self.host.base, directory)
        os.makedirs(os.path.join(path, name), exist_ok=True)
        with open(os.path.join(path, name, "main.py"), "w") as file:
            file.write(code)
        full = {"runtime": {"type": "python", "entrypoint": "main.py"}, "bundle": name, "stop_timeout": "1s",
                "resources": {"memory": "64Mi", "disk": "16Mi"}, **spec}
        with open(os.path.join(path, name + ".yaml"), "w") as file:
            json.dump({"apiVersion": "flodea/v1", "kind": "Agent", "metadata": {"name": name, "labels": labels or {}}, "spec": full}, file)
        return path

    def refused(self, *arguments, status=1):
        with self.assertRaises(Refused) as caught:
            self.host.cli(*arguments)
        self.assertEqual(caught.exception.status, status, caught.exception.stderr)
        lines = caught.exception.stderr.strip().splitlines()
        self.assertEqual(len(lines), 1, lines)
        return caught.exception.stderr

    def names(self, *arguments):
        return [a["name"] for a in self.host.json("ps", *arguments).get("agents", [])]

    def tearDown(self):
        self.host.cli("rm", "--all", "--yes")

    def test_agents_are_selected_by_their_labels(self):
        self.manifest("sel", "one", {"team": "treasury", "tier": "gold"})
        self.manifest("sel", "two", {"team": "treasury"})
        path = self.manifest("sel", "three", {"team": "risk"})
        self.host.cli("apply", "-f", path, "--wait")
        self.assertEqual(self.names("-l", "team=treasury,tier!=gold"), ["two"])
        self.assertEqual(self.names("-l", "tier"), ["one"])
        self.assertEqual(self.names("-l", "team notin (treasury)"), ["three"])
        out = self.host.cli("stop", "-l", "team=treasury").stdout
        self.assertEqual(sorted(out.splitlines()), ["one stopped", "two stopped"])
        self.assertEqual(self.host.inspect("three")["state"], "STATE_RUNNING")
        self.host.cli("start", "-l", "team=treasury")
        self.assertEqual({a["state"] for a in self.host.agents()}, {"STATE_RUNNING"})
        found = {event["agent"] for event in self.host.events("-l", "team=treasury", "--kind", "agent.state")}
        self.assertEqual(found, {"one", "two"})
        self.assertIn("at character 6", self.refused("ps", "-l", "team=(", status=2))
        self.assertIn("--yes", self.refused("rm", "-l", "team=risk"))
        self.assertEqual(self.names(), ["one", "three", "two"])

    def test_a_plan_and_a_diff_say_what_an_apply_then_does(self):
        path = self.manifest("plan", "kept")
        self.manifest("plan", "changed")
        self.host.cli("apply", "-f", path, "--wait")
        before = {a["name"]: a["generation"] for a in self.host.agents()}
        self.manifest("plan", "changed", resources={"memory": "96Mi", "disk": "16Mi"})
        self.manifest("plan", "fresh")
        plan = self.host.cli("apply", "-f", path, "--plan").stdout
        self.assertEqual(plan, "changed change\n  spec.resources.memory: 64Mi → 96Mi\nfresh create\nkept unchanged\n")
        diff = self.host.cli("diff", "-f", os.path.join(path, "changed.yaml"), check=False)
        self.assertEqual(diff.returncode, 1)
        self.assertIn("-spec.resources.memory: 64Mi\n+spec.resources.memory: 96Mi\n", diff.stdout)
        self.assertEqual(self.host.cli("diff", "-f", os.path.join(path, "kept.yaml")).stdout, "")
        self.assertEqual({a["name"]: a["generation"] for a in self.host.agents()}, before)
        self.assertEqual(self.host.cli("apply", "-f", path).stdout, "changed changed\nfresh created\nkept unchanged\n")

    def test_one_bad_manifest_changes_nothing(self):
        path = self.manifest("bad", "good")
        self.manifest("bad", "large", resources={"memory": "900Gi", "disk": "16Mi"})
        message = self.refused("apply", "-f", path)
        self.assertIn("large.yaml", message)
        self.assertIn("memory", message)
        self.assertEqual(self.names(), [])
        self.assertEqual(os.listdir(os.path.join(self.host.state, "volumes")), [])

    def test_manifests_are_judged_together(self):
        path = self.manifest("ring", "one", after=["two"])
        self.manifest("ring", "two", after=["one"])
        message = self.refused("apply", "-f", path, "--plan")
        self.assertIn("one.yaml:", message)
        self.assertIn("one after two after one", message)
        self.assertIn("one after two after one", self.refused("apply", "-f", path))
        self.assertEqual(self.names(), [])
        status = os.statvfs(self.host.state)
        most = status.f_bavail * status.f_frsize // 2**20 * 2 // 3
        disk = {"resources": {"memory": "64Mi", "disk": f"{most}Mi"}}
        path = self.manifest("disk", "one", **disk)
        self.assertEqual(self.host.cli("apply", "-f", path, "--plan").stdout, "one create\n")
        self.manifest("disk", "two", **disk)
        message = self.refused("apply", "-f", path, "--plan")
        self.assertIn("two.yaml:", message)
        self.assertIn("are free", message)

    def test_several_are_applied_and_stopped_in_order(self):
        path = self.manifest("order", "a", after=["b"])
        self.manifest("order", "b", after=["c"])
        self.manifest("order", "c")
        self.assertEqual(self.host.cli("apply", "-f", path).stdout, "c created\nb created\na created\n")
        self.host.cli("apply", "-f", path, "--wait")
        # In the order of the files the new "a" would make a ring with the old "c".
        self.manifest("turn", "a")
        path = self.manifest("turn", "c", after=["a"])
        self.host.cli("apply", "-f", path, "--wait")
        self.manifest("turn", "a", after=["c"])
        self.manifest("turn", "c")
        self.assertEqual(self.host.cli("apply", "-f", path, "--wait").stdout, "c changed\na changed\nc running\na running\n")
        stopped = self.host.cli("stop", "a", "c", "b").stdout.splitlines()
        self.assertEqual((sorted(stopped), stopped[-1]), (["a stopped", "b stopped", "c stopped"], "c stopped"))
        self.host.cli("rm", "--all", "--yes")
        events = self.host.events("--kind", "agent.removed")
        removed = [event["agent"] for event in events][-3:]
        self.assertEqual((sorted(removed), removed[-1]), (["a", "b", "c"], "c"))

    def test_prune_removes_what_is_in_no_manifest_and_keeps_its_data(self):
        path = self.manifest("prune", "stays", {"team": "a"})
        self.manifest("prune", "goes", {"team": "a"}, code=STARTS)
        self.manifest("prune", "other", {"team": "b"})
        self.host.cli("apply", "-f", path, "--wait")
        with self.host.follow_logs("goes") as log:
            log.wait_for("^1$")
        os.rename(os.path.join(path, "goes.yaml"), os.path.join(path, "goes.off"))
        os.unlink(os.path.join(path, "other.yaml"))
        self.assertIn("goes remove\n", self.host.cli("apply", "-f", path, "--prune", "-l", "team=a", "--plan").stdout)
        self.assertEqual(self.host.cli("apply", "-f", path, "--prune", "-l", "team=a").stdout, "stays unchanged\ngoes removed, its data kept\n")
        self.assertEqual(self.names(), ["other", "stays"])
        os.rename(os.path.join(path, "goes.off"), os.path.join(path, "goes.yaml"))
        self.host.cli("apply", "-f", path, "--wait")
        with self.host.follow_logs("goes") as log:
            log.wait_for("^2$")
        elsewhere = self.manifest("elsewhere", "new")
        message = self.refused("apply", "-f", elsewhere, "--prune")
        self.assertIn("every agent there is", message)
        self.assertEqual(self.names(), ["goes", "other", "stays"])
        empty = os.path.join(self.host.base, "empty")
        os.makedirs(empty)
        self.assertIn("has no *.yaml", self.refused("apply", "-f", empty, "--prune"))

    def test_a_rollback_brings_an_earlier_revision_back(self):
        path = self.manifest("back", "ledger", code="print('first', flush=True)\n" + WAIT)
        self.host.cli("apply", "-f", path, "--wait")
        with self.host.follow_logs("ledger") as log:
            log.wait_for("first")
        self.manifest("back", "ledger", code="print('second', flush=True)\n" + WAIT)
        self.host.cli("apply", "-f", path, "--wait")
        with self.host.follow_logs("ledger") as log:
            log.wait_for("second")
        agent = self.host.inspect("ledger")
        self.assertEqual((agent["revision"], agent["observed_revision"]), ("2", "2"))
        revisions = self.host.json("revisions", "ledger")["revisions"]
        self.assertEqual([(r["revision"], r["current"], r["restorable"], r["author"]) for r in revisions],
                         [("2", True, True, f"uid {os.geteuid()}"), ("1", False, True, f"uid {os.geteuid()}")])
        self.assertEqual(self.host.cli("rollback", "ledger", "--wait").stdout, "ledger rolled back, as revision 3\n")
        with self.host.follow_logs("ledger") as log:
            log.wait_for("first")
            log.wait_for("second")
            log.wait_for("first")
        self.assertEqual(self.host.cli("rollout", "status", "ledger", "--timeout", "10s").stdout, "ledger running (revision 3)\n")
        manifest = self.host.cli("revisions", "ledger", "--revision", "3").stdout
        again = subprocess.run(self.host.command("apply", "-f", "-"), input=manifest, capture_output=True, text=True, timeout=60)
        self.assertEqual((again.stdout, again.stderr), ("ledger unchanged\n", ""))
        generation = self.host.inspect("ledger")["generation"]
        self.assertIn("has no revision 7; its revisions 1 to 3 are kept", self.refused("rollback", "ledger", "--to", "7"))
        bundle = self.host.json("revisions", "ledger")["revisions"][1]["bundle"].removeprefix("sha256:")
        hidden = os.path.join(self.host.state, "bundles", bundle)
        os.rename(hidden, hidden + ".away")
        try:
            message = self.refused("rollback", "ledger", "--to", "2")
            self.assertIn(f"its bundle sha256:{bundle} is gone", message)
        finally:
            os.rename(hidden + ".away", hidden)
        agent = self.host.inspect("ledger")
        self.assertEqual((agent["generation"], agent["revision"], agent["state"]), (generation, "3", "STATE_RUNNING"))

    def test_a_rollout_that_fails_says_why(self):
        path = self.manifest("fails", "broken", code="raise SystemExit(3)", restart={"policy": "never"},
                             readiness={"signal": "self", "timeout": "20s"})
        self.host.cli("apply", "-f", path)
        self.assertIn("broken failed: exit code", self.refused("rollout", "status", "broken", "--timeout", "20s"))
        slow = self.manifest("fails2", "slow", code=WAIT, readiness={"signal": "self", "timeout": "1h"})
        self.host.cli("apply", "-f", slow)
        self.assertIn("not there after 300ms: slow is", self.refused("rollout", "status", "slow", "--timeout", "300ms"))

    def test_events_tell_who_asked_and_inspect_the_last_transitions(self):
        path = self.manifest("who", "asked", {"team": "x"})
        self.host.cli("apply", "-f", path, "--wait")
        events = self.host.events("asked")
        self.assertEqual({e["cause"] for e in events}, {f"uid {os.geteuid()}"})
        self.assertEqual(events[0]["labels"], {"team": "x"})
        self.assertEqual([t["to"] for t in self.host.inspect("asked")["transitions"]], ["preparing", "starting", "running"])
        self.assertIn("starting → running", self.host.cli("inspect", "asked").stdout)

    def test_top_shows_what_is_used(self):
        path = self.manifest("top", "busy", code="while True: pass\n")
        self.manifest("top", "idle", code="import flodea\nprint('up', flush=True)\nflodea.agent.wait_stop()\n")
        self.host.cli("apply", "-f", path, "--wait")
        with self.host.follow_logs("idle") as log:
            log.wait_for("up$")  # what its start takes is not of the two seconds
        agents = {a["name"]: a for a in self.host.json("top", "--once", "-d", "2s")["agents"]}
        self.assertGreater(agents["busy"]["cpu_percent"], 10)
        self.assertLess(agents["idle"]["cpu_percent"], 10)
        self.assertEqual(agents["busy"]["memory_limit"], "64Mi")
        self.assertGreater(agents["idle"]["memory_bytes"], 0)
        self.assertEqual(self.host.cli("top", "--once", "--sort", "cpu", "-d", "1s").stdout.splitlines()[1].split()[0], "busy")


if __name__ == "__main__":
    unittest.main(verbosity=2)
