"""The agent's key-value store, in its encrypted volume.

Keys: 1–1,024 bytes; values: 0–256 KiB; a str is taken as UTF-8. A write that has returned is on disk, and happens once even if the
supervisor dies under it. All functions raise InvalidArgument (bounds), ResourceExhausted (the disk is full), DataLoss (the
store's file is damaged), Unavailable (no supervisor for 30 s).
"""

from . import _api
from ._api import Committed as Committed, Entry as Entry
from ._client import run as _run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


def get(key: bytes | str) -> Entry:
    """The entry of `key`. NotFound: there is none."""
    return _run(_api.get(key))


def put(key: bytes | str, value: bytes | str, *, if_version: int | None = None) -> int:
    """Writes and returns the key's new version.

    if_version: write only if the key's version is this; 0: only if it does not exist. Else FailedPrecondition.
    """
    return _run(_api.put(key, value, if_version))


def delete(key: bytes | str, *, if_version: int | None = None) -> bool:
    """Deletes, and says whether it existed. `if_version` as in `put`."""
    return _run(_api.delete(key, if_version))


def list(prefix: bytes | str = b"", *, keys_only: bool = False, page_size: int = 100) -> "Iterator[Entry]":
    """All entries whose key starts with `prefix`, in byte order of their keys. Pages are fetched as needed.

    keys_only: values are left empty. page_size: 1–1,000.
    """
    token = ""
    while True:
        page = _run(_api.list_page(prefix, keys_only, page_size, token))
        yield from page.entries
        token = page.next_page_token
        if not token:
            return


def commit(*, puts: "Mapping[bytes | str, bytes | str] | None" = None, deletes: "Iterable[bytes | str]" = (),
           conditions: "Mapping[bytes | str, int] | None" = None, dedup_key: str | None = None) -> Committed:
    """All conditions hold and every put and delete happens, or nothing does (FailedPrecondition).

    conditions: the version that each key must have; 0: it must not exist. At most 1,000 operations and 512 KiB in all.
    dedup_key: 1–128 printable characters. The same key again within 24 hours gives the first answer and changes nothing;
        left out, each call has its own.
    """
    return _run(_api.commit(dict(conditions or {}), dict(puts or {}), tuple(deletes), dedup_key))
