"""A host that cannot enforce a limit: what asks for that limit is refused with its name, nothing runs without it."""
import unittest

from flodea_host import Host, Refused

IDLE = "import flodea; flodea.agent.wait_stop()"
FIELDS = {"memory": "spec.resources.memory", "pids": "spec.resources.pids", "cpu": "spec.resources.cpu"}


def v1_mounts():
    """The mount points of the v1 controllers by name."""
    found = {}
    with open("/proc/self/mountinfo") as file:
        for line in file:
            left, right = line.rstrip("\n").split(" - ")
            kind, _, options = right.split(" ", 2)
            if kind == "cgroup":
                found.update({name: left.split()[4] for name in options.split(",") if name in FIELDS})
    return found


class MissingLimits(unittest.TestCase):
    def refused_without(self, controller, mount):
        # In a mount namespace of its own the controller is not there; for everybody else it is.
        host = Host(within=("unshare", "--mount", "sh", "-c", 'umount "$0" && exec "$@"', mount))
        try:
            host.start()
            with self.assertRaises(Refused) as caught:
                host.deploy("plain", IDLE, wait=False)
            self.assertIn(FIELDS[controller], caught.exception.stderr)
            self.assertIn(f"{controller} controller", caught.exception.stderr)
            self.assertEqual(host.agents(), [])
            node = host.json("node")
            self.assertNotIn(controller, node["limits"])
            self.assertTrue([text for text in node["missing"] if f"no {controller} controller" in text], node)
            host.stop()
        finally:
            host.__exit__(None, None, None)

    def test_a_limit_without_its_controller_is_refused(self):
        mounts = v1_mounts()
        if set(mounts) != set(FIELDS):
            self.skipTest("only v1 controllers can be taken away one by one, and this host has not mounted memory, pids and cpu as such")
        for controller, mount in mounts.items():
            with self.subTest(controller):
                self.refused_without(controller, mount)

    def test_inspect_says_what_the_host_cannot_enforce(self):
        with Host() as host:
            host.deploy("plain", IDLE)
            self.assertEqual(host.inspect("plain")["sandbox"].get("missing", []), host.json("node").get("missing", []))
            for text in host.json("node").get("missing", []):
                self.assertIn(text, host.cli("inspect", "plain").stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
