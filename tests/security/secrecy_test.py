"""What an agent writes is nowhere in clear: a marker as file content, file name, directory name, symlink target, xattr, store key, store
value and log line is neither in the raw image nor anywhere in the state directory. The control writes the same unencrypted; all are found."""
import hashlib
import os
import sqlite3
import subprocess
import tempfile
import unittest

from flodea_host import Host

FORMS = ("content", "file-name", "directory", "symlink", "xattr", "store-key", "store-value", "log-line")
MARKERS = {form: hashlib.sha256(form.encode()).hexdigest()[:40] for form in FORMS}  # computed by the agent too: its code must not hold them

WRITE = """
import hashlib, os
def marker(form): return hashlib.sha256(form.encode()).hexdigest()[:40]
def write_files(root):
    with open(os.path.join(root, marker("file-name")), "w") as f:
        f.write(marker("content") * 100); f.flush(); os.fsync(f.fileno())
    os.mkdir(os.path.join(root, marker("directory")))
    os.symlink("/" + marker("symlink") * 3, os.path.join(root, "link"))  # longer than 60 bytes: a block of its own
    os.setxattr(os.path.join(root, marker("file-name")), "user.secret", marker("xattr").encode() * 4)
    os.sync()
"""
AGENT = WRITE + """
import flodea
write_files(os.path.expanduser("~"))
flodea.store.put(marker("store-key").encode(), marker("store-value").encode() * 10)
print(marker("log-line") * 3, flush=True)
print("written", flush=True)
flodea.agent.wait_stop()
"""


def found_in(path):
    """The forms whose marker is in a file's bytes; a marker over the edge of two reads is found too."""
    found, tail = set(), b""
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            for form, marker in MARKERS.items():
                if marker.encode() in tail + chunk:
                    found.add(form)
            tail = chunk[-64:]
    return found


def found_below(directory):
    found = set()
    for path, directories, names in os.walk(directory):
        for name in directories + names:
            found |= {form for form, marker in MARKERS.items() if marker in name}
            full = os.path.join(path, name)
            if os.path.islink(full):
                found |= {form for form, marker in MARKERS.items() if marker in os.readlink(full)}
            elif os.path.isfile(full):
                found |= found_in(full)
    return found


class Secrecy(unittest.TestCase):
    def test_the_control_finds_every_marker_when_nothing_is_encrypted(self):
        with tempfile.TemporaryDirectory(prefix="flodea-plain-") as plain:
            image, mount = os.path.join(plain, "image"), os.path.join(plain, "mount")
            os.mkdir(mount)
            subprocess.run(["truncate", "-s", "16M", image], check=True)
            subprocess.run(["mkfs.ext4", "-q", image], check=True)
            subprocess.run(["mount", "-o", "loop", image, mount], check=True)
            try:
                scope = {}
                exec(WRITE, scope)
                scope["write_files"](mount)
                with sqlite3.connect(os.path.join(mount, "store.db")) as store:
                    store.execute("CREATE TABLE entries(key BLOB, value BLOB)")
                    store.execute("INSERT INTO entries VALUES(?, ?)", (MARKERS["store-key"].encode(), MARKERS["store-value"].encode() * 10))
                store.close()
            finally:
                subprocess.run(["umount", mount], check=True)
            with open(os.path.join(plain, "log"), "w") as log:
                log.write(MARKERS["log-line"])
            self.assertEqual(found_below(plain), set(FORMS))

    def test_no_marker_is_in_the_state_directory(self):
        with Host() as host:
            host.deploy("secretive", AGENT)
            with host.follow_logs("secretive") as log:
                log.wait_for("written")
            self.assertEqual(found_below(host.state), set(), "while it runs")
            host.cli("stop", "secretive")
            os.sync()
            self.assertEqual(found_below(host.state), set(), "after it stopped")
            self.assertTrue(any(MARKERS["log-line"] in line for line in host.logs("secretive")), "the operator reads its log")


if __name__ == "__main__":
    unittest.main(verbosity=2)
