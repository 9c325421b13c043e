"""How modules end under flodea-wasm, and what it refuses to run."""
import pathlib
import signal
import subprocess
import unittest

from wasm_programs import FOREVER, HOST, MEMORY, PATIENCE, PREAMBLE, ProgramTest, module, section


class Ends(ProgramTest):
    @classmethod
    def setUpClass(cls):
        cls.code = None

    def setUp(self):
        super().setUp()
        self.code = self.compile_guest("ends")

    def ends(self, *arguments, **options):
        return self.run_module(self.code, *arguments, **options)

    def assert_trap(self, done, status, *parts):
        self.assertEqual(done.returncode, status, done.stderr)
        self.assert_one_line(done.stderr, "flodea-wasm: trap: ", *parts)

    def test_the_exit_status_is_the_modules(self):
        for how in ("exit", "return"):
            for status in (0, 1, 42, 125):
                self.assertEqual(self.ends(how, str(status)).returncode, status)

    def test_a_module_cannot_end_with_a_status_of_the_host(self):
        for status in ("126", "134", "137", "-1"):
            self.assert_trap(self.ends("exit", status), 134, "exit status outside of [0..126)")

    def test_what_was_printed_is_there_without_a_line_end(self):
        self.assertEqual(self.ends("unflushed").stdout, b"no line end")

    def test_a_trap_is_one_line_with_the_functions_innermost_first(self):
        self.assert_trap(self.ends("abort"), 134, "abort (unreachable code) at abort+", " < _start")
        self.assert_trap(self.ends("divide"), 134, "division by zero", "main")
        self.assert_trap(self.ends("wild"), 134, "out-of-bounds memory access")
        self.assert_trap(self.ends("recurse"), 134, "call stack is used up", " < …")
        self.assert_trap(self.ends("call"), 134, "table")

    def test_memory_past_the_limit_is_refused_to_the_module(self):
        self.assertIn(b"grow: -1\n", self.ends("grow").stdout)
        done = self.ends("fill")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        pieces = int(done.stdout.split()[0])
        self.assertTrue(0.9 * MEMORY < pieces * 10_000 < MEMORY, pieces)

    def test_a_module_that_gives_up_for_want_of_memory_is_told_from_another_trap(self):
        self.assert_trap(self.ends("exhaust"), 137, f"memory at the limit of {MEMORY} bytes")

    def test_a_memory_that_begins_past_the_limit_is_not_run(self):
        done = self.ends(memory=65536)
        self.assertEqual(done.returncode, 126)
        self.assert_one_line(done.stderr, "cannot be run", "memory")

    def test_a_table_past_the_limit_is_not_run(self):
        done = self.run_module(self.code, options=("--tables", "0"))
        self.assertEqual(done.returncode, 126)
        self.assert_one_line(done.stderr, "table")

    def spin(self, code, *arguments):
        process = subprocess.Popen(self.command(code, *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.stdout.close)
        return process

    def test_a_module_that_never_ends_is_ended_by_a_signal(self):
        for number in (signal.SIGTERM, signal.SIGKILL):
            process = self.spin(self.code, "spin")
            self.assertEqual(process.stdout.readline(), b"spinning\n")
            process.send_signal(number)
            self.assertEqual(process.wait(PATIENCE), -number)

    def test_a_start_function_that_never_ends_is_ended_by_a_signal(self):
        # The start section's function runs while the module is set up, before _start.
        process = self.spin(self.compile(module(code=FOREVER, start=section(8, b"\0"))))
        with self.assertRaises(subprocess.TimeoutExpired):
            process.wait(0.3)
        process.terminate()
        self.assertEqual(process.wait(PATIENCE), -signal.SIGTERM)

    def test_a_trap_of_the_start_function_is_told_like_any(self):
        self.assert_trap(self.run_module(self.compile(module(code=b"\0\x0b", start=section(8, b"\0")))), 134, "abort")

    def test_names_of_functions_cannot_steer_a_terminal(self):
        evil = b"\x1b[2Jevil\nline"
        names = b"\4name" + b"\1" + bytes([len(evil) + 3]) + b"\1\0" + bytes([len(evil)]) + evil
        done = self.run_module(self.compile(module(code=b"\0\x0b", data=section(0, names))))
        self.assert_trap(done, 134, "evil line")
        self.assertNotIn(b"\x1b", done.stderr)


class CodeFiles(ProgramTest):
    def setUp(self):
        super().setUp()
        self.good = self.compile(module())
        self.assertEqual(self.run_module(self.good).returncode, 0)

    def assert_not_run(self, data, *parts):
        path = self.dir / "bad.cwasm"
        path.write_bytes(data)
        done = self.run_module(path)
        self.assertEqual(done.returncode, 126, done.stderr)
        self.assert_one_line(done.stderr, str(path), "cannot be run", *parts)

    def test_what_flodea_wasmc_did_not_make_is_not_run(self):
        self.assert_not_run(b"")
        self.assert_not_run(b"garbage" * 1000)
        self.assert_not_run(module())  # a module that was not compiled
        self.assert_not_run(pathlib.Path("/bin/true").read_bytes())  # an ELF file of another kind

    def test_a_file_cut_off_is_not_run(self):
        data = self.good.read_bytes()
        for part in (1, 2, 3, 4, 6, 7):
            self.assert_not_run(data[: len(data) * part // 8])

    def test_code_of_other_engine_settings_or_another_version_is_not_run(self):
        data = self.good.read_bytes()
        for mine, other, message in ((b"\x0248\x18x86_64", b"\x0247\x18x86_64", "incompatible version"),
                                     (b"preserve_frame_pointers\x02\x01", b"preserve_frame_pointers\x02\0", "preserve_frame_pointers"),
                                     (b"\x80\x80\x80\x80\x10", b"\x80\x80\x80\x80\x20", "memory reservation")):
            self.assertTrue(mine in data)
            self.assert_not_run(data.replace(mine, other), message)

    def test_a_file_that_is_not_there_is_one_line(self):
        done = self.run_module(self.dir / "none")
        self.assertEqual(done.returncode, 126)
        self.assert_one_line(done.stderr, "No such file")

    def test_wrong_arguments_are_one_line(self):
        for arguments in ([], ["--memory", "x"], ["--memory", "65536"], ["--fast", "1", "x"]):
            done = subprocess.run([HOST, *arguments], capture_output=True, timeout=PATIENCE, check=False)
            self.assertEqual(done.returncode, 126)
            self.assert_one_line(done.stderr, "--help")

    def test_a_module_without_sections_has_no_start(self):
        done = self.run_compiler(PREAMBLE)
        self.assertEqual(done.returncode, 1)


if __name__ == "__main__":
    unittest.main()
