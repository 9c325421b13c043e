"""WASI preview 1 as flodea-wasm gives it: what works, what does not, and that nothing leads out of an opened directory."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from wasm_programs import HOST, MEMORY, PATIENCE, ProgramTest

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs/runtimes/wasm.md"


def lines(done):
    return dict(line.split(": ", 1) for line in done.stdout.decode().splitlines())


class Wasi(ProgramTest):
    env = {"WASI_TEST": "a=b", "FLODEA_FD": "3"}

    def test_a_program_in_c_finds_what_the_specification_promises(self):
        done = self.run_module(self.compile_guest("wasi"), str(self.dir), "hé llo", env=self.env, data=b"in\n")
        found = lines(done)
        self.assertEqual([name for name, result in found.items() if result != "ok"], [], done.stdout.decode())
        self.assertEqual((done.returncode, done.stderr), (0, b"to stderr\n"))
        self.assertGreaterEqual(len(found), 21)
        # The page lists just these.
        listed = re.findall(r"^\| `?([a-z][^|`]*)`? \| (?:ok|not supported)", PAGE.read_text(encoding="utf-8"), re.M)
        self.assertEqual(set(listed), set(found))

    def test_a_program_in_assemblyscript_finds_what_its_shim_promises(self):
        done = self.run_module(self.compile_guest("wasi_as"), "hé", env={"WASI_TEST": "a=b"})
        self.assertEqual(set(lines(done).values()), {"ok"}, done.stdout.decode())
        self.assertEqual((done.returncode, done.stderr), (9, b""))


class Escape(ProgramTest):
    def setUp(self):
        super().setUp()
        self.inside = self.dir / "inside"
        (self.inside / "sub").mkdir(parents=True)
        (self.inside / "own").write_text("own")
        (self.dir / "victim").mkdir()
        (self.dir / "secret").write_text("secret")
        os.symlink("../secret", self.inside / "relative")
        os.symlink(self.dir / "secret", self.inside / "absolute")
        os.symlink("..", self.inside / "up")
        os.symlink("target", self.dir / "link")

    def test_without_wasi_every_such_path_leads_out(self):
        inside = os.open(self.inside, os.O_RDONLY | os.O_DIRECTORY)
        self.addCleanup(os.close, inside)
        for path in ("../secret", "sub/../../secret", str(self.dir / "secret"), "relative", "absolute", "up/secret"):
            os.close(os.open(path, os.O_RDONLY, dir_fd=inside))

    def test_nothing_leads_out_of_an_opened_directory(self):
        before = sorted(path.name for path in self.dir.iterdir())
        code = self.compile_guest("escape")
        done = self.run_module(code, str(self.inside), str(self.dir / "secret"))
        self.assertEqual(done.returncode, 0, done.stderr)
        found = lines(done)
        self.assertEqual(found.pop("renumber the root away"), "refused with 8")  # BADF: it takes only what is open
        self.assertEqual({name: result for name, result in found.items() if result != "refused with 63"}, {})  # PERM
        self.assertEqual(len(found), 22)
        self.assertEqual(sorted(path.name for path in self.dir.iterdir()), sorted([*before, "escape.cwasm"]))
        self.assertEqual((self.dir / "secret").read_text(), "secret")


class OwnMemory(ProgramTest):
    """What runs the module must not be reached from within."""

    def as_nobody(self, command):
        if os.geteuid() != 0:
            return subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
        self.dir.chmod(0o755)
        return subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False, user=65534, group=65534, extra_groups=[])

    def test_a_process_can_open_its_own_memory(self):
        code = "import os; os.close(os.open('/proc/self/mem', os.O_RDWR))"
        self.assertEqual(self.as_nobody(["/usr/bin/python3", "-c", code]).returncode, 0)

    def test_a_module_cannot_open_its_hosts(self):
        with tempfile.TemporaryDirectory(prefix="flodea-wasm-") as folder:  # the build may be where nobody may look
            os.chmod(folder, 0o755)
            host = shutil.copy(HOST, folder)
            command = [host, "--memory", str(MEMORY), self.compile_guest("ends"), "open"]
            self.assertEqual(self.as_nobody([*command, "/dev/null"]).stdout, b"opened\n")
            for path in ("/proc/self/mem", "/proc/thread-self/mem", "/proc/self/fd/1", "/proc/self/root/dev/null"):
                self.assertEqual(self.as_nobody([*command, path]).stdout, b"refused\n", path)


if __name__ == "__main__":
    unittest.main()
