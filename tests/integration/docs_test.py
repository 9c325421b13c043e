"""The first agents that the documentation shows, as they stand there: each runs, also when it is started again."""
import os
import re
import unittest

from flodea_host import HostTest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def blocks(page, language):
    with open(os.path.join(ROOT, page)) as file:
        return re.findall(rf"^```{language}\n(.*?)^```$", file.read(), re.M | re.S)


class Shown(HostTest):
    def runs_twice(self, name):
        for _ in range(2):
            agent = self.host.inspect(name)
            self.assertEqual((agent["state"], agent.get("restarts", 0)), ("STATE_RUNNING", 0), self.host.logs(name))
            self.host.cli("stop", name)
            # It was asked to stop and ended by itself.
            self.assertEqual(self.host.inspect(name).get("exit_code", 0), 0, self.host.logs(name))
            self.host.cli("start", name)
        self.host.cli("rm", name)

    def test_the_agent_of_the_readme(self):
        directory = self.host.bundle("ledger", blocks("README.md", "python")[0])
        manifest = blocks("README.md", "yaml")[0]
        self.assertTrue(manifest.startswith("# ledger/flodea.yaml\n"))
        with open(os.path.join(directory, "flodea.yaml"), "w") as file:
            file.write(manifest)
        self.host.cli("apply", "-f", directory, "--wait")
        with self.host.follow_logs("ledger") as log:
            log.wait_for("^run 1$")
            self.host.cli("restart", "ledger")
            log.wait_for("^run 2$")
        self.runs_twice("ledger")

    def test_the_agent_of_the_python_sdk(self):
        self.host.deploy("shown", blocks("docs/sdk_python.md", "python")[0])
        with self.host.follow_logs("shown") as log:
            log.wait_for(r"^shown \d+$")
        self.runs_twice("shown")

    def test_the_agent_of_the_javascript_sdk(self):
        self.host.deploy("ticks", blocks("docs/sdk_javascript.md", "js")[0], runtime={"type": "javascript", "entrypoint": "main.mjs"},
                         resources={"memory": "96Mi", "disk": "16Mi"})
        with self.host.follow_logs("ticks") as log:
            log.wait_for(r"^ticks \d+$")
            log.wait_for("^tick$")
        self.runs_twice("ticks")


if __name__ == "__main__":
    unittest.main(verbosity=2)
