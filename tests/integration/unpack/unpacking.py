"""flodea-unpack as its sandbox runs it: a bundle in an otherwise empty root, nobody's uid, its seccomp profile."""
import os
import shutil
import stat
import subprocess
import tempfile
import unittest

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
BUILD = os.environ.get("FLODEA_BUILD", os.path.join(TREE, "build", "release"))
INSTRUMENTED = os.path.join(BUILD, "tests", "flodea-unpack")
SANITIZED = os.path.exists(INSTRUMENTED)  # it is linked with shared libraries, which an empty root does not have
PROGRAM = INSTRUMENTED if SANITIZED else os.path.join(BUILD, "flodea-unpack")


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7f) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def fields(message):
    """(number, value) of a protobuf message: varints and bytes."""
    at = 0
    while at < len(message):
        key, at = varint(message, at)
        if key & 7 == 0:
            value, at = varint(message, at)
        else:
            length, at = varint(message, at)
            value, at = message[at:at + length], at + length
        yield key >> 3, value


def files_of(stream):
    """{path: (mode, content)} of a stream of PutBundleRequest, each after its length; a path may come once."""
    files, path, at = {}, None, 0
    while at < len(stream):
        length, at = varint(stream, at)
        assert at + length <= len(stream), "the stream is torn"
        for number, value in fields(stream[at:at + length]):
            if number == 1:
                entry = dict(fields(value))
                path = entry[1].decode()
                assert path not in files and stat.S_ISREG(entry[2]) and 3 not in entry, entry
                files[path] = (stat.S_IMODE(entry[2]), bytearray())
            else:
                assert number == 2 and len(value) <= 256 << 10
                files[path][1].extend(value)
        at += length
    return {path: (mode, bytes(content)) for path, (mode, content) in files.items()}


class UnpackTest(unittest.TestCase):
    """A bundle to fill (`put`), and the program on it (`unpack`, `refused`)."""

    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="flodea-test-")
        self.addCleanup(shutil.rmtree, self.root)
        os.chmod(self.root, 0o755)
        os.mkdir(os.path.join(self.root, "app"))

    def path(self, name):
        return os.path.join(self.root, "app", name)

    def put(self, name, content):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())

    def run_program(self, *arguments):
        if SANITIZED:
            return subprocess.run([PROGRAM, *arguments], cwd=self.path("."), capture_output=True, env={}, check=False, timeout=60)
        confined = [os.path.join(BUILD, "tests", "confined_start"), "unpacker", self.root, "/app"]
        return subprocess.run([*confined, PROGRAM, *arguments], capture_output=True, check=False, timeout=60)

    def unpack(self, *arguments):
        """(files, the line it says)."""
        done = self.run_program(*arguments)
        line = done.stderr.decode()
        self.assertEqual(done.returncode, 0, line)
        self.assertEqual(line.count("\n"), 1)
        return files_of(done.stdout), line.rstrip("\n")

    def refused(self, pattern, *arguments):
        """It ends with 1 and one line that matches."""
        done = self.run_program(*arguments)
        line = done.stderr.decode()
        self.assertEqual(done.returncode, 1, line)
        self.assertLessEqual(len(done.stderr), 400)
        self.assertRegex(line, r"\A[^\n]*\n\Z")
        self.assertRegex(line, pattern)
        return line
