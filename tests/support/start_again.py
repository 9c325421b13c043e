"""Stands above flodead as systemd does: `start_again.py COMMAND…` starts it again at once when it was killed, inherits what it leaves behind,
passes SIGTERM on, and ends as it ends."""
import ctypes
import os
import signal
import sys

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def main():
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        sys.exit("start_again: no subreaper")
    signal.signal(signal.SIGTERM, lambda *_: os.kill(below, signal.SIGTERM))
    while True:
        below = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
        ended, status = os.wait()
        while ended != below:
            ended, status = os.wait()
        if not os.WIFSIGNALED(status):
            sys.exit(os.waitstatus_to_exitcode(status))


main()
