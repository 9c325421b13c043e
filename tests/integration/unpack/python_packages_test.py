"""Wheels and their lock file, good and hostile, through flodea-unpack."""
import base64
import hashlib
import io
import os
import stat
import struct
import unittest
import zipfile

from unpacking import UnpackTest

ARGUMENTS = ("--python", "3.11.2", "python", "requirements.lock")


def record_line(name, content):
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(content)}\n"


def wheel(files, stem="demo-1.0", record=None, modes=None, twice=()):
    """The bytes of a wheel with these files {name: content}, WHEEL and RECORD added. `record`: rewrites RECORD's text."""
    info = f"{stem}.dist-info"
    name, version = stem.rsplit("-", 1)
    files = {**files, f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(), f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\n"}
    text = "".join(record_line(name, content) for name, content in files.items()) + f"{info}/RECORD,,\n"
    files[f"{info}/RECORD"] = (record(text) if record else text).encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in [*files.items(), *twice]:
            entry = zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (modes or {}).get(name, stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, content)
    return out.getvalue()


class PythonPackages(UnpackTest):
    def add(self, content, file="demo-1.0-py3-none-any.whl"):
        self.put(f"wheels/{file}", content)
        return hashlib.sha256(content).hexdigest()

    def lock(self, *requirements, name="requirements.lock"):
        """Of (pin, hash, …)."""
        self.put(name, "# made by a test\n" + "".join(
            pin + "".join(f" \\\n    --hash=sha256:{h}" for h in hashes) + "\n" for pin, *hashes in requirements))

    def one(self, *args, **kwargs):
        """A bundle of one wheel and its lock."""
        self.lock(("demo==1.0", self.add(wheel(*args, **kwargs))))

    def test_packages_are_unpacked_and_checked(self):
        big = os.urandom(300_000)
        demo = self.add(wheel({"demo/__init__.py": b"x = 1\n", "demo/data.bin": big, "demo/\u00fcn\u00ef.txt": b"", "demo/run.so": b"\x7fELF"},
                              modes={"demo/run.so": stat.S_IFREG | 0o755}))
        other = self.add(wheel({"other.py": b"pass\n", "Other_Thing-2.0.data/purelib/pure.py": b"p\n", "Other_Thing-2.0.data/platlib/plat.py": b"q\n",
                                "Other_Thing-2.0.data/scripts/other": b"#!python\n", "Other_Thing-2.0.data/headers/o.h": b"\n"},
                               stem="Other_Thing-2.0"), "Other_Thing-2.0-py2.py3-none-any.whl")
        self.lock(("other-thing==2.0 ; python_version >= '3.9'", other), ("demo==1", "0" * 64, demo), ("windows==1; sys_platform == 'win32'", "0" * 64))
        files, said = self.unpack(*ARGUMENTS)
        self.assertEqual(files["__pypackages__/demo/data.bin"], (0o644, big))
        self.assertEqual(files["__pypackages__/demo/run.so"], (0o755, b"\x7fELF"))
        self.assertEqual({path for path in files if ".dist-info" not in path},
                         {"__pypackages__/" + p for p in ("demo/__init__.py", "demo/data.bin", "demo/\u00fcn\u00ef.txt", "demo/run.so", "other.py", "pure.py", "plat.py")})
        self.assertIn("__pypackages__/Other_Thing-2.0.dist-info/RECORD", files)
        self.assertRegex(said, r"2 packages, 13 files.*left out: 1 script of wheels/Other.*, 1 header or data file of")
        self.assertEqual(self.run_program(*ARGUMENTS).stdout, self.run_program(*ARGUMENTS).stdout)

    def test_the_lock_may_lie_deeper_and_name_its_directory(self):
        content = wheel({"demo.py": b""})
        self.put("deps/vendor/demo-1.0-py3-none-any.whl", content)
        self.put("deps/py.txt", f"--find-links vendor\ndemo==1.0 --hash=sha256:{hashlib.sha256(content).hexdigest()}\n")
        self.assertIn("__pypackages__/demo.py", self.unpack("--python", "3.11", "python", "deps/py.txt")[0])

    def test_a_wheel_may_spell_its_name_in_two_ways(self):
        content = wheel({"demo.py": b"", "Demo_Thing-1.0.0.data/purelib/more.py": b""}, stem="Demo.thing-1.0.0")
        self.lock(("demo-thing==1.0", self.add(content, "demo_thing-1.0-py3-none-any.whl")))
        files, _ = self.unpack(*ARGUMENTS)
        self.assertIn("__pypackages__/more.py", files)
        self.assertIn("__pypackages__/Demo.thing-1.0.0.dist-info/RECORD", files)

    def test_of_several_wheels_the_closest_with_a_hash_of_the_lock_is_taken(self):
        pure = self.add(wheel({"demo.py": b"pure"}))
        native = self.add(wheel({"demo.py": b"native"}), "demo-1.0-cp311-cp311-manylinux_2_17_x86_64.whl")
        self.add(wheel({"demo.py": b"later"}), "demo-1.0-cp312-cp312-manylinux_2_17_x86_64.whl")
        self.lock(("demo==1.0", pure, native))
        self.assertEqual(self.unpack(*ARGUMENTS)[0]["__pypackages__/demo.py"][1], b"native")
        self.lock(("demo==1.0", pure))
        self.assertEqual(self.unpack(*ARGUMENTS)[0]["__pypackages__/demo.py"][1], b"pure")

    def test_a_wheel_with_another_hash_is_refused_with_both(self):
        actual = self.add(wheel({"demo.py": b""}))
        self.lock(("demo==1.0", "0" * 64))
        self.refused(rf"^requirements\.lock:2: wheels/demo-1\.0-py3-none-any\.whl has sha256 {actual}, the lock says {'0' * 64}", *ARGUMENTS)

    def test_a_missing_hash_wheel_or_lock_is_refused(self):
        self.lock(("demo==1.0",))
        self.refused(r"^requirements\.lock:2: demo has no hash", *ARGUMENTS)
        self.lock(("demo==1.0", "0" * 64))
        self.refused(r"^requirements\.lock:2: no wheel of demo 1\.0 is in wheels/.*pip download", *ARGUMENTS)
        self.add(wheel({}), "demo-1.1-py3-none-any.whl")
        self.refused(r"^requirements\.lock:2: no wheel of demo 1\.0", *ARGUMENTS)
        self.add(wheel({}), "demo-1.0-cp310-cp310-win_amd64.whl")
        self.refused(r"demo-1\.0-cp310-cp310-win_amd64\.whl is for cp310-cp310-win_amd64, not for Python 3\.11", *ARGUMENTS)
        self.refused(r"^other\.lock: is not in the bundle", "--python", "3.11", "python", "other.lock")
        self.refused(r"^\.\./x\.lock: is no path of a bundle", "--python", "3.11", "python", "../x.lock")

    def test_a_record_that_does_not_agree_is_refused(self):
        files = {"demo.py": b"x = 1\n"}
        for rewrite, says in ((lambda text: text.replace(record_line("demo.py", b"x = 1\n"), record_line("demo.py", b"x = 2\n")), "demo.py has sha256 .* RECORD says"),
                              (lambda text: text.replace(record_line("demo.py", b"x = 1\n"), ""), "demo.py is not in its RECORD"),
                              (lambda text: text + record_line("gone.py", b""), "does not have gone.py"),
                              (lambda text: text.replace("sha256=", "md5="), "RECORD:1: demo.py has no sha256"),
                              (lambda text: "", "is not in its RECORD")):
            self.one(files, record=rewrite)
            self.refused(says, *ARGUMENTS)
        self.one(files, stem="else-1.0")
        self.refused(r"has no RECORD in a demo-1\.0\.dist-info", *ARGUMENTS)

    def test_paths_that_leave_and_links_are_refused(self):
        for name in ("../evil.py", "/evil.py", "a/../../evil.py", "a/./b.py", "a//b.py", "demo-1.0.data/purelib/../../evil.py"):
            with self.subTest(name):
                self.one({name: b""})
                self.refused(r"^wheels/demo-1\.0-py3-none-any\.whl: .*(is no path inside it|evil)", *ARGUMENTS)
        self.one({"a": b"/etc/passwd"}, modes={"a": stat.S_IFLNK | 0o777})
        self.refused("a is a link or a special file", *ARGUMENTS)
        self.one({"a": b"f"}, modes={"a": stat.S_IFIFO | 0o666})  # a zip has no such thing: it is a file
        self.assertEqual(self.unpack(*ARGUMENTS)[0]["__pypackages__/a"], (0o644, b"f"))
        self.one({"demo-1.0.data/weird/a": b""})
        self.refused("scheme that does not exist", *ARGUMENTS)

    def test_a_wheel_that_is_a_link_out_of_the_bundle_is_not_opened(self):
        content = wheel({"demo.py": b""})
        self.put("../outside.whl", content)
        self.lock(("demo==1.0", hashlib.sha256(content).hexdigest()))
        os.makedirs(self.path("wheels"))
        os.symlink("../../outside.whl", self.path("wheels/demo-1.0-py3-none-any.whl"))
        self.refused("Too many levels of symbolic links", *ARGUMENTS)

    def test_the_same_file_of_two_packages_is_one_and_another_is_refused(self):
        first = self.add(wheel({"shared/__init__.py": b"", "a.py": b"a"}))
        second = self.add(wheel({"shared/__init__.py": b"", "b.py": b"b"}, stem="two-1.0"), "two-1.0-py3-none-any.whl")
        self.lock(("demo==1.0", first), ("two==1.0", second))
        files, _ = self.unpack(*ARGUMENTS)
        self.assertIn("__pypackages__/shared/__init__.py", files)
        third = self.add(wheel({"shared/__init__.py": b"other"}, stem="two-1.0"), "two-1.0-py3-none-any.whl")
        self.lock(("demo==1.0", first), ("two==1.0", third))
        self.refused(r"demo-1\.0-py3-none-any\.whl and wheels/two-1\.0-py3-none-any\.whl both bring __pypackages__/shared/__init__\.py", *ARGUMENTS)
        self.one({"a.py": b"1"}, twice=[("a.py", b"2")])
        self.refused("(comes twice|has sha256)", *ARGUMENTS)

    def test_bombs_are_refused(self):
        self.one({"zeros": bytes(64 << 20)})  # 64 KiB packed
        self.refused("expand to more than 16Mi", "--max-bytes", str(16 << 20), *ARGUMENTS)
        self.unpack(*ARGUMENTS)
        self.one({f"d/{i}": b"" for i in range(2000)})
        self.refused("more than 1000 entries", "--max-entries", "1000", *ARGUMENTS)
        # Entries that share their data, as the known bombs do: each is read, and counted.
        shared = self.add(wheel({"zeros": bytes(4 << 20)}))
        hashes = [self.add(wheel({"zeros": bytes(4 << 20)}, stem=f"p{i}-1.0"), f"p{i}-1.0-py3-none-any.whl") for i in range(5)]
        self.lock(("demo==1.0", shared), *((f"p{i}==1.0", h) for i, h in enumerate(hashes)))
        self.refused("expand to more than 16Mi", "--max-bytes", str(16 << 20), *ARGUMENTS)

    def test_what_is_no_wheel_is_refused(self):
        whole = wheel({"demo.py": b"x" * 10_000})
        directory = whole.rfind(b"PK\x05\x06")
        lying = whole[:directory] + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 4, 4, 0xffffff, 0, 0)
        encrypted = bytearray(whole)
        encrypted[6] |= 1
        for content in (b"", b"not a zip", whole[:len(whole) // 2], whole[:-30], lying, bytes(encrypted)):
            self.lock(("demo==1.0", self.add(content)))
            self.refused(r"^(wheels/demo-1\.0-py3-none-any\.whl|demo)", *ARGUMENTS)

    def test_a_bundle_that_has_the_directory_already_is_refused(self):
        self.one({"demo.py": b""})
        self.put("__pypackages__/x.py", "")
        self.refused(r"^__pypackages__: is in the bundle already", *ARGUMENTS)

    def test_wrong_arguments_end_with_2(self):
        for arguments in ((), ("python", "requirements.lock"), ("--python", "2.7", "python", "x"), ("ruby", "x"), ("--max-bytes", "0", "javascript", "x"),
                          ("--python", "3.11", "python"), ("--what", "1", "javascript", "x")):
            self.assertEqual(self.run_program(*arguments).returncode, 2, arguments)


if __name__ == "__main__":
    unittest.main(verbosity=2)
