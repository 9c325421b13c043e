"""Every call once: what to send and what its answer means. The synchronous and the asyncio modules differ only in how they wait."""

import os
from binascii import a2b_base64, b2a_base64

from ._errors import InvalidArgument

NANOS = 1_000_000_000


class Call:
    """A method, its request, and how to read its response."""

    __slots__ = ("method", "params", "read")

    def __init__(self, method: str, params: dict, read=None) -> None:
        self.method = method
        self.params = params
        self.read = read or _nothing


def _nothing(_: dict) -> None:
    return None


class _Record:
    """A value with named fields."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self.__slots__)})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and all(getattr(self, n) == getattr(other, n) for n in self.__slots__)

    __hash__ = None  # type: ignore[assignment]


# --- clock ---


class Time(_Record):
    """A moment by two clocks of the node.

    wall_nanos: nanoseconds since 1970-01-01T00:00:00Z; may jump when the node's clock is set.
    monotonic_nanos: nanoseconds of a clock that never jumps; for durations. It starts anew when the node boots.
    """

    __slots__ = ("wall_nanos", "monotonic_nanos")

    def __init__(self, wall_nanos: int, monotonic_nanos: int) -> None:
        self.wall_nanos = wall_nanos
        self.monotonic_nanos = monotonic_nanos


def _time(reply: dict) -> Time:
    return Time(int(reply.get("wallNanos", 0)), int(reply.get("monotonicNanos", 0)))


def now() -> Call:
    return Call("flodea.kernel.v1.Clock/Now", {}, _time)


def sleep_until(wall_nanos: int | None, monotonic_nanos: int | None) -> Call:
    if (wall_nanos is None) == (monotonic_nanos is None):
        raise InvalidArgument("give one of wall_nanos and monotonic_nanos")
    name, value = ("wallNanos", wall_nanos) if monotonic_nanos is None else ("monotonicNanos", monotonic_nanos)
    return Call("flodea.kernel.v1.Clock/SleepUntil", {name: str(int(value))}, _time)


def wake_time(start: Time, seconds: float) -> int:
    return start.monotonic_nanos + max(0, int(seconds * NANOS))


# --- store ---


class Entry(_Record):
    """A key with its value.

    version: > 0, of this key's last write; it rises with every commit of the store.
    """

    __slots__ = ("key", "value", "version")

    def __init__(self, key: bytes, value: bytes, version: int) -> None:
        self.key = key
        self.value = value
        self.version = version


class Committed(_Record):
    """What a commit did.

    version: of every key that was put.
    deleted: how many of the keys to delete existed.
    """

    __slots__ = ("version", "deleted")

    def __init__(self, version: int, deleted: int) -> None:
        self.version = version
        self.deleted = deleted


class Page(_Record):
    __slots__ = ("entries", "next_page_token")

    def __init__(self, entries: list[Entry], next_page_token: str) -> None:
        self.entries = entries
        self.next_page_token = next_page_token


def _bytes(what: str, data: bytes | str) -> bytes:
    if isinstance(data, str):
        return data.encode()
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise TypeError(f"a {what} must be bytes or str, not {type(data).__name__}")


def _base64(what: str, data: bytes | str) -> str:
    return b2a_base64(_bytes(what, data), newline=False).decode()


def _entry(entry: dict) -> Entry:
    return Entry(a2b_base64(entry.get("key", "")), a2b_base64(entry.get("value", "")), int(entry.get("version", 0)))


def get(key: bytes | str) -> Call:
    return Call("flodea.storage.v1.Store/Get", {"key": _base64("key", key)}, lambda reply: _entry(reply["entry"]))


def commit(conditions: dict, puts: dict, deletes, dedup_key: str | None, read=None) -> Call:
    """With a key of its own, so that the call happens once though the supervisor dies under it."""
    params: dict = {"dedupKey": dedup_key or os.urandom(16).hex()}
    if conditions:
        params["conditions"] = [{"key": _base64("key", k), "version": str(int(v))} for k, v in conditions.items()]
    if puts:
        params["puts"] = [{"key": _base64("key", k), "value": _base64("value", v)} for k, v in puts.items()]
    if deletes:
        params["deletes"] = [_base64("key", key) for key in deletes]
    return Call("flodea.storage.v1.Store/Commit", params, read or _committed)


def _committed(reply: dict) -> Committed:
    return Committed(int(reply.get("version", 0)), int(reply.get("deleted", 0)))


def put(key: bytes | str, value: bytes | str, if_version: int | None) -> Call:
    conditions = {} if if_version is None else {key: if_version}
    return commit(conditions, {key: value}, (), None, lambda reply: int(reply["version"]))


def delete(key: bytes | str, if_version: int | None) -> Call:
    conditions = {} if if_version is None else {key: if_version}
    return commit(conditions, {}, (key,), None, lambda reply: reply.get("deleted", 0) > 0)


def list_page(prefix: bytes | str, keys_only: bool, page_size: int, page_token: str) -> Call:
    params: dict = {"pageSize": page_size}
    if prefix:
        params["prefix"] = _base64("prefix", prefix)
    if keys_only:
        params["keysOnly"] = True
    if page_token:
        params["pageToken"] = page_token
    return Call("flodea.storage.v1.Store/List", params, _page)


def _page(reply: dict) -> Page:
    return Page([_entry(entry) for entry in reply.get("entries", ())], reply.get("nextPageToken", ""))


# --- agent ---


class Limits(_Record):
    """What this agent may use. memory_bytes, disk_bytes: bytes; cpu_millis: thousandths of a core; pids: processes and threads."""

    __slots__ = ("memory_bytes", "cpu_millis", "pids", "disk_bytes", "open_files")

    def __init__(self, memory_bytes: int, cpu_millis: int, pids: int, disk_bytes: int, open_files: int) -> None:
        self.memory_bytes = memory_bytes
        self.cpu_millis = cpu_millis
        self.pids = pids
        self.disk_bytes = disk_bytes
        self.open_files = open_files


class Description(_Record):
    """What this agent is.

    spec: its manifest's spec, as a dictionary with defaults filled in.
    generation: which start of it this is, from 1.
    restarts: how often it was restarted since an operator last started it.
    """

    __slots__ = ("name", "labels", "generation", "spec", "limits", "restarts")

    def __init__(self, name: str, labels: dict[str, str], generation: int, spec: dict, limits: Limits,
                 restarts: int) -> None:
        self.name = name
        self.labels = labels
        self.generation = generation
        self.spec = spec
        self.limits = limits
        self.restarts = restarts


class Usage(_Record):
    """What this agent uses. cpu_nanos: CPU time so far; *_bytes: bytes now; calls: module calls so far."""

    __slots__ = ("cpu_nanos", "memory_bytes", "memory_peak_bytes", "pids", "disk_used_bytes", "calls")

    def __init__(self, cpu_nanos: int, memory_bytes: int, memory_peak_bytes: int, pids: int, disk_used_bytes: int,
                 calls: int) -> None:
        self.cpu_nanos = cpu_nanos
        self.memory_bytes = memory_bytes
        self.memory_peak_bytes = memory_peak_bytes
        self.pids = pids
        self.disk_used_bytes = disk_used_bytes
        self.calls = calls


class StopNotice(_Record):
    """The agent is asked to stop.

    reason: "operator", "shutdown" or "replace".
    deadline_nanos: wall time at which it is killed.
    """

    __slots__ = ("reason", "deadline_nanos")

    def __init__(self, reason: str, deadline_nanos: int) -> None:
        self.reason = reason
        self.deadline_nanos = deadline_nanos


WATCH_STOP = "flodea.agent.v1.Self/WatchStop"
LEVELS = {"debug": "LEVEL_DEBUG", "info": "LEVEL_INFO", "warning": "LEVEL_WARNING", "error": "LEVEL_ERROR"}


def _describe(reply: dict) -> Description:
    from ._json_text import loads

    limits = reply.get("limits", {})
    return Description(
        reply.get("name", ""), reply.get("labels", {}), int(reply.get("generation", 0)), loads(reply.get("specJson") or "{}"),
        Limits(int(limits.get("memoryBytes", 0)), limits.get("cpuMillis", 0), limits.get("pids", 0),
               int(limits.get("diskBytes", 0)), limits.get("openFiles", 0)),
        reply.get("restarts", 0))


def _usage(reply: dict) -> Usage:
    return Usage(int(reply.get("cpuNanos", 0)), int(reply.get("memoryBytes", 0)), int(reply.get("memoryPeakBytes", 0)),
                 reply.get("pids", 0), int(reply.get("diskUsedBytes", 0)), int(reply.get("calls", 0)))


def describe() -> Call:
    return Call("flodea.agent.v1.Self/Describe", {}, _describe)


def usage() -> Call:
    return Call("flodea.agent.v1.Self/Usage", {}, _usage)


def ready() -> Call:
    return Call("flodea.agent.v1.Self/Ready", {})


def beat() -> Call:
    return Call("flodea.agent.v1.Self/Beat", {})


def log(message: str, level: str, fields: dict) -> Call:
    if level not in LEVELS:
        raise InvalidArgument(f"level must be one of {', '.join(LEVELS)}, not {level!r}")
    record: dict = {"level": LEVELS[level], "message": message}
    if fields:
        record["fields"] = {name: value if isinstance(value, str) else str(value) for name, value in fields.items()}
    return Call("flodea.agent.v1.Self/Log", {"records": [record]})


def stop_notice(message: dict) -> StopNotice:
    return StopNotice(message.get("reason", ""), int(message.get("deadlineNanos", 0)))


def keep_sigterm_from_killing() -> None:
    """Who asks about stopping wants to end by itself: SIGTERM, which comes with the notice, then only interrupts waits.

    A handler that the program has set stays. Only the main thread can set one; elsewhere nothing changes.
    """
    import _signal  # `signal` itself imports enum: 3 ms

    try:
        if _signal.getsignal(_signal.SIGTERM) == _signal.SIG_DFL:
            _signal.signal(_signal.SIGTERM, lambda number, frame: None)
    except ValueError:
        pass
