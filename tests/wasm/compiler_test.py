"""What flodea-wasmc takes and refuses: bad modules end with status 1 and one line, and no code."""
import subprocess
import unittest

from wasm_programs import COMPILER, FOREVER, GUESTS, HOST, PATIENCE, ProgramTest, counted, module, section

LIMIT = 32 << 20


class Compiler(ProgramTest):
    def assert_refused(self, data, *parts, options=()):
        done = self.run_compiler(data, *options)
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        self.assert_one_line(done.stderr, *parts)

    def test_a_command_becomes_code_and_the_same_each_time(self):
        data = (GUESTS / "ends.wasm").read_bytes()
        first, second = self.run_compiler(data), self.run_compiler(data)
        self.assertEqual((first.returncode, first.stderr), (0, b""))
        self.assertGreater(len(first.stdout), 1000)
        self.assertEqual(first.stdout, second.stdout)

    def test_what_is_no_module_is_refused(self):
        self.assert_refused(b"", "is empty")
        self.assert_refused(b"(module)", "does not begin with \\0asm")
        self.assert_refused(COMPILER.read_bytes()[: 1 << 20], "does not begin with \\0asm")
        self.assert_refused(b"\0asm\x0d\0\1\0", "component")

    def test_a_module_cut_off_anywhere_is_refused(self):
        data = (GUESTS / "escape.wasm").read_bytes()
        for size in range(8, len(data), max(1, len(data) // 40)):
            done = self.run_compiler(data[:size])
            with self.subTest(size=size):
                # Custom sections stand last: a cut between them leaves a whole module.
                if done.returncode != 0:
                    self.assertEqual((done.returncode, done.stdout), (1, b""))
                    self.assert_one_line(done.stderr)
                else:
                    self.assertGreater(size, len(data) // 3)

    def test_a_module_past_the_limit_is_refused_by_its_size(self):
        self.assert_refused(b"\0asm\1\0\0\0" + bytes(LIMIT), "larger than 33554432 bytes")

    def test_an_unknown_import_is_named(self):
        imports = section(2, b"\1" + counted(b"env") + counted(b"system") + b"\0\0")
        self.assert_refused(module(imports=imports), "env.system")

    def test_a_memory_past_the_manifest_is_refused(self):
        self.assertEqual(self.run_compiler(module(), "--max-memory", "131072").returncode, 0)
        self.assert_refused(module(), "131072", "65536", "spec.resources.memory", options=("--max-memory", "65536"))

    def test_a_module_without_start_is_refused(self):
        self.assert_refused(module(start_export=b"main"), "_start")

    def test_code_that_does_not_validate_is_refused_by_the_engine_in_one_line(self):
        self.assert_refused(module(code=b"\x6a\x0b"), "type mismatch")  # i32.add of nothing
        self.assert_refused(module(code=b"\xff\x0b"), "opcode")

    def test_proposals_that_are_switched_off_are_refused(self):
        self.assert_refused(module(memory=b"\1\4\2"), "64 bits")
        self.assert_refused(module(memory=b"\2\0\1\0\1"), "2 memories")

    def test_a_module_that_never_ends_compiles_without_being_run(self):
        self.compile(module(code=FOREVER))

    def test_wrong_arguments_and_closed_output_have_statuses_of_their_own(self):
        self.assertEqual(self.run_compiler(b"", "--fast").returncode, 2)
        self.assertEqual(self.run_compiler(b"", "--max-memory", "much").returncode, 2)
        with open("/dev/full", "wb") as full:
            done = subprocess.run([COMPILER], input=module(), stdout=full, stderr=subprocess.PIPE, timeout=PATIENCE,
                                  check=False)
        self.assertEqual(done.returncode, 3)
        self.assert_one_line(done.stderr, "flodea-wasmc: write: No space left")

    def test_both_programs_say_the_same_of_what_compiled_code_depends_on(self):
        said = [subprocess.run([program, "--version"], capture_output=True, text=True, timeout=PATIENCE, check=True).stdout
                for program in (COMPILER, HOST)]
        for text in said:
            self.assertRegex(text, r"^flodea-wasmc? \S+, Wasmtime 48\.0\.8\+\d+\.[0-9a-f]{8}\n$")
        self.assertEqual(said[0].split()[-1], said[1].split()[-1])


if __name__ == "__main__":
    unittest.main()
