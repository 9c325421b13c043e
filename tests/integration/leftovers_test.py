"""Starts and stops, some killed half-way: the host and flodead are exactly as before."""
import os
import random
import subprocess
import unittest

from flodea_host import Host, children_of, host_state, kill_and_wait, link_of, links_of

ROUNDS = int(os.environ.get("FLODEA_START_ROUNDS", "300"))
QUICK = "print('up', flush=True)\nimport signal\nsignal.pause()\n"


def inventory(host):
    """What is of this flodead: on the host, descriptors by kind, files of its run directory, children, network namespaces."""
    host.settle()
    pid = host.process.pid
    kinds = sorted(link.split(":")[0].rstrip("0123456789") for link in links_of(pid).values())
    files = sorted(os.path.join(path, name) for path, _, names in os.walk(host.run) for name in names)
    namespaces = {link_of(f"/proc/{p}/ns/net") for p in host.own_processes()} - {""}
    return {"host": host_state(host), "descriptors": kinds, "files": files, "children": len(children_of(pid)),
            "netns": len(namespaces)}


class Leftovers(unittest.TestCase):
    def test_nothing_is_left(self):
        random.seed(1)
        with Host() as host:
            host.deploy("quick", QUICK, restart={"policy": "never"}, resources={"memory": "32Mi", "disk": "16Mi"}, stop_timeout="100ms")
            host.cli("stop", "quick")
            before = inventory(host)
            for turn in range(ROUNDS):
                if turn % 5 == 4:  # killed half-way: flodead's next processes, helpers or the sandbox's, as soon as they are made
                    known = set(children_of(host.process.pid)) - set(host.helpers() if turn % 10 == 4 else ())
                    start = subprocess.Popen(host.command("start", "quick"))
                    # Whoever kills all helpers, for ever, keeps anything from being undone; flodead then says so.
                    kills = random.randint(1, 4)
                    while start.poll() is None and kills > 0:
                        for pid in set(children_of(host.process.pid)) - known:
                            known.add(pid)
                            kills -= 1
                            try:
                                kill_and_wait(pid)
                            except (ProcessLookupError, OSError):
                                pass
                    start.wait()
                    host.cli("stop", "quick", check=False)
                else:
                    host.cli("start", "quick")
                    host.cli("stop", "quick")
            host.cli("stop", "quick", check=False)
            self.maxDiff = None
            self.assertEqual(inventory(host), before)


if __name__ == "__main__":
    unittest.main(verbosity=2)
