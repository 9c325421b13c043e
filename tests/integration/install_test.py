"""What `cmake --install` puts down works from there: programs, SDKs, settings, unit."""
import os
import re
import subprocess
import tempfile
import unittest

from flodea_host import BUILD, Host
from turns import Fleet, runtimes


class Installed(unittest.TestCase):
    def test_it_runs_from_where_it_is_installed(self):
        with tempfile.TemporaryDirectory(prefix="flodea-installed-") as root:
            os.chmod(root, 0o755)
            for _ in range(2):  # again: over what is there, with the settings kept
                subprocess.run(["cmake", "--install", BUILD, "--prefix", "/usr"], env={**os.environ, "DESTDIR": root}, check=True, capture_output=True)
                settings = os.path.join(root, "etc", "flodea", "flodea.yaml")
                with open(settings, "a") as file:
                    file.write("max-memory: 700Mi\n")
            with open(settings) as file:
                self.assertEqual(file.read().count("max-memory: 700Mi"), 2)
            with open(settings, "w") as file:
                file.write("max-memory: 700Mi\nmetrics: 127.0.0.1:9464\n")
            with open(os.path.join(root, "usr/lib/systemd/system/flodea.service")) as file:
                program, config = re.search(r"^ExecStart=(\S+) --config (\S+)$", file.read(), re.M).groups()
            self.assertEqual(root + config, settings)
            for path in ("usr/bin/flodea", "usr/share/man/man1/flodea.1", "usr/share/man/man8/flodead.8", "usr/lib/sysusers.d/flodea.conf"):
                self.assertTrue(os.path.exists(os.path.join(root, path)), path)
            host = Host("--config", settings)
            host.programs = os.path.dirname(root + program)
            with host:
                fleet = Fleet(host, len(runtimes()))
                fleet.wait_turns(3)
                self.assertEqual(fleet.problems(), [])
                host.deploy("more", "", wait=False, resources={"memory": "600Mi", "disk": "16Mi"})  # than the settings' sum allows
                self.assertEqual(host.inspect("more")["state"], "STATE_PENDING")
                version = [subprocess.run([path, "version", "--socket", os.path.join(host.run, "control.sock")], check=True, capture_output=True, text=True).stdout
                           for path in (os.path.join(root, "usr/bin/flodea"), os.path.join(BUILD, "flodea"))]
                self.assertEqual(version[0], version[1])


if __name__ == "__main__":
    unittest.main(verbosity=2)
