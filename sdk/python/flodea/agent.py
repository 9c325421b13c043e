"""What this agent may know and say of itself."""

from time import monotonic

from . import _api
from ._api import Description as Description, Limits as Limits, StopNotice as StopNotice, Usage as Usage
from ._client import Slot as _Slot, client as _client, run as _run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import overload


def describe() -> Description:
    """Its name, labels, spec and limits."""
    return _run(_api.describe())


def usage() -> Usage:
    """What it uses now."""
    return _run(_api.usage())


def ready() -> None:
    """Says that it is ready to serve: with `readiness: {signal: self}` in its manifest it is `running` from now on."""
    _run(_api.ready())


def beat() -> None:
    """Says that it is still at work: with `liveness: {beat: 30s}` in its manifest it is hung, and ended, if it does not for so long."""
    _run(_api.beat())


def log(message: str, level: str = "info", **fields: object) -> None:
    """A structured record in its log. level: "debug", "info", "warning" or "error"; message and fields ≤ 8 KiB in all.

    ResourceExhausted: over its rate of log bytes.
    """
    _run(_api.log(message, level, fields))


class _StopWatch:
    """One open WatchStop of this process, and what it has said."""

    def __init__(self) -> None:
        self.notice: StopNotice | None = None
        self._slot: _Slot | None = None

    def open(self) -> _Slot:
        if self._slot is None:
            _api.keep_sigterm_from_killing()
            slot = _Slot()
            _client().start(slot, _api.WATCH_STOP, {}, credit=1)
            self._slot = slot
        return self._slot

    def look(self) -> StopNotice | None:
        slot = self._slot
        if self.notice is None and slot is not None and slot.ready():
            if slot.items:
                self.notice = _api.stop_notice(slot.items[0])
            else:
                self._slot = None  # ended without a notice: the next question opens it again
                slot.outcome()
        return self.notice


_watch = _StopWatch()


def stop_requested() -> bool:
    """Whether it was asked to stop. Does not wait; cheap enough for every turn of a loop.

    Once this, `wait_stop` or `on_stop` has been called, SIGTERM no longer ends the process by itself: end it yourself, within
    `stop_timeout` of the manifest. (A handler of SIGTERM that you have set stays. Call it in the main thread first.)
    """
    if _watch.notice is None:
        _watch.open()
        _client().poll_once()
    return _watch.look() is not None


if TYPE_CHECKING:
    @overload
    def wait_stop(timeout: None = None) -> StopNotice: ...
    @overload
    def wait_stop(timeout: float) -> "StopNotice | None": ...


def wait_stop(timeout: "float | None" = None) -> "StopNotice | None":
    """Waits until it is asked to stop. Goes on through a restart of the supervisor.

    timeout: seconds; None for ever. None is returned when they have passed without a request, so that
    `while not flodea.agent.wait_stop(10): work()` is a loop with a pause.
    """
    deadline = None if timeout is None else monotonic() + timeout
    while (notice := _watch.look()) is None:
        if not _client().wait(_watch.open(), deadline):
            return None
    return notice


def on_stop(callback: "Callable[[StopNotice], object]") -> None:
    """Calls `callback` once, in a thread of its own, when it is asked to stop."""
    from _thread import start_new_thread

    _api.keep_sigterm_from_killing()

    def watch() -> None:
        slot = _Slot()
        connection = _client()
        connection.start(slot, _api.WATCH_STOP, {}, credit=1)
        connection.wait(slot)
        if slot.items:
            callback(_api.stop_notice(slot.items[0]))

    start_new_thread(watch, ())
