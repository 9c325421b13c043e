"""A supervisor of its own for a test: throw-away state and run directories, the real programs, the real command line.

Waiting is always for an event (a line of `logs -f` or `events -f`, the end of a process), with a deadline; nothing sleeps.
"""
import ctypes
import json
import os
import queue
import re
import select
import shutil
import signal
import stat
import subprocess
import tempfile
import threading
import time
import unittest
from datetime import datetime

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("FLODEA_BUILD", os.path.join(TREE, "build", "release"))
# Sanitized programs are several times slower; limits of time (never of figures) are widened by this.
PATIENCE = float(os.environ.get("FLODEA_TEST_PATIENCE", "1"))


def enter_own_mount_namespace():
    """What others mount meanwhile is not seen in it; what a supervisor would leave on the host is found in it: mounts are shared in
    it, as under systemd, so that one that slips out of a namespace below arrives here."""
    new_mount_namespace, recursive, private, shared = 0x00020000, 0x4000, 1 << 18, 1 << 20  # sched.h, sys/mount.h
    libc = ctypes.CDLL(None, use_errno=True)
    for result in (libc.unshare(new_mount_namespace), libc.mount(None, b"/", None, ctypes.c_ulong(recursive | private), None),
                   libc.mount(None, b"/", None, ctypes.c_ulong(recursive | shared), None)):
        if result != 0:
            raise OSError(ctypes.get_errno(), "a mount namespace for the test")


if os.geteuid() == 0:
    enter_own_mount_namespace()  # now: later this process has threads


class Refused(AssertionError):
    """A command of `flodea` ended with another status than 0."""

    def __init__(self, args, result):
        super().__init__(f"flodea {' '.join(args)} -> {result.returncode}: {result.stderr.strip()}")
        self.status, self.stderr, self.stdout = result.returncode, result.stderr, result.stdout


class Lines:
    """The output lines of a following command, read by a thread; `wait_for` takes them in order."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1)
        self.seen, self._queue = [], queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self._queue.put(line.rstrip("\n"))
        self._queue.put(None)

    def wait_for(self, wanted, timeout=20):
        """The first line (from where the last wait ended) for which `wanted` (a function or a regular expression) holds."""
        test = wanted if callable(wanted) else re.compile(wanted).search
        deadline = time.monotonic() + timeout * PATIENCE
        while True:
            try:
                line = self._queue.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no line with {wanted!r} in {timeout} s; the last were: {self.seen[-15:]}") from None
            if line is None:
                raise AssertionError(f"the stream ended before {wanted!r}: {self.process.stderr.read()}; {self.seen[-15:]}")
            self.seen.append(line)
            found = test(line)
            if found:
                return found if not callable(wanted) else line

    def wait_event(self, timeout=20, **fields):
        """The first event (JSON lines) whose fields are as given."""
        def matches(line):
            event = json.loads(line)
            return all(str(event.get(k, "")) == str(v) for k, v in fields.items())
        return json.loads(self.wait_for(matches, timeout))

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Host:
    """A running flodead with its own directories. Use as a context manager; `stop` checks that it ended with 0.
    `within`: the words of a command that becomes flodead by exec, in surroundings of its own."""

    def __init__(self, *arguments, base=None, within=()):
        self.base = base or tempfile.mkdtemp(prefix="flodea-test-")
        self.own_base = base is None
        os.chmod(self.base, 0o755)
        self.state, self.run = os.path.join(self.base, "state"), os.path.join(self.base, "run")
        self.socket = os.path.join(self.run, "control.sock")
        self.arguments, self.within, self.process = arguments, within, None
        self.group = None  # of all its cgroups: "flodea-…"
        self.programs = BUILD  # where flodead stands; a test may have a copy that it breaks
        self.log_path = os.path.join(self.base, "flodead.log")

    @property
    def pid(self):
        """flodead's."""
        return self.process.pid

    # --- the supervisor -------------------------------------------------------------------------------------------

    def start(self, ready=True):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*self.within, os.path.join(self.programs, "flodead"), "--state-dir", self.state, "--run-dir", self.run,
                 "--metrics", "127.0.0.1:0", *self.arguments], stderr=log, stdout=log, stdin=subprocess.DEVNULL)
        if ready:
            self.wait_ready()
            services = re.search(r"^0::(.*)$", text_of(f"/proc/{self.service_pid('flodea-control')}/cgroup"), re.MULTILINE)[1]
            self.group = os.path.basename(os.path.dirname(services))
        return self

    def wait_until(self, condition, what):
        """Each line of the supervisor's log is an event after which the condition may hold."""
        deadline = time.monotonic() + 30 * PATIENCE
        watch = subprocess.Popen(["tail", "--pid", str(self.process.pid), "-n", "+1", "-F", self.log_path],
                                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            for _ in watch.stdout:
                if condition():
                    return
                if time.monotonic() > deadline:
                    break
        finally:
            watch.kill()
            watch.wait()
            watch.stdout.close()
        raise AssertionError(f"{what}:\n" + self.log())

    def wait_ready(self):
        """The operators' socket listens from the start, so one call waits for control; only the socket file is waited for."""
        self.wait_until(lambda: os.path.exists(self.socket) and self.cli("node", check=False).returncode == 0,
                        "the supervisor did not get ready")

    def wait_services(self):
        """Control and the vault run (again)."""
        self.wait_until(lambda: {"flodea-control", "flodea-vault"} <= {os.path.basename(executable_of(pid)) for pid in
                                                                        children_of(self.pid)}, "a service is not back")

    def stop(self, timeout=60):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=timeout * PATIENCE) if self.process else 0
        self.process = None
        assert status == 0, f"flodead ended with {status}:\n{self.log()}"
        # A service that a sanitizer ended was started again: only its words tell.
        assert not re.search(r"(Address|Leak|UndefinedBehavior)Sanitizer|: runtime error: ", self.log()), self.log()

    def control_up(self):
        """When the control that answers now said that it is up, as time.time()."""
        said = re.findall(r"^(\S+) level=info program=flodea-control state=up ", self.log(), re.MULTILINE)[-1]
        return datetime.fromisoformat(said).timestamp()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def log(self):
        with open(self.log_path, errors="replace") as file:
            return file.read()

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def __exit__(self, kind, *_):
        try:
            if self.process:
                self.stop()
        finally:
            if self.process and self.process.poll() is None:
                self.kill()
            if kind is not None:
                print("--- the supervisor's log ---\n" + self.log()[-6000:])
            if self.own_base:
                shutil.rmtree(self.base, ignore_errors=True)

    # --- the command line -----------------------------------------------------------------------------------------

    def command(self, *arguments):
        return [os.path.join(BUILD, "flodea"), "--socket", self.socket, *arguments]

    def cli(self, *arguments, check=True, timeout=60):
        result = subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=timeout * PATIENCE)
        if check and result.returncode != 0:
            raise Refused(arguments, result)
        return result

    def json(self, *arguments):
        return json.loads(self.cli("-o", "json", *arguments).stdout)

    def inspect(self, name):
        return self.json("inspect", name)

    def agents(self):
        return self.json("ps").get("agents", [])

    def follow_logs(self, name, *arguments):
        return Lines(self.command("logs", name, "-f", *arguments))

    def follow_events(self, *arguments):
        return Lines(self.command("-o", "json", "events", "-f", *arguments))

    def follow_new_events(self, *arguments):
        """What happens from now on, not from when the command is there."""
        newest = max((event["id"] for event in self.events("--tail", "1")), key=int, default="0")
        return self.follow_events("--after", newest, *arguments)

    def events(self, *arguments):
        return [json.loads(line) for line in self.cli("-o", "json", "events", *arguments).stdout.splitlines()]

    def logs(self, name, *arguments):
        return self.cli("logs", name, *arguments).stdout.splitlines()

    # --- agents ---------------------------------------------------------------------------------------------------

    def bundle(self, name, code, files=None, **spec):
        """Writes an agent's directory; `spec` overrides fields of the manifest's spec. `code` goes where the entry point is, `files` are
        more of them, by path. Returns the directory."""
        directory = os.path.join(self.base, "agents", name)
        full = {"runtime": {"type": "python", "entrypoint": "main.py"}, "bundle": ".",
                "resources": {"memory": "64Mi", "disk": "16Mi"}, **spec}
        for path, content in {**(files or {}), full["runtime"]["entrypoint"]: code}.items():
            os.makedirs(os.path.dirname(os.path.join(directory, path)), exist_ok=True)
            with open(os.path.join(directory, path), "wb") as file:
                file.write(content if isinstance(content, bytes) else content.encode())
        manifest = {"apiVersion": "flodea/v1", "kind": "Agent", "metadata": {"name": name}, "spec": full}
        with open(os.path.join(directory, "flodea.yaml"), "w") as file:
            json.dump(manifest, file)  # JSON is YAML
        return directory

    def deploy(self, name, code, wait=True, **spec):
        directory = self.bundle(name, code, **spec)
        self.cli("apply", "-f", directory, *(["--wait"] if wait else []))
        return directory

    # --- processes ------------------------------------------------------------------------------------------------

    def service_pid(self, binary):
        """The pid of flodead's child with this program (flodea-control, flodea-vault)."""
        for pid in children_of(self.pid):
            if os.path.basename(executable_of(pid)) == binary:
                return pid
        raise AssertionError(f"{binary} does not run")

    def own_processes(self):
        """flodead, its children, and all in its cgroups."""
        own = {self.pid, *children_of(self.pid)} if self.process else set()
        return own | {pid for pid in processes() if self.group and f"/{self.group}/" in text_of(f"/proc/{pid}/cgroup")}

    def helpers(self):
        return [pid for pid in children_of(self.pid) if text_of(f"/proc/{pid}/comm").startswith("flodea-helper")]

    def settle(self):
        """Returns when flodead's children are the services and the one helper that stands ready, in recvmsg (47): one answers before it ends.
        flodead has then let go of what it gave them, and is in epoll_wait (232)."""
        deadline = time.monotonic() + 20 * PATIENCE
        while True:
            helpers = self.helpers()
            settled = len(helpers) == 1 == len(children_of(self.pid)) - 2 and text_of(f"/proc/{helpers[0]}/syscall").startswith("47 ")
            if settled and text_of(f"/proc/{self.pid}/syscall").startswith("232 "):
                return
            assert time.monotonic() < deadline, f"a helper does not end: {children_of(self.pid)}"

    def worker_pid(self, name):
        return int(self.inspect(name)["usage"]["worker_pid"])

    def agent_pid(self, name):
        """The agent's own process: the worker's only child."""
        found = children_of(self.worker_pid(name))
        assert found, f"{name} has no process"
        return found[0]


class HostTest(unittest.TestCase):
    """Tests that share one supervisor, `self.host`; at their end nothing of it is left on the machine."""

    @classmethod
    def make_host(cls):
        return Host()

    @classmethod
    def prepare(cls):
        """What the tests find on `cls.host`."""

    @classmethod
    def setUpClass(cls):
        before = host_state()
        cls.host = cls.make_host()
        cls.addClassCleanup(cls.nothing_is_left, before)
        cls.enterClassContext(cls.host)
        cls.prepare()

    @classmethod
    def nothing_is_left(cls, before):
        after = host_state(cls.host)
        assert after == before, f"something is left on the host: {after}, and {before} was before"


def entries_of(directory):
    """Names in it; none when it, or its process, is gone."""
    try:
        return os.listdir(directory)
    except OSError:
        return []


def link_of(path):
    """Where a link of /proc leads; "" when it, or its process, is gone."""
    try:
        return os.readlink(path)
    except OSError:
        return ""


def children_of(pid):
    return [int(child) for task in entries_of(f"/proc/{pid}/task") for child in text_of(f"/proc/{pid}/task/{task}/children").split()]


def links_of(pid):
    """What a process has open, by number; a descriptor that it closes meanwhile is left out."""
    links = {number: link_of(f"/proc/{pid}/fd/{number}") for number in entries_of(f"/proc/{pid}/fd")}
    return {number: link for number, link in links.items() if link}


def executable_of(pid):
    return link_of(f"/proc/{pid}/exe").removesuffix(" (deleted)")


def kill_and_wait(pid):
    """SIGKILL by pidfd; returns once the process is gone."""
    descriptor = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        assert select.select([descriptor], [], [], 10 * PATIENCE)[0], f"{pid} does not die"
    finally:
        os.close(descriptor)


def wait_for_end(pid):
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([descriptor], [], [], 20 * PATIENCE)[0], f"{pid} does not end"
    finally:
        os.close(descriptor)


def processes():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def text_of(path):
    """A file's text; "" when it, or its process, is gone."""
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def holds(pid, device):
    """Does the process hold the block device, or something on a file system that is mounted from it?"""
    if f" {os.major(device)}:{os.minor(device)} " in text_of(f"/proc/{pid}/mountinfo"):
        return True
    for fd in entries_of(f"/proc/{pid}/fd"):
        try:
            status = os.stat(f"/proc/{pid}/fd/{fd}")
        except OSError:
            continue  # closed meanwhile; there may be others
        if device in (status.st_dev, status.st_rdev if stat.S_ISBLK(status.st_mode) else 0):
            return True
    return False


def volume_loops(host):
    """Loop devices over FUSE that nobody uses but perhaps `host`: one has no owner that could be read, but its users can be found."""
    deadline = time.monotonic() + 2
    while True:
        loops = [d for d in os.listdir("/sys/block") if text_of(f"/sys/block/{d}/loop/backing_file").startswith("/image")]
        others = set(processes()) - set(host.own_processes() if host else ()) - {os.getpid()}
        unused = sorted(d for d in loops if not any(holds(pid, os.stat(f"/dev/{d}").st_rdev) for pid in others))
        # The kernel frees a device a moment after its last user let go of it: what lasts is left over.
        if not unused or time.monotonic() > deadline:
            return unused


def host_state(host=None):
    """What a supervisor could leave behind: mounts (in this program's namespace, which is its host), loop devices, cgroups of `host`."""
    with open("/proc/self/mountinfo") as file:
        mounts = sorted(" ".join(line.split()[3:]) for line in file)
    cgroups = sorted(path for path, _, _ in os.walk("/sys/fs/cgroup") if host and host.group and host.group in path.split("/"))
    return {"mounts": mounts, "loops": volume_loops(host), "cgroups": cgroups}


def pss_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
