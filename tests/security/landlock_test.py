"""Landlock around a real agent: what it refuses succeeds for the same uid, in the same sandbox, outside of the agent's domain."""
import os
import subprocess
import unittest

from flodea_host import Host

# Takes the attempts once it is told of a process outside its domain, by a line in a FIFO that only its own uid can write.
AGENT = """
import os, socket, flodea
os.mkfifo("/data/tell")
print("ready", flush=True)
with open("/data/tell") as told: outside = int(told.readline())

def attempt(what, action):
    try: action()
    except OSError as error: print(what, error.errno, flush=True)
    else: print(what, 0, flush=True)

one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
attempt("socket", lambda: one.bind("/data/by-agent"))
attempt("abstract", lambda: other.sendto(b"x", b"\\0outside"))
attempt("signal", lambda: os.kill(outside, 0))

# What an ordinary program does must go on.
def files():
    os.makedirs("/data/a/b"); os.makedirs("/data/c")
    with open("/data/a/b/file", "w") as file: file.write("text")
    os.rename("/data/a/b/file", "/data/c/file")
    os.truncate("/data/c/file", 1)
    os.link("/data/c/file", "/data/a/hard"); os.symlink("/usr", "/data/soft")
    os.unlink("/data/a/hard"); os.rmdir("/data/a/b")

def temporary():
    import tempfile
    for directory in ("/tmp", "/dev/shm"):
        with tempfile.TemporaryFile(dir=directory) as file: file.write(b"x")

def devices():
    for name in ("null", "zero", "urandom"):
        with open("/dev/" + name, "r+b", buffering=0) as device: device.write(b"x")

def processes():
    import subprocess
    assert subprocess.run(["/usr/bin/true"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL).returncode == 0
    sleeper = subprocess.Popen(["/usr/bin/tail", "-f", "/dev/null"]); sleeper.kill(); sleeper.wait()

def loopback():
    with socket.create_server(("127.0.0.1", 0)) as server: socket.create_connection(server.getsockname()).close()

for ordinary in (files, temporary, devices, processes, loopback): attempt(ordinary.__name__, ordinary)
flodea.agent.wait_stop()
"""

LISTENER = """
import os, socket, sys
listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listener.bind(b"\\0outside")
print(os.getpid(), flush=True)
sys.stdin.read()
"""

CONTROL = """
import os, socket, sys
one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
one.bind("/data/by-control")
other.sendto(b"x", b"\\0outside")
os.kill(int(sys.argv[1]), 0)
with open("/data/tell", "w") as told: told.write(sys.argv[1] + "\\n")
"""


def in_sandbox(worker, code, *arguments):
    """A command that runs `code` as the agent's uid in all of its namespaces, but in no Landlock domain and under no filter."""
    return ["nsenter", "--target", str(worker), "--user", "--mount", "--pid", "--net", "--ipc", "--uts", "--setuid", "1000",
            "--setgid", "1000", "/usr/bin/python3", "-I", "-c", code, *arguments]


class Landlock(unittest.TestCase):
    def test_what_it_refuses_would_succeed_without_it(self):
        with Host() as host:
            offered = host.json("node").get("landlock_abi", 0)
            if offered < 6:
                self.assertNotEqual(os.environ.get("CI"), "true", f"the kernel offers Landlock ABI {offered}: this test needs 6")
                self.skipTest(f"the kernel offers Landlock ABI {offered}: sockets and signals are scoped from 6 on")
            host.deploy("held", AGENT)
            self.assertEqual(host.inspect("held")["sandbox"]["landlock_abi"], min(offered, 7))
            with host.follow_logs("held") as log:
                log.wait_for("ready")
                worker = host.worker_pid("held")
                listener = subprocess.Popen(in_sandbox(worker, LISTENER), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                try:
                    outside = listener.stdout.readline().strip()
                    subprocess.run(in_sandbox(worker, CONTROL, outside), check=True, timeout=30)
                    for what, errno in (("socket", 13), ("abstract", 1), ("signal", 1)):
                        log.wait_for(f"^{what} {errno}$")
                finally:
                    listener.communicate()
                for what in ("files", "temporary", "devices", "processes", "loopback"):
                    log.wait_for(f"^{what} 0$")

    def test_without_an_instance_nothing_is_said_to_hold(self):
        with Host() as host:
            host.deploy("still", "import flodea; flodea.agent.wait_stop()")
            self.assertRegex(host.cli("inspect", "still").stdout, r"landlock: +(ABI \d|none)")
            host.cli("stop", "still")
            self.assertEqual(host.inspect("still").get("sandbox", {}).get("landlock_abi", 0), 0)
            self.assertNotIn("landlock", host.cli("inspect", "still").stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
