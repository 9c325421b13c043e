"""Using up what is shared: each attempt succeeds only if it gets more than the manifest gives it."""
import errno
import os
import time

from attempts import Held

ALL = []
PIDS, OPEN_FILES, DISK_BYTES, LOG_BYTES_PER_SECOND = 24, 128, 16 << 20, 256 << 10  # as flodea.yaml has them


def attempt(name):
    def register(function):
        ALL.append((name, function))
        return function
    return register


@attempt("fork bomb")
def _():
    children, read_end, write_end = [], *os.pipe()
    try:
        while len(children) <= PIDS:
            child = os.fork()
            if child == 0:
                os.read(read_end, 1)  # until the parent closes its end
                os._exit(0)
            children.append(child)
    except OSError as error:
        if error.errno != errno.EAGAIN:
            raise
        raise Held(f"EAGAIN after {len(children)} processes") from None
    finally:
        os.write(write_end, b"x" * len(children))
        for child in children:
            os.waitpid(child, 0)
        os.close(read_end)
        os.close(write_end)
    return f"{len(children)} processes of {PIDS}"


@attempt("use up descriptors")
def _():
    held = []
    try:
        while len(held) <= OPEN_FILES:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        if error.errno != errno.EMFILE:
            raise
        raise Held(f"EMFILE after {len(held)} descriptors") from None
    finally:
        for descriptor in held:
            os.close(descriptor)
    return f"{len(held)} descriptors of {OPEN_FILES}"


@attempt("fill the disk")
def _():
    path, written = os.path.expanduser("~/filler"), 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        block = os.urandom(1 << 20)
        while written <= 2 * DISK_BYTES:
            written += os.write(descriptor, block)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise Held(f"ENOSPC after {written >> 20} MiB") from None
    finally:
        os.close(descriptor)
        os.unlink(path)
    return f"{written >> 20} MiB of {DISK_BYTES >> 20}"


@attempt("flood the log")
def _():
    line = b"flood " * 20 + b"\n"
    total, begin = 8 * LOG_BYTES_PER_SECOND, time.monotonic()
    for _ in range(total // len(line)):
        os.write(2, line)
    seconds = time.monotonic() - begin
    # Two seconds' worth may pass at once and the pipes hold some; the rest takes the time that its rate says.
    if seconds >= 0.5 * (total / LOG_BYTES_PER_SECOND - 2):
        raise Held(f"slowed to {total / seconds / 1024:.0f} KiB/s")
    return f"{total >> 20} MiB in {seconds:.2f} s"


def memory_bomb():
    """Touches memory until the kernel ends this process; returns only if nothing did after 4 GiB."""
    kept = []
    while len(kept) < 4096:
        kept.append(bytearray(os.urandom(1) * (1 << 20)))
