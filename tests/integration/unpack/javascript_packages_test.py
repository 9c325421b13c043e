"""npm tarballs and their lock file, good and hostile, through flodea-unpack; what its sandbox's profile refuses."""
import base64
import errno
import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
import unittest

from unpacking import BUILD, SANITIZED, UnpackTest

ARGUMENTS = ("javascript", "package-lock.json")


def tarball(files, extra=(), format=tarfile.PAX_FORMAT):
    """The bytes of a tgz of {name: content}; `extra`: ready TarInfos, without content."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=format) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755 if name.endswith(".sh") else 0o644
            archive.addfile(entry, io.BytesIO(content))
        for entry in extra:
            archive.addfile(entry)
    return out.getvalue()


def special(name, kind, target=""):
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


def integrity(content):
    return "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()


class JavascriptPackages(UnpackTest):
    def lock(self, packages, version=3):
        self.put("package-lock.json", json.dumps({"name": "agent", "lockfileVersion": version, "packages": {"": {"name": "agent"}, **packages}}, indent=2))

    def add(self, content, file="pad-1.0.0.tgz"):
        self.put(f"tarballs/{file}", content)
        return {"version": "1.0.0", "resolved": "https://registry.npmjs.org/x.tgz", "integrity": integrity(content)}

    def one(self, content):
        self.lock({"node_modules/pad": self.add(content)})

    def test_packages_are_unpacked_where_the_lock_says(self):
        long = "package/" + "d" * 120 + "/" + "f" * 120 + ".js"
        pad = self.add(tarball({"package/package.json": b"{}", "package/index.js": b"x" * 200_000, "package/bin/run.sh": b"#!", long: b"l", "package/\u00fcn\u00ef.js": b"u"}))
        scoped = self.add(tarball({"odd-top/index.js": b"s"}), "scope-name-1.0.0.tgz")
        gnu = self.add(tarball({"package/" + "g" * 200 + ".js": b"g"}, format=tarfile.GNU_FORMAT), "gnu-1.0.0.tgz")
        self.lock({"node_modules/pad": pad, "node_modules/@scope/name": scoped, "node_modules/@scope/name/node_modules/pad": pad, "node_modules/gnu": gnu,
                   "node_modules/tests": {"version": "1.0.0", "dev": True}, "node_modules/fsevents": {"version": "2.0.0", "optional": True, "os": ["darwin"]}})
        files, said = self.unpack(*ARGUMENTS)
        self.assertEqual(files["node_modules/pad/index.js"], (0o644, b"x" * 200_000))
        self.assertEqual(files["node_modules/pad/bin/run.sh"][0], 0o755)
        self.assertEqual(files["node_modules/" + "pad" + long[len("package"):]][1], b"l")
        self.assertEqual(files["node_modules/pad/\u00fcn\u00ef.js"][1], b"u")
        self.assertEqual(files["node_modules/@scope/name/index.js"][1], b"s")
        self.assertEqual(files["node_modules/@scope/name/node_modules/pad/package.json"][1], b"{}")
        self.assertEqual(files["node_modules/gnu/" + "g" * 200 + ".js"][1], b"g")
        self.assertEqual(len(files), 12)
        self.assertRegex(said, r"^package-lock\.json: 4 packages, 12 files")
        self.assertEqual(self.run_program(*ARGUMENTS).stdout, self.run_program(*ARGUMENTS).stdout)

    def test_a_tarball_with_another_hash_is_refused(self):
        package = self.add(tarball({"package/index.js": b"good"}))
        self.add(tarball({"package/index.js": b"evil"}))
        self.lock({"node_modules/pad": package})
        self.refused(r"^package-lock\.json:8: tarballs/pad-1\.0\.0\.tgz has sha512 [0-9a-f]{32}…, the lock says [0-9a-f]{32}…", *ARGUMENTS)

    def test_a_missing_hash_tarball_or_lock_is_refused(self):
        self.lock({"node_modules/pad": {"version": "1.0.0"}})
        self.refused(r"^package-lock\.json:8: node_modules/pad has no integrity", *ARGUMENTS)
        self.lock({"node_modules/pad": {"version": "1.0.0", "integrity": integrity(b"")}})
        self.refused(r"^package-lock\.json:8: node_modules/pad: tarballs/pad-1\.0\.0\.tgz is not in the bundle", *ARGUMENTS)
        self.refused(r"^other\.json: is not in the bundle", "javascript", "other.json")
        self.lock({"node_modules/pad": self.add(tarball({"package/index.js": b""}))}, version=1)
        self.refused(r"^package-lock\.json: has no lockfileVersion 2 or 3", *ARGUMENTS)

    def test_an_optional_package_may_be_absent(self):
        self.lock({"node_modules/pad": self.add(tarball({"package/index.js": b""})),
                   "node_modules/maybe": {"version": "1.0.0", "integrity": integrity(b""), "optional": True}})
        files, said = self.unpack(*ARGUMENTS)
        self.assertEqual(list(files), ["node_modules/pad/index.js"])
        self.assertIn("left out: node_modules/maybe (optional", said)

    def test_links_devices_and_paths_that_leave_are_refused(self):
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE):
            self.one(tarball({"package/index.js": b""}, [special("package/x", kind, "package/index.js")]))
            self.refused(r"^tarballs/pad-1\.0\.0\.tgz: package/x is a link or a special file", *ARGUMENTS)
        for name in ("package/../../evil.js", "/package/evil.js", "../evil.js", "package//evil.js", "package/./evil.js"):
            with self.subTest(name):
                self.one(tarball({name: b""}))
                self.refused(r"^tarballs/pad-1\.0\.0\.tgz: .*is no path inside it", *ARGUMENTS)
        self.one(tarball({"evil.js": b""}))
        self.refused("evil.js lies outside its top directory", *ARGUMENTS)
        self.one(tarball({"package/a": b"", "package/a/b": b""}))
        self.refused("comes twice", *ARGUMENTS)

    def test_bombs_are_refused(self):
        self.one(tarball({"package/zeros": bytes(64 << 20)}))
        self.refused("expand to more than 16Mi", "--max-bytes", str(16 << 20), *ARGUMENTS)
        self.one(tarball({}, [special(f"package/{i}", tarfile.DIRTYPE) for i in range(2000)]))
        self.refused("more than 1000 entries", "--max-entries", "1000", *ARGUMENTS)

    def test_what_is_no_tarball_is_refused(self):
        whole = tarball({"package/index.js": os.urandom(10_000)})
        for content in (b"not gzip", whole[:len(whole) // 2], gzip.compress(b"x" * 2000)):
            self.one(content)
            self.refused(r"^tarballs/pad-1\.0\.0\.tgz cannot be read", *ARGUMENTS)

    def test_a_bundle_that_has_the_directory_already_is_refused(self):
        self.one(tarball({"package/index.js": b""}))
        self.put("node_modules/x.js", "")
        self.refused(r"^node_modules: is in the bundle already", *ARGUMENTS)

    @unittest.skipIf(SANITIZED, "confined_start is instrumented too, and a sanitizer makes calls of its own")
    def test_the_profile_refuses_what_the_program_does_not_need(self):
        """Tried by another program in its place, without the profile first."""
        os.chmod(self.path("."), 0o777)

        def errors(profile):
            self.put("victim", "")
            os.chown(self.path("victim"), 65534, 65534)
            done = subprocess.run([os.path.join(BUILD, "tests", "confined_start"), profile, self.root, "/app", "try"], capture_output=True, text=True, check=True)
            return dict(line.split() for line in done.stdout.splitlines())

        unprotected = errors("-")
        self.assertEqual(set(unprotected), {"socket", "signal", "create", "append", "symlink", "chmod", "unlink", "fork"})
        self.assertEqual(set(unprotected.values()), {"0"}, unprotected)
        self.assertEqual(errors("unpacker"), dict.fromkeys(unprotected, str(errno.EPERM)))


if __name__ == "__main__":
    unittest.main(verbosity=2)
