"""The worker's end of the calls socket, for tests: a thread that answers as the test says."""

import json
import os
import queue
import socket
import threading
import unittest

GUARD = 20  # s, against a hang alone


class FakeWorker:
    """`answers` maps a method to what is its result, to a function of the request that returns one, or to an RpcError.

    Requests for other methods, and notifications, stand in `unanswered` until the test answers them.
    """

    def __init__(self, answers=None):
        self.answers = answers or {}
        self.requests = []
        self.unanswered = queue.Queue()
        self.agent_end, self._socket = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        with self._socket.makefile("rb") as lines:
            for line in lines:
                self._take(json.loads(line))

    def _take(self, request):
        self.requests.append(request)
        answer = self.answers.get(request["method"])
        if answer is None or "id" not in request:
            self.unanswered.put(request)
            return
        self.reply(request, answer(request) if callable(answer) else answer)

    def reply(self, request, answer):
        if isinstance(answer, RpcError):
            self.send(id=request["id"], error={"code": answer.code, "message": answer.message, "data": answer.data})
        else:
            self.send(id=request["id"], result=answer)

    def item(self, request, seq, message):
        self.send(method="stream", params={"id": request["id"], "seq": seq, "message": message})

    def send(self, **message):
        self._socket.sendall(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    def send_raw(self, data):
        self._socket.sendall(data)

    def next(self, method):
        """The next unanswered message of this method."""
        while True:
            request = self.unanswered.get(timeout=GUARD)
            if request["method"] == method:
                return request

    def hang_up(self):
        self._socket.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.hang_up()
        self._thread.join()
        self._socket.close()
        self.agent_end.close()


class RpcError:
    def __init__(self, code, message, data=None):
        self.code, self.message, self.data = code, message, data


class WorkerTestCase(unittest.TestCase):
    """Each test has a connection of its own."""

    def connect(self, answers=None):
        from flodea import _client, agent

        worker = FakeWorker(answers)
        os.environ["FLODEA_FD"] = str(worker.agent_end.fileno())
        _client._client = None
        agent._watch = agent._StopWatch()
        self.addCleanup(worker.close)
        return worker
