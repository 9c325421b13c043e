import unittest

from selftest.tree import TreeTest

import file_length


class FileLength(TreeTest):
    def test_600_lines_pass_and_601_do_not(self):
        self.write("base/a.cc", "\n" * 600)
        self.write("base/b.cc", "\n" * 601)
        self.write("docs/long.md", "\n" * 2000)
        self.assertEqual(self.places(file_length), ["base/b.cc:601"])


if __name__ == "__main__":
    unittest.main()
