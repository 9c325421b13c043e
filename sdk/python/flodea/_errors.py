"""Errors of calls: one class for each status code of gRPC (https://grpc.io/docs/guides/status-codes/)."""


class Error(Exception):
    """A call that failed.

    code: the status code's name, as "NOT_FOUND".
    message: what went wrong, for people.
    details: google.rpc details as dictionaries, each with its "@type"; often empty.
    """

    code = "UNKNOWN"
    number = 2

    def __init__(self, message: str, details: list[dict] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details = details or []

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    def __reduce__(self):
        return type(self), (self.message, self.details)


class Cancelled(Error):
    """The call was cancelled."""

    code, number = "CANCELLED", 1


class Unknown(Error):
    """An error without a better name."""

    code, number = "UNKNOWN", 2


class InvalidArgument(Error):
    """An argument is out of its range, whatever the state of the system. Trying again does not help."""

    code, number = "INVALID_ARGUMENT", 3


class DeadlineExceeded(Error):
    """The `timeout` passed. Whether the call took effect is unknown."""

    code, number = "DEADLINE_EXCEEDED", 4


class NotFound(Error):
    """There is no such thing."""

    code, number = "NOT_FOUND", 5


class AlreadyExists(Error):
    """It is there already."""

    code, number = "ALREADY_EXISTS", 6


class PermissionDenied(Error):
    """Policy forbids it."""

    code, number = "PERMISSION_DENIED", 7


class ResourceExhausted(Error):
    """A limit of this agent is reached: its disk, its open calls, its rate."""

    code, number = "RESOURCE_EXHAUSTED", 8


class FailedPrecondition(Error):
    """The system is not in the state that the call asks for, as a version that does not hold."""

    code, number = "FAILED_PRECONDITION", 9


class Aborted(Error):
    """A conflict with another call. Start again from reading."""

    code, number = "ABORTED", 10


class OutOfRange(Error):
    """Past the end."""

    code, number = "OUT_OF_RANGE", 11


class Unimplemented(Error):
    """This Flodea has no such method."""

    code, number = "UNIMPLEMENTED", 12


class Internal(Error):
    """A fault of Flodea."""

    code, number = "INTERNAL", 13


class Unavailable(Error):
    """The supervisor could not be reached, or went away during a call that must not be repeated by itself."""

    code, number = "UNAVAILABLE", 14


class DataLoss(Error):
    """Stored data is damaged."""

    code, number = "DATA_LOSS", 15


_BY_NUMBER = {
    kind.number: kind
    for kind in (
        Cancelled, Unknown, InvalidArgument, DeadlineExceeded, NotFound, AlreadyExists, PermissionDenied,
        ResourceExhausted, FailedPrecondition, Aborted, OutOfRange, Unimplemented, Internal, Unavailable, DataLoss,
    )
}
_PROTOCOL = {-32601: Unimplemented, -32602: InvalidArgument}  # JSON-RPC's own; the others would be this SDK's fault


def from_reply(error: dict) -> Error:
    """The exception for the `error` of a JSON-RPC response."""
    code = error.get("code", 0)
    kind = _PROTOCOL.get(code) or _BY_NUMBER.get(-32000 - code) or Internal
    data = error.get("data")
    return kind(str(error.get("message", "")), data if isinstance(data, list) else None)
