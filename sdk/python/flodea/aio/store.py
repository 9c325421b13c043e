"""As `flodea.store`, for asyncio."""

from __future__ import annotations

from .. import _api
from .._api import Committed as Committed, Entry as Entry
from ._client import run as _run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping


async def get(key: bytes | str) -> Entry:
    """As `flodea.store.get`."""
    return await _run(_api.get(key))


async def put(key: bytes | str, value: bytes | str, *, if_version: int | None = None) -> int:
    """As `flodea.store.put`."""
    return await _run(_api.put(key, value, if_version))


async def delete(key: bytes | str, *, if_version: int | None = None) -> bool:
    """As `flodea.store.delete`."""
    return await _run(_api.delete(key, if_version))


async def list(prefix: bytes | str = b"", *, keys_only: bool = False, page_size: int = 100) -> AsyncIterator[Entry]:
    """As `flodea.store.list`: `async for entry in list(…)`."""
    token = ""
    while True:
        page = await _run(_api.list_page(prefix, keys_only, page_size, token))
        for entry in page.entries:
            yield entry
        token = page.next_page_token
        if not token:
            return


async def commit(*, puts: Mapping[bytes | str, bytes | str] | None = None, deletes: Iterable[bytes | str] = (),
                 conditions: Mapping[bytes | str, int] | None = None, dedup_key: str | None = None) -> Committed:
    """As `flodea.store.commit`."""
    return await _run(_api.commit(dict(conditions or {}), dict(puts or {}), tuple(deletes), dedup_key))
