import shutil
import unittest

from selftest.tree import TreeTest

import formatting
import linkage


class Linkage(TreeTest):
    def setUp(self):
        super().setUp()
        shutil.copy("/bin/true", self.root / "flodead")

    def test_a_program_without_them_passes(self):
        self.assertEqual(self.findings(linkage, self.root), [])

    def test_a_linked_library_is_found(self):
        real, linkage.libraries = linkage.libraries, lambda program: ["libc.so.6", "libgrpc++.so.1.51", "libcrypto.so.3"]
        self.addCleanup(setattr, linkage, "libraries", real)
        problems = [finding.problem for finding in self.findings(linkage, self.root)]
        self.assertEqual(problems, ["flodead links gRPC (libgrpc++.so.1.51)", "flodead links OpenSSL (libcrypto.so.3)"])

    def test_one_that_is_linked_in_is_found(self):
        with open(self.root / "flodead", "ab") as program:
            program.write(b"\0SQLite format 3\0")
        self.assertEqual([f.problem for f in self.findings(linkage, self.root)], ["flodead contains SQLite"])

    def test_ldd_is_understood(self):
        self.assertIn("libc.so.6", linkage.libraries(self.root / "flodead"))

    def test_no_program_is_no_pass(self):
        with self.assertRaises(formatting.Skip):
            list(linkage.check(self.root, self.root / "elsewhere"))


if __name__ == "__main__":
    unittest.main()
