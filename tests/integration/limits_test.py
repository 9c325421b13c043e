"""Each limit bites at its figure, is told with the right reason. (What a neighbour notices: bench/neighbour.)"""
import re
import unittest

from flodea_host import HostTest


class Limits(HostTest):
    def run_to_the_end(self, name, code, expect, **spec):
        """Deploys an agent that ends by itself; returns (inspect, log lines)."""
        with self.host.follow_new_events() as events:
            self.host.deploy(name, code, wait=False, **{"restart": {"policy": "never"}, **spec})
            events.wait_event(agent=name, timeout=40, **expect)
        agent, lines = self.host.inspect(name), self.host.logs(name)
        self.host.cli("rm", name)
        return agent, lines

    def test_memory_ends_the_agent_with_reason_oom(self):
        agent, lines = self.run_to_the_end(
            "hungry", "kept = []\nfor i in range(200):\n    kept.append(bytearray(b'x' * (1 << 20)))\n    print(i + 1, flush=True)\n",
            {"to": "failed"}, resources={"memory": "48Mi", "disk": "16Mi"})
        self.assertEqual(agent["reason"], "oom")
        reached = int(lines[-1].split()[-1])
        self.assertTrue(20 <= reached <= 48, f"it got {reached} MiB of 48")

    def test_pids(self):
        _, lines = self.run_to_the_end(
            "forker", "import os\nn = 0\ntry:\n    while n < 100:\n        if os.fork() == 0:\n            import signal; signal.pause()\n        n += 1\n"
            "except OSError as e: print('stopped', n, e.errno, flush=True)\nos._exit(0)\n",
            {"to": "stopped"}, resources={"memory": "64Mi", "disk": "16Mi", "pids": 20})
        match = re.search(r"stopped (\d+) 11", "\n".join(lines))
        self.assertTrue(match, lines)
        self.assertTrue(15 <= int(match[1]) <= 20, match[0])

    def test_cpu_is_held_to_its_share(self):
        _, lines = self.run_to_the_end(
            "spinner", "import time\nbegin, cpu = time.monotonic(), time.process_time()\nwhile time.monotonic() - begin < 3: pass\n"
            "print('share', (time.process_time() - cpu) / (time.monotonic() - begin), flush=True)\n",
            {"to": "stopped"}, resources={"memory": "48Mi", "disk": "16Mi", "cpu": 0.2})
        share = float(re.search(r"share ([\d.]+)", "\n".join(lines))[1])
        self.assertTrue(share <= 0.2 * 1.25, f"{share} of a core with cpu: 0.2")

    def test_disk_is_full_for_it_alone_at_its_size(self):
        _, lines = self.run_to_the_end(
            "filler", "import os\np = os.path.expanduser('~/f')\nn = 0\nf = os.open(p, os.O_CREAT | os.O_WRONLY)\ntry:\n"
            "    while True: n += os.write(f, b'x' * 65536)\nexcept OSError as e: print('full', n >> 20, e.errno, flush=True)\n",
            {"to": "stopped"}, resources={"memory": "64Mi", "disk": "32Mi"})
        match = re.search(r"full (\d+) 28", "\n".join(lines))
        self.assertTrue(match and 28 <= int(match[1]) <= 40, lines)

    def test_open_files(self):
        _, lines = self.run_to_the_end(
            "opener", "import os\nn = []\ntry:\n    while True: n.append(os.open('/dev/null', 0))\nexcept OSError as e: print('files', n[-1] + 1, e.errno, flush=True)\n",
            {"to": "stopped"}, resources={"memory": "48Mi", "disk": "16Mi", "open_files": 64})
        self.assertIn("files 64 24", "\n".join(lines))

    def test_module_calls_are_slowed_to_their_rate(self):
        _, lines = self.run_to_the_end(
            "caller", "import flodea, time\nbegin = time.monotonic()\nfor _ in range(700): flodea.clock.now()\n"
            "print('seconds', time.monotonic() - begin, flush=True)\n",
            {"to": "stopped"}, resources={"memory": "48Mi", "disk": "16Mi", "calls_per_second": 100})
        seconds = float(re.search(r"seconds ([\d.]+)", "\n".join(lines))[1])
        # Two seconds' worth at once, and 100 a second of all the time, in which it may stand still too.
        self.assertLessEqual(700, 200 + 100 * seconds * 1.05, f"700 calls in {seconds} s")

    def test_log_lines_are_slowed_to_their_rate_and_none_is_lost(self):
        with self.host.follow_new_events() as events:
            self.host.deploy("talker", "import time\nbegin = time.monotonic()\nfor i in range(20000): print(f'{i:06} ' + 'x' * 60)\n"
                             "print('seconds', time.monotonic() - begin, flush=True)\n", wait=False, restart={"policy": "never"},
                             resources={"memory": "48Mi", "disk": "16Mi", "log_rate": "256Ki"})
            events.wait_event(agent="talker", to="stopped", timeout=60)
        lines = self.host.logs("talker")
        numbers = [int(m[1]) for line in lines if (m := re.search(r"\b(\d{6}) x", line))]
        self.assertEqual(numbers, list(range(20000)))
        seconds = float(re.search(r"seconds ([\d.]+)", lines[-1])[1])
        # 1.36 MB at 256 KiB/s, two seconds' worth at once, and what the pipes hold.
        self.assertGreater(seconds, 1.5)
        self.host.cli("rm", "talker")

    def test_refused_system_calls_are_counted_and_their_events_bounded(self):
        with self.host.follow_new_events() as events:
            self.host.deploy("prober", "import flodea, os, ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nprint('go', flush=True)\n"
                             "for _ in range(2000): libc.mount(b'none', b'/tmp', b'tmpfs', 0, 0)\nprint('errno', ctypes.get_errno(), flush=True)\nflodea.agent.wait_stop()\n")
            events.wait_event(agent="prober", kind="agent.denied", timeout=20)
        with self.host.follow_logs("prober") as log:
            log.wait_for("errno 1$")
        with self.host.follow_events() as events:
            events.wait_event(agent="prober", to="running")
        self.assertEqual(int(self.host.inspect("prober")["usage"]["denied_syscalls"]["mount"]), 2000)
        told = self.host.cli("-o", "json", "events").stdout.count('"agent.denied"')
        self.assertLess(told, 200)
        self.host.cli("rm", "prober")


if __name__ == "__main__":
    unittest.main(verbosity=2)
