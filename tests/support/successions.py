"""The ways in which a part of the supervisor is followed by another while agents run, and what is asked of the agents then.

Each way returns once the next one answers, with the time (of time.time()) since when it was on its way.
"""
import json
import os
import shutil
import signal
import subprocess
import time

from flodea_host import BUILD, PATIENCE, Host, HostTest, children_of, executable_of, kill_and_wait, wait_for_end
from standstill import Standstill
from turns import percentile

LONGEST_PAUSE = 1000  # ms: the 99th of 100 longest calls
LONGEST_ABSENCE = 1.0  # s: until the last agent is served again


def kill_control(host):
    began = time.time()
    kill_and_wait(host.service_pid("flodea-control"))
    host.cli("node")  # waits for the next one
    return began


def reload(host):
    began = time.time()
    host.cli("reload", "--wait")
    return began


def hang_up(host):
    began, taken = time.time(), host.log().count("state=took-over")
    host.process.send_signal(signal.SIGHUP)
    host.wait_until(lambda: host.log().count("state=took-over") > taken, "no reload after SIGHUP")
    host.cli("node")
    return began


def kill_flodead(host):
    control = host.service_pid("flodea-control")
    host.kill()
    wait_for_end(control)  # it dies with its parent
    began = time.time()
    host.start()
    return began


class SupervisedHost(Host):
    """flodead has a supervisor of its own above it."""

    def __init__(self, *arguments):
        super().__init__(*arguments, within=("/usr/bin/python3", "-B", os.path.join(os.path.dirname(__file__), "start_again.py")))

    @property
    def pid(self):
        return next(pid for pid in children_of(self.process.pid) if os.path.basename(executable_of(pid)) == "flodead")

    def kill(self):
        below = children_of(self.process.pid)
        super().kill()  # first: it would start another
        for pid in below:
            os.kill(pid, signal.SIGKILL)

    def kill_flodead(self):
        """Its supervisor starts it again."""
        killed, control = self.pid, self.service_pid("flodea-control")
        began = time.time()
        kill_and_wait(killed)
        wait_for_end(control)
        self.wait_ready()
        return began


class Programs:
    """The programs of a build in a folder of their own, where they are replaced as an upgrade does it: by rename, under those that run."""

    def __init__(self, directory, *builds):
        self.directory, self.stripped = directory, False
        for build in (BUILD, *builds):
            self.install(build)

    def path(self, name):
        return os.path.join(self.directory, name)

    def install(self, build):
        """All that a build, or a part of one, has."""
        for name in os.listdir(build):
            path = os.path.join(build, name)
            if name.startswith("flodea") and os.path.isfile(path) and os.access(path, os.X_OK):
                self.put(path, name)
        for tree in ("agent", os.path.join("policy", "profiles")):
            for folder, _, names in os.walk(os.path.join(build, tree)):
                for name in names:
                    path = os.path.join(folder, name)
                    self.put(path, os.path.relpath(path, build))

    def put(self, source, name):
        target = self.path(name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copy2(source, target + ".new")
        os.replace(target + ".new", target)

    def put_another(self, name):
        """Another file for a program: in turn without symbols, and as it was built."""
        self.stripped = not self.stripped
        if not self.stripped:
            return self.put(os.path.join(BUILD, name), name)
        subprocess.run(["strip", "-o", self.path(name) + ".new", os.path.join(BUILD, name)], check=True)
        os.replace(self.path(name) + ".new", self.path(name))


class SuccessionTest(HostTest):
    """Tests with a `fleet` on `host`."""

    def last_event(self):
        return int(self.host.events("--tail", "1")[0]["id"])

    def epoch(self):
        return int(self.host.json("node")["epoch"])

    def wait_for_event(self, since, message):
        with self.host.follow_events() as events:
            events.wait_for(lambda line: int(json.loads(line)["id"]) == since, timeout=20)
            events.wait_for(lambda line: message in json.loads(line).get("message", ""), timeout=20)

    def rounds(self, count, act, message):
        """Acts `count` times. After each the event is there, control is another one, and no agent has noticed. Says what it took."""
        with Standstill() as still:
            self.rounds_but_for(still, count, act, message)

    def rounds_but_for(self, still, count, act, message):
        pauses, adopted, unknown, first = [], [], self.fleet.unknown(), time.time()
        for _ in range(count):
            self.fleet.wait_turns(3)
            since, before, began = self.last_event(), self.epoch(), time.time()
            on_its_way = act(self.host)
            self.wait_for_event(since, message)
            self.assertGreater(self.epoch(), before)
            self.fleet.wait_turns(5)
            pauses += self.fleet.longest_calls(began, still)
            served = self.fleet.served_since(self.host.control_up())
            adopted.append(served - on_its_way - still.within(on_its_way, served))
            self.assertEqual(self.fleet.problems(), [])  # last: it reads all logs from their beginning
        print(f"{self.id().split('.')[-1]}: {len(self.fleet.names)} agents, {count} rounds; longest call of an agent p50 "
              f"{percentile(pauses, 0.5):.0f} ms, p99 {percentile(pauses, 0.99):.0f} ms, of all {max(pauses):.0f} ms; "
              f"all are served again after p50 {percentile(adopted, 0.5):.2f} s, at most {max(adopted):.2f} s; "
              f"{self.fleet.unknown() - unknown} writes not known to have happened; "
              f"the machine itself stood still for {still.within(first, time.time()):.2f} s", flush=True)
        self.assertLessEqual(self.fleet.unknown() - unknown, count * len(self.fleet.writers()))  # those that were under way
        self.assertLessEqual(percentile(pauses, 0.99), LONGEST_PAUSE * PATIENCE)
        self.assertLessEqual(max(adopted), LONGEST_ABSENCE * PATIENCE)
