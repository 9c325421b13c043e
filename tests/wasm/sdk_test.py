"""Both SDKs in modules under flodea-wasm, against a fake worker."""
import base64
import os
import signal
import subprocess
import unittest

from fake_worker import FakeWorker, RpcError
from wasm_programs import BUILD, GUESTS, PATIENCE, ProgramTest


def encoded(text):
    return base64.b64encode(text.encode()).decode()


ANSWERS = {
    "flodea.kernel.v1.Clock/Now": {"wallNanos": "1700000000000000001", "monotonicNanos": "5000"},
    "flodea.kernel.v1.Clock/SleepUntil": {},
    "flodea.storage.v1.Store/Commit": lambda request: {"version": "8", "deleted": len(request["params"].get("deletes", []))},
    "flodea.storage.v1.Store/Get": lambda request: (
        {"entry": {"key": request["params"]["key"], "value": encoded("vé"), "version": "9007199254740993"}}
        if request["params"]["key"] == encoded("k") else RpcError(-32005, "no such \"key\"")),
    "flodea.agent.v1.Self/Log": {},
    "flodea.agent.v1.Self/Ready": {},
    "test/Large": {"x": "y" * 100_000},
    "test/None": RpcError(-32601, "no such method"),
}


class Sdk(ProgramTest):
    guests = ("sdk", "sdk_as")

    def start(self, guest, *arguments):
        return self.run_agent((GUESTS / f"{guest}.wasm").read_bytes(), guest, *arguments)

    def run_agent(self, module, name, *arguments):
        worker = FakeWorker(dict(ANSWERS))
        self.addCleanup(worker.close)
        number = worker.agent_end.fileno()
        process = subprocess.Popen(self.command(self.compile(module, name), *arguments), stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, pass_fds=[number], env={"FLODEA_FD": str(number)})
        for undo in (process.stderr.close, process.stdout.close, process.wait, process.kill):  # the last one first
            self.addCleanup(undo)
        return worker, process

    def test_each_call_reaches_the_worker_and_its_answer_the_module(self):
        said = {}
        for guest in self.guests:
            worker, process = self.start(guest)
            out, errors = process.communicate(timeout=PATIENCE)
            self.assertEqual((process.returncode, errors), (0, b""))
            said[guest] = out.decode().splitlines()
            self.check_requests(worker.requests)
        self.assertEqual(said["sdk"][:5], ["now: 0 ", "1700000000000000001 5000", "sleep: 0 ", "put: 0 ", "8"])
        self.assertIn("3 9007199254740993 vé", said["sdk"])
        self.assertIn("vé 9007199254740993", said["sdk_as"])
        for lines in said.values():
            self.assertIn('missing: 5 no such "key"', lines)
            self.assertIn("100008", lines)
            self.assertIn("unknown: 12 no such method", lines)
            self.assertEqual([line[:12] for line in lines if line.startswith("broken")], ["broken: -28 "])

    def check_requests(self, requests):
        self.assertEqual([r["id"] for r in requests], list(range(1, len(requests) + 1)))
        by_method = {r["method"].split("/")[1]: r["params"] for r in requests}
        self.assertEqual(by_method["SleepUntil"], {"monotonicNanos": "10000"})
        self.assertEqual(by_method["None"], {"a": [1, 2]})
        put, deleted = [r["params"] for r in requests if r["method"].endswith("Commit")]
        self.assertEqual(put["conditions"], [{"key": encoded('k"\n'), "version": "7"}])
        self.assertEqual(put["puts"][0]["key"], encoded('k"\n'))
        self.assertEqual(deleted["deletes"], [encoded("k")])
        self.assertNotEqual(put["dedupKey"], deleted["dedupKey"])
        record = by_method["Log"]["records"][0]
        self.assertEqual((record["level"], record["message"][:9]), (3, 'a "line"\n'))

    def test_sigterm_only_wakes_who_watches_for_the_stop(self):
        for guest in self.guests:
            worker, process = self.start(guest, "stop")
            request = worker.next("flodea.agent.v1.Self/WatchStop")
            self.assertEqual(worker.next("credit")["params"], {"id": request["id"], "n": 16})
            self.assertIn(process.stdout.readline(), (b"asked: 0\n", b"asked: false\n"))
            process.send_signal(signal.SIGTERM)
            worker.item(request, 1, {"reason": "operator", "deadlineNanos": "1"})
            out, _ = process.communicate(timeout=PATIENCE)
            self.assertIn(out, (b"stopped: 1\n", b"stopped: true\n"))
            self.assertEqual(process.returncode, 3)

    def test_the_examples_store_the_same_figures_and_end_when_asked(self):
        figures, logged = [], []
        for folder, arguments in (("risk-wasm", [str(BUILD / "examples/risk-wasm/positions.csv")]), ("risk-wasm-as", [])):
            worker, process = self.run_agent((BUILD / "examples" / folder / "risk.wasm").read_bytes(), folder, *arguments)
            watch = worker.next("flodea.agent.v1.Self/WatchStop")
            worker.item(watch, 1, {"reason": "operator"})
            out, errors = process.communicate(timeout=PATIENCE)
            self.assertEqual((process.returncode, errors), (0, b""))
            self.assertTrue(out.endswith(b"stopped as asked\n"), out)
            params = {r["method"].split("/")[-1]: r["params"] for r in worker.requests}
            figures.append(params["Commit"]["puts"][0]["value"])
            logged.append(params["Log"]["records"][0]["message"])
        self.assertEqual(base64.b64decode(figures[0]), b'{"positions":6,"exposure_cents":33013390,"at_risk_cents":1713079}')
        self.assertEqual(figures[0], figures[1])
        self.assertEqual(logged, ["6 positions, 17130.79 at risk: stored"] * 2)

    def test_outside_of_flodea_every_call_says_so(self):
        for guest in self.guests:
            done = self.run_module(self.compile_guest(guest))
            self.assertEqual(done.returncode, 0)
            self.assertIn(b"now: -53 not an agent of Flodea's", done.stdout)

    def test_a_worker_that_hangs_up_ends_the_call(self):
        for guest in self.guests:
            worker, process = self.start(guest, "stop")
            worker.next("flodea.agent.v1.Self/WatchStop")
            worker.hang_up()
            os.set_inheritable(worker.agent_end.fileno(), False)
            process.communicate(timeout=PATIENCE)
            self.assertEqual(process.returncode, 3)


if __name__ == "__main__":
    unittest.main()
