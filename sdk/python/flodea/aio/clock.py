"""As `flodea.clock`, for asyncio."""

from __future__ import annotations

from .. import _api
from .._api import Time as Time
from ._client import run as _run


async def now() -> Time:
    """As `flodea.clock.now`."""
    return await _run(_api.now())


async def sleep_until(*, wall_nanos: int | None = None, monotonic_nanos: int | None = None) -> Time:
    """As `flodea.clock.sleep_until`."""
    return await _run(_api.sleep_until(wall_nanos, monotonic_nanos))


async def sleep(seconds: float) -> Time:
    """As `flodea.clock.sleep`."""
    return await sleep_until(monotonic_nanos=_api.wake_time(await now(), seconds))
