"""The synchronous API against a fake worker."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import unittest

import flodea
import flodea.logging
from fake_worker import RpcError, WorkerTestCase

NOW = "flodea.kernel.v1.Clock/Now"
SLEEP = "flodea.kernel.v1.Clock/SleepUntil"
COMMIT = "flodea.storage.v1.Store/Commit"
WATCH_STOP = "flodea.agent.v1.Self/WatchStop"
MOMENT = {"wallNanos": "1700000000000000000", "monotonicNanos": "5000000000"}


class Calls(WorkerTestCase):
    def test_a_call_carries_what_the_protocol_says(self):
        worker = self.connect({NOW: {}})
        self.assertEqual(flodea.call(NOW, {}, timeout=0.25, idempotency_key="k"), {})
        self.assertEqual(worker.requests[0], {"jsonrpc": "2.0", "id": 1, "method": NOW, "params": {}, "deadline_ms": 250,
                                              "idempotency_key": "k"})

    def test_an_error_has_its_class_its_message_and_its_details(self):
        details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "NO_KEY"}]
        self.connect({"a/B": RpcError(-32005, "no such key", details)})
        with self.assertRaises(flodea.NotFound) as caught:
            flodea.call("a/B")
        self.assertEqual((caught.exception.code, caught.exception.message), ("NOT_FOUND", "no such key"))
        self.assertEqual(caught.exception.details, details)
        self.assertIsInstance(caught.exception, flodea.Error)

    def test_every_status_code_and_the_protocols_own_have_a_class(self):
        names = ["Cancelled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists",
                 "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented",
                 "Internal", "Unavailable", "DataLoss"]
        expected = {-32001 - number: name for number, name in enumerate(names)}
        expected |= {-32601: "Unimplemented", -32602: "InvalidArgument", -32700: "Internal"}
        for code, name in expected.items():
            self.connect({"a/B": RpcError(code, "x")})
            with self.assertRaises(getattr(flodea, name)) as caught:
                flodea.call("a/B")
            self.assertEqual(type(caught.exception).__name__, name)

    def test_a_call_over_a_mebibyte_is_refused_here(self):
        worker = self.connect({NOW: {}})
        with self.assertRaises(flodea.InvalidArgument):
            flodea.call("a/B", {"value": "x" * (1 << 20)})
        flodea.call(NOW)
        self.assertEqual(len(worker.requests), 1)

    def test_a_large_reply_in_pieces_is_put_together(self):
        worker = self.connect()
        text = "ü" * 400_000
        result = {}
        caller = threading.Thread(target=lambda: result.update(flodea.call("a/B")))
        caller.start()
        request = worker.next("a/B")
        line = json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": {"text": text}}, ensure_ascii=False).encode() + b"\n"
        for at in range(0, len(line), 65537):
            worker.send_raw(line[at:at + 65537])
        caller.join()
        self.assertEqual(result["text"], text)

    def test_when_the_worker_hangs_up_calls_end_and_so_do_later_ones(self):
        worker = self.connect()
        errors = []

        def call():
            try:
                flodea.call("a/B")
            except flodea.Unavailable as error:
                errors.append(error)

        callers = [threading.Thread(target=call) for _ in range(3)]
        for caller in callers:
            caller.start()
        for _ in callers:
            worker.next("a/B")
        worker.hang_up()
        for caller in callers:
            caller.join()
        self.assertEqual(len(errors), 3)
        with self.assertRaises(flodea.Unavailable):
            flodea.call("a/B")

    def test_without_a_descriptor_it_says_that_this_is_no_agent(self):
        from flodea import _client

        _client._client = None
        os.environ.pop("FLODEA_FD", None)
        with self.assertRaises(flodea.Unavailable):
            flodea.call(NOW)

    def test_a_forked_child_may_not_speak_on_its_parents_connection(self):
        self.connect({NOW: {}})
        flodea.call(NOW)
        child = os.fork()
        if child == 0:
            try:
                flodea.call(NOW)
            except flodea.Error as error:
                os._exit(7 if "forked" in str(error) else 1)
            os._exit(2)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 7)

    def test_an_interrupted_call_is_cancelled(self):
        worker = self.connect({NOW: {}})

        class Alarm(Exception):
            pass

        def ring(number, frame):
            raise Alarm

        previous = signal.signal(signal.SIGUSR1, ring)
        self.addCleanup(signal.signal, signal.SIGUSR1, previous)
        main = threading.get_ident()

        def interrupt():
            self.request = worker.next("a/B")
            signal.pthread_kill(main, signal.SIGUSR1)

        helper = threading.Thread(target=interrupt)
        helper.start()
        with self.assertRaises(Alarm):
            flodea.call("a/B")
        helper.join()
        self.assertEqual(worker.next("cancel")["params"], {"id": self.request["id"]})
        flodea.call(NOW)  # the connection is as good as before


class Threads(WorkerTestCase):
    def test_many_threads_get_their_own_answers(self):
        self.connect({"a/Echo": lambda request: request["params"]})
        wrong = []

        def work(number):
            for turn in range(100):
                if flodea.call("a/Echo", {"n": number, "t": turn}) != {"n": number, "t": turn}:
                    wrong.append((number, turn))

        workers = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        self.assertEqual(wrong, [])

    def test_one_that_waits_long_holds_up_nobody(self):
        worker = self.connect({NOW: MOMENT})
        done = threading.Event()
        sleeper = threading.Thread(target=lambda: (flodea.clock.sleep_until(wall_nanos=1), done.set()))
        sleeper.start()
        request = worker.next(SLEEP)
        for _ in range(10):
            flodea.clock.now()
        self.assertFalse(done.is_set())
        worker.reply(request, {})
        sleeper.join(5)
        self.assertTrue(done.is_set())

    def test_answers_in_reverse_order_reach_their_callers(self):
        worker = self.connect()
        results = {}
        callers = [threading.Thread(target=lambda n=n: results.__setitem__(n, flodea.call("a/B", {"n": n}))) for n in range(5)]
        for caller in callers:
            caller.start()
        requests = [worker.next("a/B") for _ in callers]
        for request in reversed(requests):
            worker.reply(request, {"n": request["params"]["n"]})
        for caller in callers:
            caller.join(5)
        self.assertEqual(results, {n: {"n": n} for n in range(5)})


class Modules(WorkerTestCase):
    def test_the_clock(self):
        worker = self.connect({NOW: MOMENT, SLEEP: {"monotonicNanos": "6500000000"}})
        self.assertEqual(flodea.clock.now(), flodea.clock.Time(1700000000000000000, 5000000000))
        self.assertEqual(flodea.clock.sleep(1.5).monotonic_nanos, 6500000000)
        self.assertEqual(worker.requests[-1]["params"], {"monotonicNanos": "6500000000"})
        with self.assertRaises(flodea.InvalidArgument):
            flodea.clock.sleep_until()

    def test_the_store_reads(self):
        self.connect({"flodea.storage.v1.Store/Get": {"entry": {"key": "aw==", "value": "AAH/", "version": "7"}}})
        self.assertEqual(flodea.store.get("k"), flodea.store.Entry(b"k", b"\x00\x01\xff", 7))

    def test_an_empty_value_is_left_out_of_the_reply(self):
        self.connect({"flodea.storage.v1.Store/Get": {"entry": {"key": "aw==", "version": "7"}}})
        self.assertEqual(flodea.store.get(b"k").value, b"")

    def test_a_write_is_a_commit_with_a_key_of_its_own(self):
        worker = self.connect({COMMIT: {"version": "9", "deleted": 1}})
        self.assertEqual(flodea.store.put("k", b"v", if_version=0), 9)
        self.assertTrue(flodea.store.delete(b"k"))
        first, second = (request["params"] for request in worker.requests)
        self.assertEqual(first["conditions"], [{"key": "aw==", "version": "0"}])
        self.assertEqual(first["puts"], [{"key": "aw==", "value": "dg=="}])
        self.assertEqual(second["deletes"], ["aw=="])
        self.assertNotEqual(first["dedupKey"], second["dedupKey"])

    def test_a_commit_of_many(self):
        worker = self.connect({COMMIT: {"version": "9"}})
        done = flodea.store.commit(puts={"a": "1", "b": "2"}, deletes=["c"], conditions={"d": 4}, dedup_key="mine")
        self.assertEqual(done, flodea.store.Committed(9, 0))
        self.assertEqual(worker.requests[0]["params"]["dedupKey"], "mine")
        self.assertEqual(len(worker.requests[0]["params"]["puts"]), 2)

    def test_a_list_goes_through_all_pages(self):
        pages = {None: {"entries": [{"key": "YQ==", "version": "1"}], "nextPageToken": "t"}, "t": {"entries": [{"key": "Yg==", "version": "2"}]}}
        worker = self.connect({"flodea.storage.v1.Store/List": lambda request: pages[request["params"].get("pageToken")]})
        self.assertEqual([entry.key for entry in flodea.store.list("x", keys_only=True)], [b"a", b"b"])
        self.assertEqual(worker.requests[0]["params"], {"pageSize": 100, "prefix": "eA==", "keysOnly": True})

    def test_what_an_agent_knows_of_itself(self):
        self.connect({
            "flodea.agent.v1.Self/Describe": {"name": "ledger", "generation": "3", "specJson": '{"bundle":"b"}',
                                              "limits": {"memoryBytes": "1048576", "pids": 64}},
            "flodea.agent.v1.Self/Usage": {"cpuNanos": "12", "pids": 2},
            "flodea.agent.v1.Self/Ready": {}, "flodea.agent.v1.Self/Beat": {},
        })
        about = flodea.agent.describe()
        self.assertEqual((about.name, about.generation, about.spec), ("ledger", 3, {"bundle": "b"}))
        self.assertEqual((about.limits.memory_bytes, about.limits.pids), (1048576, 64))
        self.assertEqual(flodea.agent.usage().cpu_nanos, 12)
        self.assertIsNone(flodea.agent.ready())
        self.assertIsNone(flodea.agent.beat())

    def test_structured_records_and_pythons_logging(self):
        worker = self.connect({"flodea.agent.v1.Self/Log": {}})
        flodea.agent.log("bought", "warning", amount=3)
        record = logging.getLogger("desk").makeRecord("desk", logging.ERROR, "f", 1, "sold %s", ("XAU",), None, extra={"fields": {"n": 1}})
        flodea.logging.Handler().handle(record)
        sent = [request["params"]["records"][0] for request in worker.requests]
        self.assertEqual(sent[0], {"level": "LEVEL_WARNING", "message": "bought", "fields": {"amount": "3"}})
        self.assertEqual(sent[1], {"level": "LEVEL_ERROR", "message": "sold XAU", "fields": {"logger": "desk", "n": "1"}})
        with self.assertRaises(flodea.InvalidArgument):
            flodea.agent.log("x", "loud")


class Streams(WorkerTestCase):
    def test_items_come_in_order_under_credit_and_the_stream_ends(self):
        worker = self.connect()

        def serve():
            request = worker.next("a/S")
            self.first_credit = worker.next("credit")["params"]
            for seq in range(1, 4):
                worker.item(request, seq, {"n": seq})
            worker.reply(request, {})

        server = threading.Thread(target=serve)
        server.start()
        self.assertEqual([item["n"] for item in flodea.stream("a/S")], [1, 2, 3])
        server.join()
        self.assertEqual(self.first_credit, {"id": 1, "n": 16})

    def test_a_stream_that_is_closed_is_cancelled(self):
        worker = self.connect()
        with flodea.stream("a/S"):
            pass
        self.assertEqual(worker.next("cancel")["params"], {"id": 1})

    def test_an_error_ends_a_stream(self):
        self.connect({"a/S": RpcError(-32014, "gone")})
        with self.assertRaises(flodea.Unavailable):
            list(flodea.stream("a/S"))


class Stopping(WorkerTestCase):
    def test_stop_requested_looks_without_waiting(self):
        worker = self.connect({NOW: MOMENT})
        self.assertFalse(flodea.agent.stop_requested())
        request = worker.next(WATCH_STOP)
        worker.item(request, 1, {"reason": "operator", "deadlineNanos": "42"})
        flodea.clock.now()  # its answer comes after the notice
        self.assertTrue(flodea.agent.stop_requested())
        self.assertEqual(flodea.agent.wait_stop(), flodea.agent.StopNotice("operator", 42))

    def test_wait_stop_gives_up_when_its_time_is_over_and_hears_of_it_later(self):
        worker = self.connect({NOW: MOMENT})
        for timeout in (0, -1, 0.05):
            began = time.monotonic()
            self.assertIsNone(flodea.agent.wait_stop(timeout))
            self.assertGreaterEqual(time.monotonic() - began, timeout)
        request = worker.next(WATCH_STOP)
        worker.item(request, 1, {"reason": "operator"})
        self.assertEqual(flodea.agent.wait_stop(timeout=1e300).reason, "operator")
        self.assertEqual(flodea.agent.wait_stop(0).reason, "operator")
        self.assertEqual([r["method"] for r in worker.requests if r.get("id") == request["id"]], [WATCH_STOP])

    def test_wait_stop_gives_up_while_another_thread_reads(self):
        worker = self.connect()
        reader = threading.Thread(target=flodea.call, args=(NOW,))
        reader.start()
        request = worker.next(NOW)  # it waits for its answer, and reads for all
        self.assertIsNone(flodea.agent.wait_stop(0.02))
        worker.item(worker.next(WATCH_STOP), 1, {"reason": "shutdown"})
        self.assertEqual(flodea.agent.wait_stop(5).reason, "shutdown")
        worker.reply(request, MOMENT)
        reader.join(5)

    def test_on_stop_calls_back(self):
        worker = self.connect()
        told = threading.Event()
        notices = []
        flodea.agent.on_stop(lambda notice: (notices.append(notice), told.set()))
        worker.item(worker.next(WATCH_STOP), 1, {"reason": "shutdown"})
        self.assertTrue(told.wait(5))
        self.assertEqual(notices[0].reason, "shutdown")

    def test_sigterm_kills_who_does_not_ask_and_spares_who_does(self):
        code = "import os, signal, sys, flodea.agent\nif sys.argv[1] == 'asks': flodea.agent.stop_requested()\n" \
               "os.kill(os.getpid(), signal.SIGTERM); print('alive')"
        for argument, status in (("asks", 0), ("not", -signal.SIGTERM)):
            worker = self.connect()
            fd = worker.agent_end.fileno()
            done = subprocess.run([sys.executable, "-c", code, argument], pass_fds=[fd], capture_output=True)
            self.assertEqual(done.returncode, status, done.stderr)


class Cost(unittest.TestCase):
    """What makes an interpreter slow to start is not imported unless it is used (docs/sdk_python.md)."""

    SLOW = {"json", "re", "typing", "dataclasses", "enum", "threading", "asyncio", "collections", "socket", "logging", "signal"}

    def loaded_by(self, code):
        program = f"import sys\nbefore = set(sys.modules)\n{code}\nprint(*(set(sys.modules) - before))"
        done = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True, check=True)
        return set(done.stdout.split())

    def test_the_package_alone_loads_nothing_else(self):
        self.assertEqual(self.loaded_by("import flodea"), {"flodea"})

    def test_the_synchronous_modules_load_nothing_slow(self):
        loaded = self.loaded_by("import flodea; flodea.clock, flodea.store, flodea.agent, flodea.Error")
        self.assertIn("flodea.store", loaded)
        self.assertEqual(loaded & self.SLOW, set())


if __name__ == "__main__":
    unittest.main()
