"""spec.runtime.packages through the built programs: agents import what their lock names, share it, and are refused by line."""
import hashlib
import json
import os
import shutil
import unittest

from flodea_host import HostTest, Refused
from javascript_packages_test import integrity, tarball
from python_packages_test import wheel

PYTHON = """
import importlib.metadata, demo
print("demo", demo.x, importlib.metadata.version("demo"), demo.__file__, flush=True)
try: open(demo.__file__, "a")
except OSError as error: print("errno", error.errno, flush=True)
"""
JAVASCRIPT = 'import pad from "pad";\nconsole.log("pad", pad(7));\n'


class Packages(HostTest):
    def bundle(self, name, files, **runtime):
        directory = os.path.join(self.host.base, "agents", name)
        shutil.rmtree(directory, ignore_errors=True)
        for path, content in files.items():
            os.makedirs(os.path.dirname(os.path.join(directory, path)), exist_ok=True)
            with open(os.path.join(directory, path), "wb") as file:
                file.write(content if isinstance(content, bytes) else content.encode())
        manifest = {"apiVersion": "flodea/v1", "kind": "Agent", "metadata": {"name": name},
                    "spec": {"runtime": runtime, "bundle": ".", "resources": {"memory": "64Mi", "disk": "16Mi"}, "restart": {"policy": "never"}}}
        with open(os.path.join(directory, "flodea.yaml"), "w") as file:
            json.dump(manifest, file)
        return directory

    def python_bundle(self, name, sha256=None, extra=""):
        content = wheel({"demo/__init__.py": b"x = 42\n"})
        content_hash = hashlib.sha256(content).hexdigest()
        return self.bundle(name, {"main.py": PYTHON + extra, "wheels/demo-1.0-py3-none-any.whl": content,
                                  "requirements.lock": f"# packages\ndemo==1.0 --hash=sha256:{sha256 or content_hash}\n"},
                           type="python", entrypoint="main.py", packages="requirements.lock")

    def run_to_the_end(self, name, directory):
        with self.host.follow_new_events(name) as events:
            self.host.cli("apply", "-f", directory)
            events.wait_event(to="stopped", timeout=60)
        return self.host.logs(name)

    def stored(self):
        return {name for name in os.listdir(os.path.join(self.host.state, "bundles")) if not name.startswith(".")}

    def test_a_python_agent_imports_its_packages_and_another_shares_them(self):
        before = self.stored()
        lines = "\n".join(self.run_to_the_end("first", self.python_bundle("first")))
        self.assertIn("demo 42 1.0 /app/__pypackages__/demo/__init__.py", lines)
        self.assertRegex(lines, "errno (13|30)")
        self.assertEqual(self.host.inspect("first")["spec"]["runtime"]["packages"], "requirements.lock")
        self.assertIn("packages", self.host.cli("inspect", "first").stdout)
        self.assertEqual(len(self.stored() - before), 2, "its bundle, and the layer of its packages")
        self.run_to_the_end("second", self.python_bundle("second", extra="# another\n"))
        self.assertEqual(len(self.stored() - before), 3, "another bundle, the same layer")

    def test_a_javascript_agent_imports_its_packages(self):
        if "javascript" not in self.host.json("node").get("runtimes", {}):
            self.skipTest("no Node.js on this host")
        content = tarball({"package/package.json": b'{"name":"pad","version":"1.0.0","main":"index.js"}',
                           "package/index.js": b"module.exports = (n) => String(n).padStart(3, '0');\n"})
        lock = {"lockfileVersion": 3, "packages": {"": {}, "node_modules/pad": {"version": "1.0.0", "integrity": integrity(content)}}}
        directory = self.bundle("padder", {"main.mjs": JAVASCRIPT, "tarballs/pad-1.0.0.tgz": content, "package-lock.json": json.dumps(lock)},
                                type="javascript", entrypoint="main.mjs", packages="package-lock.json")
        self.assertIn("pad 007", "\n".join(self.run_to_the_end("padder", directory)))

    def test_a_wrong_hash_is_refused_with_field_and_line_and_nothing_is_left(self):
        before = self.stored()
        with self.assertRaises(Refused) as refused:
            self.host.cli("apply", "-f", self.python_bundle("wrong", sha256="0" * 64))
        text = refused.exception.stderr
        self.assertIn("requirements.lock:2: wheels/demo-1.0-py3-none-any.whl has sha256", text)
        self.assertIn("spec.runtime.packages", text)
        self.assertNotIn("wrong", [agent["name"] for agent in self.host.agents()])
        self.assertLessEqual(len(self.stored() - before), 1, "at most the bundle that was sent")

    def test_lock_files_that_are_none_are_refused(self):
        for lock, says in (("other.lock", "other.lock"), ("main.py", "not Python's lock file"), ("../x.lock", "no file of a bundle")):
            directory = self.python_bundle("none")
            with open(os.path.join(directory, "flodea.yaml")) as file:
                manifest = json.load(file)
            manifest["spec"]["runtime"]["packages"] = lock
            with open(os.path.join(directory, "flodea.yaml"), "w") as file:
                json.dump(manifest, file)
            with self.assertRaises(Refused) as refused:
                self.host.cli("apply", "-f", directory)
            self.assertIn(says, refused.exception.stderr)
            self.assertIn("spec.runtime.packages", refused.exception.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
