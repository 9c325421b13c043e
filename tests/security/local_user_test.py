"""A user of the host who is neither root nor an operator reads nothing of the state and cannot hold it up. The control: the same user reads a copy that is open to all."""
import json
import os
import shutil
import subprocess
import unittest

from flodea_host import HostTest

NOBODY = 65534
CODE = "import flodea\nprint('up', flush=True)\nflodea.agent.wait_stop()\n"

# Which of the paths on its standard input can be read, or listed.
READ = """
import json, os, sys
found = []
for path in json.load(sys.stdin):
    try:
        if os.path.isdir(path): os.listdir(path)
        else: os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        found.append(path)
    except OSError: pass
print(json.dumps(found))
"""
# Holds SQLite's lock on its index of the log, as a reader of it may.
LOCK = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
fcntl.lockf(fd, fcntl.LOCK_SH, 8, 120)
"""


def all_below(directory):
    """Without what is a mount of its own."""
    return [directory] + [os.path.join(path, name) for path, directories, names in os.walk(directory) for name in directories + names]


def as_nobody(code, *arguments, text=""):
    return subprocess.run(["/usr/bin/setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "/usr/bin/python3", "-I", "-c", code, *arguments],
                          input=text, capture_output=True, text=True, check=False)


def readable(paths):
    done = as_nobody(READ, text=json.dumps(paths))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class LocalUser(HostTest):
    @classmethod
    def prepare(cls):
        os.chmod(cls.host.base, 0o755)  # as /var/lib is: what protects the state is its own
        cls.host.deploy("kept", CODE)

    def paths(self):
        found = all_below(self.host.state)
        for part in ("state.db", "state.db-wal", "state.db-shm", "bundles", "keys", "volumes", "logs"):
            self.assertIn(os.path.join(self.host.state, part), found)
        return found

    def test_nothing_of_the_state_can_be_read(self):
        self.assertEqual(readable(self.paths()), [])

    def test_the_control_reads_a_copy_that_is_open(self):
        copy = os.path.join(self.host.base, "copy")
        shutil.copytree(self.host.state, copy)
        subprocess.run(["chmod", "-R", "a+rX", copy], check=True)
        try:
            self.assertEqual(sorted(readable(all_below(copy))), sorted(all_below(copy)))
            self.assertEqual(as_nobody(LOCK, os.path.join(copy, "state.db-shm")).returncode, 0)
        finally:
            shutil.rmtree(copy)

    def test_the_state_cannot_be_locked(self):
        done = as_nobody(LOCK, os.path.join(self.host.state, "state.db-shm"))
        self.assertIn("PermissionError", done.stderr)
        self.host.cli("stop", "kept")
        self.host.cli("start", "kept")

    def test_nothing_secret_of_the_run_directory_can_be_read(self):
        for name in ("journal", "control.sock"):
            self.assertEqual(readable(all_below(os.path.join(self.host.run, name))), [], name)

    def test_what_an_earlier_version_left_open_is_closed(self):
        for name in ("state.db", "state.db-wal", "state.db-shm"):
            os.chmod(os.path.join(self.host.state, name), 0o644)
        os.chmod(os.path.join(self.host.state, "bundles"), 0o755)
        self.assertIn(os.path.join(self.host.state, "state.db"), readable(self.paths()))
        self.host.cli("reload", "--wait")
        self.assertEqual([path for path in readable(self.paths()) if "/bundles" not in path], [])
        self.host.stop()
        self.host.start()
        self.assertEqual(readable(self.paths()), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
