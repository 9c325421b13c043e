"""What an agent may ask of Flodea: its clock, its store, and what it may know and say of itself.

    import flodea

    flodea.store.put("greeting", b"hello")
    print(flodea.store.get("greeting").value)
    flodea.clock.sleep(1.5)

Everything here blocks its thread; `flodea.aio` has the same for asyncio. Calls may be made from any thread, but not from a signal
handler. Errors are subclasses of `flodea.Error`. Standard library only. Importing costs a fraction of a millisecond: the rest comes
when it is used.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import agent as agent, aio as aio, clock as clock, logging as logging, store as store
    from ._client import call as call, stream as stream
    from ._errors import (
        Aborted as Aborted, AlreadyExists as AlreadyExists, Cancelled as Cancelled, DataLoss as DataLoss,
        DeadlineExceeded as DeadlineExceeded, Error as Error, FailedPrecondition as FailedPrecondition,
        Internal as Internal, InvalidArgument as InvalidArgument, NotFound as NotFound, OutOfRange as OutOfRange,
        PermissionDenied as PermissionDenied, ResourceExhausted as ResourceExhausted, Unavailable as Unavailable,
        Unimplemented as Unimplemented, Unknown as Unknown,
    )

__version__ = "0.1.0"

_MODULES = ("agent", "aio", "clock", "logging", "store")
_ERRORS = (
    "Aborted", "AlreadyExists", "Cancelled", "DataLoss", "DeadlineExceeded", "Error", "FailedPrecondition", "Internal",
    "InvalidArgument", "NotFound", "OutOfRange", "PermissionDenied", "ResourceExhausted", "Unavailable",
    "Unimplemented", "Unknown",
)
_FUNCTIONS = ("call", "stream")
__all__ = [*_MODULES, *_ERRORS, *_FUNCTIONS]


def __getattr__(name: str):
    if name in _MODULES:
        __import__(f"flodea.{name}")  # binds flodea.<name> on the way
        return globals()[name]
    if name in _ERRORS:
        from . import _errors as source
    elif name in _FUNCTIONS:
        from . import _client as source
    else:
        raise AttributeError(f"module 'flodea' has no attribute {name!r}")
    value = globals()[name] = getattr(source, name)
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
