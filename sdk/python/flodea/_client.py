"""JSON-RPC 2.0 with the worker over the inherited descriptor (docs/agent_protocol.md), for any number of threads and one event loop.

Whoever waits reads: one waiter at a time has the *lead*. It reads for all, gives each reply to its slot, and passes the lead on
when its own has come. While asyncio calls are pending the event loop has the lead (see aio/_client.py).
"""

import os
import select
import time
from _thread import allocate_lock, get_ident

from ._errors import Error, InvalidArgument, Unavailable, from_reply
from ._json_text import dumps, loads

MAX_LINE = 1 << 20
AHEAD = 16  # items of a stream that may come before they are asked for
_CHUNK = 65536
_LONGEST_WAIT = 1e6  # seconds that the system calls below take in one go


def _seconds_left(deadline: float | None) -> float | None:
    return None if deadline is None else min(max(0.0, deadline - time.monotonic()), _LONGEST_WAIT)


class Slot:
    """One open call: what has come for it, and how its waiter is woken."""

    __slots__ = ("id", "event", "signalled", "items", "result", "error", "ended")

    def __init__(self) -> None:
        self.id = 0
        self.event = allocate_lock()
        self.event.acquire()
        self.signalled = False
        self.items: list[dict] = []
        self.result: dict = {}
        self.error: Error | None = None
        self.ended = False

    def ready(self) -> bool:
        return self.ended or bool(self.items)

    def wake(self) -> None:
        """With the client's lock held."""
        if not self.signalled:
            self.signalled = True
            self.event.release()

    def outcome(self) -> dict:
        if self.error is not None:
            raise self.error
        return self.result


class Client:
    def __init__(self, fd: int) -> None:
        os.set_inheritable(fd, False)
        os.set_blocking(fd, False)
        self.fd = fd
        self._pid = os.getpid()
        self._lock = allocate_lock()  # of all below; never held while waiting
        self._sending = allocate_lock()  # lines go out whole
        self._outgoing = b""  # under _sending; what an interrupted sender leaves goes out before the next line
        self._slots: dict[int, Slot] = {}
        self._last_id = 0
        self._buffer = b""
        self._lead: int | None = None  # the thread that reads, None: nobody
        self.loop = None  # aio's: what takes the lead while asyncio calls are pending
        self._broken: Error | None = None

    # -- calls --

    def call(self, method: str, params: dict, timeout: float | None = None, key: str | None = None) -> dict:
        slot = Slot()
        try:
            self.start(slot, method, params, timeout, key)
            self.wait(slot)
        except BaseException:
            self.abandon(slot)
            raise
        return slot.outcome()

    def start(self, slot: Slot, method: str, params: dict, timeout: float | None = None, key: str | None = None,
              credit: int = 0) -> None:
        if self._pid != os.getpid():
            raise Error("flodea cannot be used in a forked child: the connection is its parent's")
        request = {"jsonrpc": "2.0", "id": 0, "method": method, "params": params}
        if timeout is not None:
            request["deadline_ms"] = min(max(1, int(timeout * 1000)), 1 << 31)
        if key is not None:
            request["idempotency_key"] = key
        with self._lock:
            if self._broken is not None:
                raise self._broken
            self._last_id += 1
            slot.id = request["id"] = self._last_id
            self._slots[slot.id] = slot
        queued = False
        try:
            line = dumps(request).encode() + b"\n"
            if len(line) > MAX_LINE:
                raise InvalidArgument(f"the call is larger than {MAX_LINE} bytes")
            if credit:
                line += self._credit_line(slot, credit)
            queued = True
            self._send(line)
        except BaseException:  # a signal's handler may raise anywhere
            self.abandon(slot) if queued else self.forget(slot)
            raise

    def grant(self, slot: Slot, credit: int) -> None:
        self._send(self._credit_line(slot, credit))

    def abandon(self, slot: Slot) -> None:
        """Ends a call whose answer is no longer wanted."""
        if self.forget(slot) and self._broken is None:
            notice = {"jsonrpc": "2.0", "method": "cancel", "params": {"id": slot.id}}
            try:
                self._send(dumps(notice).encode() + b"\n")
            except Unavailable:
                pass  # then the call is over as well

    def forget(self, slot: Slot) -> bool:
        with self._lock:
            return self._slots.pop(slot.id, None) is not None

    @staticmethod
    def _credit_line(slot: Slot, credit: int) -> bytes:
        return dumps({"jsonrpc": "2.0", "method": "credit", "params": {"id": slot.id, "n": credit}}).encode() + b"\n"

    def _send(self, data: bytes) -> None:
        with self._sending:
            self._outgoing += data
            while self._outgoing:
                try:
                    self._outgoing = self._outgoing[os.write(self.fd, self._outgoing):]
                except BlockingIOError:
                    self._wait_for_room()
                except OSError as error:
                    self._outgoing = b""
                    raise Unavailable(f"the connection to Flodea is broken: {error.strerror}") from None

    def _wait_for_room(self) -> None:
        """The worker stops reading while too many replies are unread: they are taken meanwhile."""
        poller = select.poll()
        poller.register(self.fd, select.POLLIN | select.POLLOUT)
        events = poller.poll()[0][1]
        if events & select.POLLIN:
            if self._lead == get_ident():
                self.pump()
            else:
                self.poll_once()

    # -- waiting and reading --

    def wait(self, slot: Slot, deadline: float | None = None) -> bool:
        """Until the slot is ready, or time.monotonic() is at `deadline`: whether it is ready."""
        me = get_ident()
        while True:
            with self._lock:
                if slot.ready():
                    return True
                leads = self._lead is None
                if leads:
                    self._lead = me
                elif self._lead == me:  # asyncio's lead, in this very thread: the loop stands still while we wait
                    break
            if leads:
                try:
                    return self._read_until(slot, deadline)
                finally:
                    self.pass_lead()
            left = _seconds_left(deadline)
            if slot.event.acquire(timeout=-1 if left is None else left):
                slot.signalled = False
            elif deadline is not None and left == 0:
                return slot.ready()
        return self._read_until(slot, deadline)

    def _read_until(self, slot: Slot, deadline: float | None) -> bool:
        poller = select.poll()
        poller.register(self.fd, select.POLLIN)
        while not slot.ready():
            left = _seconds_left(deadline)
            if poller.poll(None if left is None else left * 1000):
                self.pump()
            if left == 0:
                break
        return slot.ready()

    def take_lead(self) -> bool:
        """For aio: True if this thread reads from now on."""
        with self._lock:
            if self._lead is None:
                self._lead = get_ident()
                return True
            return False

    def pass_lead(self) -> None:
        with self._lock:
            self._lead = None
            loop = self.loop
            if loop is None or not loop.wants_lead():
                for slot in self._slots.values():
                    if not slot.ready() and type(slot) is Slot:
                        slot.wake()
                return
        loop.offer_lead()

    def poll_once(self) -> None:
        """Takes what has arrived, without waiting, unless somebody else reads."""
        if self.take_lead():
            try:
                self.pump()
            finally:
                self.pass_lead()

    def pump(self) -> None:
        """Reads once and hands out what is whole. By the holder of the lead only; never waits."""
        try:
            chunk = os.read(self.fd, _CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            return self._break(f"the connection to Flodea is broken: {error.strerror}")
        if not chunk:
            return self._break("Flodea has closed the connection")
        lines = (self._buffer + chunk if self._buffer else chunk).split(b"\n")
        self._buffer = lines.pop()
        for line in lines:
            self._take(loads(line.decode()))

    def _take(self, message: dict) -> None:
        if message.get("method") == "stream":
            params = message["params"]
            with self._lock:
                slot = self._slots.get(params["id"])
                if slot is not None:
                    slot.items.append(params["message"])
                    slot.wake()
            return
        with self._lock:
            slot = self._slots.pop(message.get("id"), None)
            if slot is None:
                return  # an abandoned call
            if "error" in message:
                slot.error = from_reply(message["error"])
            else:
                slot.result = message["result"]
            slot.ended = True
            slot.wake()

    def _break(self, why: str) -> None:
        with self._lock:
            self._broken = Unavailable(why)
            slots, self._slots = list(self._slots.values()), {}
            for slot in slots:
                slot.error = self._broken
                slot.ended = True
                slot.wake()


_client: Client | None = None
_making = allocate_lock()


def client() -> Client:
    """The one connection of this process. Unavailable: this is no agent of Flodea's."""
    global _client
    if _client is None:
        with _making:
            if _client is None:
                number = os.environ.get("FLODEA_FD", "")
                if not number.isdigit():
                    raise Unavailable("not an agent of Flodea's: FLODEA_FD is not set")
                _client = Client(int(number))
    return _client


def call(method: str, params: dict | None = None, *, timeout: float | None = None,
         idempotency_key: str | None = None) -> dict:
    """Any method of any module, by name.

    method: as "flodea.kernel.v1.Clock/Now".
    params: the request in protobuf's JSON mapping (64-bit integers as strings, bytes in base64).
    timeout: seconds; DeadlineExceeded after that.
    idempotency_key: 1–128 printable ASCII characters without `"` and backslash, for methods that take one: such a call
        happens once, and survives a restart of the supervisor.
    Returns the response in the same mapping; fields that have their default are left out. Raises `Error`.
    """
    return client().call(method, params or {}, timeout, idempotency_key)


def run(planned):
    """One of _api's calls."""
    return planned.read(client().call(planned.method, planned.params))


class Stream:
    """The messages of a stream, one by one. Close it, or use it in a `with`, to end it early."""

    def __init__(self, connection: Client, method: str, params: dict) -> None:
        self._client = connection
        self._slot = Slot()
        connection.start(self._slot, method, params, credit=AHEAD)

    def __iter__(self) -> "Stream":
        return self

    def __next__(self) -> dict:
        slot = self._slot
        self._client.wait(slot)
        if slot.items:
            item = slot.items.pop(0)
            if not slot.ended:
                self._client.grant(slot, 1)
            return item
        slot.outcome()
        raise StopIteration

    def close(self) -> None:
        self._client.abandon(self._slot)

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def stream(method: str, params: dict | None = None) -> Stream:
    """The same as `call` for a method that answers with a stream. After a restart of the supervisor items may come again."""
    return Stream(client(), method, params or {})
