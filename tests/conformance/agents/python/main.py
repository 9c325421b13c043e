"""The conformance agent in Python: does what its first argument says. The same in each language; conformance_test.py reads what it prints."""
import errno
import json
import os
import signal
import socket
import sys
import time

import flodea

WORDS = sys.argv[2:]


def say(*words):
    print(*words, flush=True)


def cases():
    def expand(value):
        if isinstance(value, dict):
            return "A" * value["repeat"] if list(value) == ["repeat"] else {k: expand(v) for k, v in value.items()}
        return [expand(v) for v in value] if isinstance(value, list) else value

    for line in open("/app/cases.tsv"):
        if line.startswith("#"):
            continue
        name, method, params = line.rstrip("\n").split("\t")
        try:
            say("case", json.dumps(name), "result", json.dumps(flodea.call(method, expand(json.loads(params)))))
        except flodea.Error as error:
            say("case", json.dumps(name), "error", error.code)


def late():
    begin = int(flodea.call("flodea.kernel.v1.Clock/Now")["wallNanos"])
    try:
        flodea.call("flodea.kernel.v1.Clock/SleepUntil", {"wallNanos": str(begin + 3600 * 10**9)}, timeout=0.2)
    except flodea.Error as error:
        say("late", error.code)


def end():
    sys.exit(int(WORDS[0]))


def abort():
    os.abort()


def throw():
    raise ValueError("not caught")


def stop():
    flodea.agent.stop_requested()  # from now on SIGTERM does not end it
    say("waiting")
    say("asked", flodea.agent.wait_stop().reason)


def idle():
    say("waiting")
    while True:
        signal.pause()


def busy():
    say("waiting")
    while True:
        pass


def deaf():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    busy()


def ready():
    say("about to be ready")
    flodea.agent.ready()
    idle()


def again():
    mark = os.path.expanduser("~/ran")
    if os.path.exists(mark):
        say("second run")
        return
    open(mark, "w").close()
    sys.exit(3)


def log():
    os.write(1, b"a line\n")
    os.write(2, b"a line of stderr\n")
    os.write(1, b"\n")
    os.write(1, b"tab\tand \xc3\xbcml\xc3\xa4ut\n")
    os.write(1, b"bad \xff\xfe bytes\n")
    os.write(1, b"nul \0 byte\n")
    os.write(1, b"x" * 20000 + b"\n")
    os.write(1, b"in two ")
    os.write(1, b"writes\n")
    os.write(1, b"no newline")


def surroundings():
    say("arguments", json.dumps(WORDS))
    for name in ("LOG", "EMPTY", "ABSENT", "HOME", "TMPDIR", "LANG", "PATH", "FLODEA_AGENT"):
        say(name, json.dumps(os.environ.get(name)))
    say("working_directory", json.dumps(os.getcwd()))
    say("a_file_of_its_bundle", json.dumps(open("cases.tsv").readline().split(",")[0]))
    say("user", json.dumps([os.getuid(), os.getgid()]))
    with open("/data/kept", "w") as kept, open("/tmp/scratch", "w") as scratch:
        say("writes_to_data_and_tmp", json.dumps([kept.write("1"), scratch.write("22")]))


def objects():
    kept = []
    while True:
        kept.append([0.5] * 10000)


def buffers():
    kept = []
    while True:
        kept.append(bytearray(b"x" * (1 << 20)))


def pids():
    count = 0
    try:
        while count < 1000:
            if os.fork() == 0:
                signal.pause()
            count += 1
    except OSError as error:
        say("refused", errno.errorcode[error.errno])
    os._exit(0)


def disk():
    written = 0
    try:
        with open("/data/fill", "wb", buffering=0) as file:
            while written < 1 << 30:
                written += file.write(b"x" * 65536)
    except OSError as error:
        say("refused", errno.errorcode[error.errno], "below its size" if written < 15 << 20 else "at its size")


def files():
    held = []
    try:
        while len(held) < 10000:
            held.append(os.open("/app/cases.tsv", os.O_RDONLY))
    except OSError as error:
        say("refused", errno.errorcode[error.errno], "at descriptor", held[-1] + 1)


def cpu():
    began = time.monotonic()
    used = time.process_time()
    while time.monotonic() - began < 2:
        pass
    say("share", (time.process_time() - used) / (time.monotonic() - began))


def attempt(name, action):
    try:
        action()
        say("attempt", json.dumps(name), "SUCCEEDED")
    except OSError as error:
        say("attempt", json.dumps(name), errno.errorcode[error.errno])


def denials():
    attempt("write into its bundle", lambda: open("/app/made", "w"))
    attempt("change its own code", lambda: open("/app/main.py", "a"))
    attempt("make its bundle its own", lambda: os.chmod("/app", 0o777))
    attempt("write into the host's programs", lambda: open("/usr/bin/made", "w"))
    attempt("write into the SDK", lambda: open("/opt/flodea/made", "w"))
    attempt("read the passwords", lambda: open("/etc/shadow"))
    attempt("read the node's keys", lambda: os.listdir("/var/lib/flodea"))
    attempt("read the worker's environment", lambda: open("/proc/1/environ").read())
    attempt("read kernel memory", lambda: open("/proc/kcore"))
    attempt("write a kernel setting", lambda: open("/proc/sys/kernel/core_pattern", "w"))
    attempt("kill the worker", lambda: os.kill(1, 9))
    attempt("reach an address outside", lambda: socket.create_connection(("192.0.2.1", 80), timeout=5))
    attempt("make a raw socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))


{"cases": cases, "late": late, "exit": end, "abort": abort, "throw": throw, "stop": stop, "idle": idle, "busy": busy, "deaf": deaf, "ready": ready,
 "again": again, "log": log, "surroundings": surroundings, "objects": objects, "buffers": buffers, "pids": pids, "disk": disk, "files": files, "cpu": cpu,
 "denials": denials}[sys.argv[1]]()
