"""As `flodea.agent`, for asyncio."""

from __future__ import annotations

from .. import _api
from .. import agent as _agent
from .._api import Description as Description, Limits as Limits, StopNotice as StopNotice, Usage as Usage
from ._client import run as _run, stream as _stream


async def describe() -> Description:
    """As `flodea.agent.describe`."""
    return await _run(_api.describe())


async def usage() -> Usage:
    """As `flodea.agent.usage`."""
    return await _run(_api.usage())


async def ready() -> None:
    """As `flodea.agent.ready`."""
    await _run(_api.ready())


async def log(message: str, level: str = "info", **fields: object) -> None:
    """As `flodea.agent.log`."""
    await _run(_api.log(message, level, fields))


def stop_requested() -> bool:
    """As `flodea.agent.stop_requested`: it does not wait."""
    return _agent.stop_requested()


async def wait_stop() -> StopNotice:
    """As `flodea.agent.wait_stop`."""
    _api.keep_sigterm_from_killing()
    while True:
        notices = _stream(_api.WATCH_STOP)
        try:
            async for message in notices:
                return _api.stop_notice(message)
        finally:
            await notices.aclose()
