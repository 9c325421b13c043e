"""A throw-away source tree for the self-tests of the checks."""
import pathlib
import sys
import tempfile
import textwrap
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))


class TreeTest(unittest.TestCase):
    """`write` makes files in an empty tree; `places` runs a check over it and gives "path:line" of each finding."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="flodea-style-")
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)

    def write(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))

    def findings(self, check, build=None):
        found = list(check.check(self.root, build))
        for finding in found:
            self.assertTrue(finding.problem and finding.remedy, finding)
        return found

    def places(self, check, build=None):
        return sorted(f"{finding.path}:{finding.line}" for finding in self.findings(check, build))
