"""Tries every way out of the sandbox or across to others that its author knows, and prints what came of each.

First run: every attempt but the last, then a memory bomb, which ends it with reason `oom`. Its store remembers that, so the
restarted intruder reports how the bomb ended, and the count. A number other than 0 is a hole in the sandbox.
"""
import json
import os
import sys

import flodea

import attempts
import exhaustion
from attempts import Held

STATE = b"intruder/state"


def run(name, attempt):
    """True if the attempt succeeded; prints one line: what was tried, and what stopped it."""
    try:
        outcome = attempt()
    except OSError as error:
        print(f"held     {name}: {os.strerror(error.errno)} (errno {error.errno})")
        return False
    except Held as held:
        print(f"held     {name}: {held}")
        return False
    print(f"SUCCEEDED {name}: {outcome}")
    return True


def load():
    try:
        return json.loads(flodea.store.get(STATE).value)
    except flodea.NotFound:
        return None


def first_run():
    """Everything that leaves a process behind it; then the bomb."""
    tried = list(attempts.ALL) + list(exhaustion.ALL)
    succeeded = sum(run(name, attempt) for name, attempt in tried)
    flodea.store.put(STATE, json.dumps({"tried": len(tried), "succeeded": succeeded}).encode())
    print("memory bomb: allocating until something stops it", flush=True)
    exhaustion.memory_bomb()
    print("SUCCEEDED memory bomb: it was allowed to allocate without end")


def after_the_bomb(state):
    print("held     memory bomb: the kernel ended it, and only it (reason oom)")
    print(f"{state['tried'] + 1} attempts, {state['succeeded']} succeeded")
    return 0 if state["succeeded"] == 0 else 1


def main():
    state = load()
    if state is None:
        first_run()
        return 1
    return after_the_bomb(state)


if __name__ == "__main__":
    sys.exit(main())
