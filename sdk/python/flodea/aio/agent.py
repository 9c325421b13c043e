"""As `flodea.agent`, for asyncio."""

from __future__ import annotations

import asyncio

from .. import _api
from .. import agent as _agent
from .._api import Description as Description, Limits as Limits, StopNotice as StopNotice, Usage as Usage
from ._client import run as _run, stream as _stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import overload


async def describe() -> Description:
    """As `flodea.agent.describe`."""
    return await _run(_api.describe())


async def usage() -> Usage:
    """As `flodea.agent.usage`."""
    return await _run(_api.usage())


async def ready() -> None:
    """As `flodea.agent.ready`."""
    await _run(_api.ready())


async def beat() -> None:
    """As `flodea.agent.beat`."""
    await _run(_api.beat())


async def log(message: str, level: str = "info", **fields: object) -> None:
    """As `flodea.agent.log`."""
    await _run(_api.log(message, level, fields))


def stop_requested() -> bool:
    """As `flodea.agent.stop_requested`: it does not wait."""
    return _agent.stop_requested()


if TYPE_CHECKING:
    @overload
    async def wait_stop(timeout: None = None) -> StopNotice: ...
    @overload
    async def wait_stop(timeout: float) -> StopNotice | None: ...


async def wait_stop(timeout: float | None = None) -> StopNotice | None:
    """As `flodea.agent.wait_stop`."""
    _api.keep_sigterm_from_killing()
    try:
        async with asyncio.timeout(timeout) as limit:
            return await _next_stop()
    except TimeoutError:
        if not limit.expired():
            raise
    return None


async def _next_stop() -> StopNotice:
    while True:
        notices = _stream(_api.WATCH_STOP)
        try:
            async for message in notices:
                return _api.stop_notice(message)
        finally:
            await notices.aclose()
