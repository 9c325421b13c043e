"""How an event loop takes part in the one connection (flodea/_client.py): while its calls are pending it wants the lead, and reads
when the descriptor is readable. A synchronous waiter that has the lead reads for it meanwhile.
"""

from __future__ import annotations

import asyncio
from _thread import get_ident

from .. import _api
from .._client import AHEAD, Client, Slot, client


class _LoopSlot(Slot):
    """A call whose waiter is a coroutine."""

    __slots__ = ("_loop", "_thread", "_future")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop
        self._thread = get_ident()
        self._future: asyncio.Future | None = None

    def wake(self) -> None:
        if get_ident() == self._thread:
            self._resolve()
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._resolve)

    def _resolve(self) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    async def wait(self) -> None:
        while not self.ready():
            self._future = self._loop.create_future()
            if not self.ready():  # another thread may read
                await self._future


class _Bridge:
    """The part of one event loop. Its methods run in the loop's thread, but for `wants_lead` and `offer_lead`."""

    def __init__(self, connection: Client, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.pending = 0
        self._client = connection
        self._leads = False

    def wants_lead(self) -> bool:
        return self.pending > 0 and not self.loop.is_closed()

    def offer_lead(self) -> None:
        self.loop.call_soon_threadsafe(self._consider)

    def _consider(self) -> None:
        if self._leads or not self._client.take_lead():
            return
        if self.pending == 0:
            self._client.pass_lead()
            return
        self._leads = True
        self.loop.add_reader(self._client.fd, self._client.pump)

    def __enter__(self) -> None:
        self.pending += 1
        self._consider()

    def __exit__(self, *_: object) -> None:
        self.pending -= 1
        if self.pending == 0 and self._leads:
            self._leads = False
            self.loop.remove_reader(self._client.fd)
            self._client.pass_lead()


def _bridge() -> tuple[Client, _Bridge]:
    connection = client()
    loop = asyncio.get_running_loop()
    bridge = connection.loop
    if bridge is None or bridge.loop is not loop:
        if bridge is not None and bridge.wants_lead():
            raise RuntimeError("flodea.aio is in use by another event loop")
        bridge = connection.loop = _Bridge(connection, loop)
    return connection, bridge


async def call(method: str, params: dict | None = None, *, timeout: float | None = None,
               idempotency_key: str | None = None) -> dict:
    """As `flodea.call`."""
    connection, bridge = _bridge()
    slot = _LoopSlot(bridge.loop)
    with bridge:
        connection.start(slot, method, params or {}, timeout, idempotency_key)
        try:
            await slot.wait()
        finally:
            connection.abandon(slot)  # nothing to do where it has ended
    return slot.outcome()


async def stream(method: str, params: dict | None = None):
    """As `flodea.stream`: an asynchronous iterator of messages. Close it (`aclose`) to end it early."""
    connection, bridge = _bridge()
    slot = _LoopSlot(bridge.loop)
    with bridge:
        connection.start(slot, method, params or {}, credit=AHEAD)
        try:
            while True:
                await slot.wait()
                if not slot.items:
                    break
                item = slot.items.pop(0)
                if not slot.ended:
                    connection.grant(slot, 1)
                yield item
        finally:
            connection.abandon(slot)
    slot.outcome()


async def run(planned: _api.Call):
    return planned.read(await call(planned.method, planned.params))
