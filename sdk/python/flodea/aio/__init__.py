"""The same as `flodea`, for asyncio:

    import asyncio
    import flodea.aio

    async def main():
        await flodea.aio.store.put("greeting", b"hello")
        await flodea.aio.clock.sleep(1.5)

    asyncio.run(main())

One event loop at a time; it may be used beside the synchronous functions. A call that is cancelled is cancelled at Flodea too.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import agent as agent, clock as clock, store as store
    from ._client import call as call, stream as stream

_MODULES = ("agent", "clock", "store")
_FUNCTIONS = ("call", "stream")
__all__ = [*_MODULES, *_FUNCTIONS]


def __getattr__(name: str):
    if name in _MODULES:
        __import__(f"flodea.aio.{name}")
        return globals()[name]
    if name in _FUNCTIONS:
        from . import _client

        value = globals()[name] = getattr(_client, name)
        return value
    raise AttributeError(f"module 'flodea.aio' has no attribute {name!r}")
