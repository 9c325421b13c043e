"""When the machine itself stood still: these are shared, and what a host takes from all of its guest's processes is no pause of Flodea's.

A process of its own does nothing but look at the clock every 10 ms, and says what it missed by more than 40 ms. A time that a test bounds is bounded without that.
"""
import subprocess
import threading

LOOK = """
import time
at = time.time()
while True:
    time.sleep(0.01)
    now = time.time()
    if now - at > 0.05: print(at + 0.01, now, flush=True)
    at = now
"""


class Standstill:
    def __enter__(self):
        self._gaps = []
        self._process = subprocess.Popen(["/usr/bin/python3", "-I", "-S", "-c", LOOK], stdout=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        self._reader.join()
        self._process.stdout.close()

    def _read(self):
        for line in self._process.stdout:
            self._gaps.append(tuple(map(float, line.split())))

    def within(self, begin, end):
        """Seconds of standstill between two moments of time.time()."""
        return sum(max(0.0, min(end, last) - max(begin, first)) for first, last in list(self._gaps))
