"""The system clock of the node. All times are integers in nanoseconds, durations floats in seconds."""

from . import _api
from ._api import Time as Time
from ._client import run as _run


def now() -> Time:
    """The node's wall and monotonic time."""
    return _run(_api.now())


def sleep_until(*, wall_nanos: int | None = None, monotonic_nanos: int | None = None) -> Time:
    """Waits until one of the two times has come, at once if it has passed, and returns the time then.

    At most 366 days ahead, else InvalidArgument. ResourceExhausted: more than 64 sleeps of this agent at once.
    Goes on through a restart of the supervisor.
    """
    return _run(_api.sleep_until(wall_nanos, monotonic_nanos))


def sleep(seconds: float) -> Time:
    """Waits `seconds` (0 to 366 days) by the monotonic clock and returns the time then. Errors as `sleep_until`."""
    return sleep_until(monotonic_nanos=_api.wake_time(now(), seconds))
