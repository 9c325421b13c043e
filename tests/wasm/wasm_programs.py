"""flodea-wasmc and flodea-wasm as tests run them, with the modules of guests/."""
import os
import pathlib
import subprocess
import tempfile
import unittest

BUILD = pathlib.Path(os.environ["FLODEA_BUILD"]).resolve()
COMPILER = BUILD / "flodea-wasmc"
HOST = BUILD / "agent/bin/flodea-wasm"
GUESTS = BUILD / "tests/wasm"
MEMORY = 16 << 20
PATIENCE = 60  # seconds for anything

# --- the binary format, for modules that no compiler makes; all lengths below 128 ---

PREAMBLE = b"\0asm\1\0\0\0"


def counted(data):
    return bytes([len(data)]) + data


def section(number, body):
    return bytes([number]) + counted(body)


def module(code=b"\x0b", imports=b"", start=b"", memory=b"\1\0\2", start_export=b"_start", data=b""):
    """A command whose _start has this body."""
    index = b"\1" if imports else b"\0"
    exports = b"\2" + counted(start_export) + b"\0" + index + counted(b"memory") + b"\2\0"
    return (PREAMBLE + section(1, b"\1\x60\0\0") + imports + section(3, b"\1\0") + section(5, memory)
            + section(7, exports) + start + section(10, b"\1" + counted(b"\0" + code)) + data)


FOREVER = b"\x03\x40\x0c\0\x0b\x0b"  # loop: br 0


class ProgramTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="flodea-wasm-")
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name).resolve()

    def run_compiler(self, data, *options):
        return subprocess.run([COMPILER, *options], input=data, capture_output=True, timeout=PATIENCE, check=False)

    def compile(self, data, name="module"):
        """The path of its code."""
        done = self.run_compiler(data)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        code = self.dir / f"{name}.cwasm"
        code.write_bytes(done.stdout)
        return code

    def compile_guest(self, name):
        return self.compile((GUESTS / f"{name}.wasm").read_bytes(), name)

    def command(self, code, *arguments, memory=MEMORY, options=()):
        return [HOST, "--memory", str(memory), *options, code, *arguments]

    def run_module(self, code, *arguments, memory=MEMORY, env=None, data=b"", options=()):
        return subprocess.run(self.command(code, *arguments, memory=memory, options=options), input=data, capture_output=True,
                              timeout=PATIENCE, env=env or {}, check=False)

    def assert_one_line(self, text, *parts):
        line = text.decode()
        self.assertEqual(line.count("\n"), 1, line)
        self.assertTrue(line.endswith("\n"), line)
        for part in parts:
            self.assertIn(part, line)
