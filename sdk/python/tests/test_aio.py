"""The asyncio API against a fake worker, alone and beside the synchronous one."""

import asyncio
import threading

import flodea
import flodea.aio
from fake_worker import RpcError, WorkerTestCase

NOW = "flodea.kernel.v1.Clock/Now"
SLEEP = "flodea.kernel.v1.Clock/SleepUntil"
WATCH_STOP = "flodea.agent.v1.Self/WatchStop"
MOMENT = {"wallNanos": "1", "monotonicNanos": "5000000000"}


def in_thread(function):
    return asyncio.get_running_loop().run_in_executor(None, function)


class Aio(WorkerTestCase):
    def test_many_calls_at_once(self):
        self.connect({"a/Echo": lambda request: request["params"]})

        async def main():
            return await asyncio.gather(*(flodea.aio.call("a/Echo", {"n": n}) for n in range(50)))

        self.assertEqual(asyncio.run(main()), [{"n": n} for n in range(50)])

    def test_one_loop_after_another_and_synchronous_calls_between(self):
        self.connect({NOW: MOMENT})
        for _ in range(3):
            self.assertEqual(asyncio.run(flodea.aio.clock.now()).wall_nanos, 1)
            self.assertEqual(flodea.clock.now().wall_nanos, 1)

    def test_an_error_is_raised_where_it_is_awaited(self):
        self.connect({"flodea.storage.v1.Store/Get": RpcError(-32005, "no such key")})
        with self.assertRaises(flodea.NotFound):
            asyncio.run(flodea.aio.store.get("k"))

    def test_a_cancelled_call_is_cancelled_at_the_worker(self):
        worker = self.connect({NOW: MOMENT})

        async def main():
            task = asyncio.create_task(flodea.aio.clock.sleep(3600))
            request = await in_thread(lambda: worker.next(SLEEP))
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            cancel = await in_thread(lambda: worker.next("cancel"))
            self.assertEqual(cancel["params"]["id"], request["id"])
            await flodea.aio.clock.now()

        asyncio.run(main())

    def test_a_synchronous_call_within_a_coroutine_takes_answers_for_the_loop_too(self):
        worker = self.connect({NOW: MOMENT})

        async def main():
            task = asyncio.create_task(flodea.aio.call("a/B"))
            worker.reply(await in_thread(lambda: worker.next("a/B")), {"x": 1})
            flodea.clock.now()
            return await task

        self.assertEqual(asyncio.run(main()), {"x": 1})

    def test_threads_and_the_loop_share_the_connection(self):
        worker = self.connect({NOW: MOMENT, "a/Echo": lambda request: request["params"]})
        wrong = []

        def work():
            for turn in range(200):
                if flodea.call("a/Echo", {"t": turn}) != {"t": turn}:
                    wrong.append(turn)

        async def main():
            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads:
                thread.start()
            for turn in range(200):
                if await flodea.aio.call("a/Echo", {"t": turn}) != {"t": turn}:
                    wrong.append(turn)
            await in_thread(lambda: [thread.join() for thread in threads])

        asyncio.run(main())
        self.assertEqual(wrong, [])
        self.assertEqual(len(worker.requests), 1000)

    def test_a_thread_that_waits_is_woken_by_the_loop_and_outlives_it(self):
        worker = self.connect({NOW: MOMENT})
        results = []

        def wait_in_thread():
            results.append(flodea.call("a/Long"))

        async def main():
            pending = asyncio.create_task(flodea.aio.call("a/Held"))
            held = await in_thread(lambda: worker.next("a/Held"))
            thread = threading.Thread(target=wait_in_thread)
            thread.start()
            long = await in_thread(lambda: worker.next("a/Long"))
            worker.reply(held, {})
            await pending  # the loop gives the lead up; the thread must take it
            return thread, long

        thread, long = asyncio.run(main())
        worker.reply(long, {"late": True})
        thread.join(5)
        self.assertEqual(results, [{"late": True}])

    def test_pages_and_streams_are_asynchronous_iterators(self):
        pages = {None: {"entries": [{"key": "YQ==", "version": "1"}], "nextPageToken": "t"}, "t": {"entries": [{"key": "Yg==", "version": "2"}]}}
        worker = self.connect({"flodea.storage.v1.Store/List": lambda request: pages[request["params"].get("pageToken")]})

        async def main():
            keys = [entry.key async for entry in flodea.aio.store.list()]
            items = flodea.aio.stream("a/S")
            first = asyncio.create_task(anext(items))
            request = await in_thread(lambda: worker.next("a/S"))
            worker.item(request, 1, {"n": 1})
            got = await first
            await items.aclose()
            cancel = await in_thread(lambda: worker.next("cancel"))
            return keys, got, cancel["params"]["id"] == request["id"]

        self.assertEqual(asyncio.run(main()), ([b"a", b"b"], {"n": 1}, True))

    def test_wait_stop_and_stop_requested(self):
        worker = self.connect({NOW: MOMENT})

        async def main():
            waiting = asyncio.create_task(flodea.aio.agent.wait_stop())
            request = await in_thread(lambda: worker.next(WATCH_STOP))
            asked = flodea.aio.agent.stop_requested()
            worker.item(request, 1, {"reason": "operator", "deadlineNanos": "9"})
            return asked, await waiting

        asked, notice = asyncio.run(main())
        self.assertFalse(asked)
        self.assertEqual((notice.reason, notice.deadline_nanos), ("operator", 9))

    def test_wait_stop_gives_up_when_its_time_is_over_and_hears_of_it_later(self):
        worker = self.connect()

        async def main():
            early = await flodea.aio.agent.wait_stop(0.02)
            await in_thread(lambda: worker.next("cancel"))  # nothing of it stays open
            waiting = asyncio.create_task(flodea.aio.agent.wait_stop(timeout=60))
            request = await in_thread(lambda: worker.next(WATCH_STOP))
            worker.item(request, 1, {"reason": "operator"})
            return early, await waiting

        early, notice = asyncio.run(main())
        self.assertIsNone(early)
        self.assertEqual(notice.reason, "operator")

    def test_wait_stop_that_is_cancelled_is_cancelled(self):
        worker = self.connect()

        async def main():
            waiting = asyncio.create_task(flodea.aio.agent.wait_stop(60))
            await in_thread(lambda: worker.next(WATCH_STOP))
            waiting.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await waiting

        asyncio.run(main())
