import shutil
import unittest

from selftest.tree import TreeTest

import formatting


class Formatting(TreeTest):
    @unittest.skipUnless(shutil.which(formatting.TOOL), "clang-format is not installed")
    def test_a_badly_formatted_file_is_found(self):
        self.write(".clang-format", "BasedOnStyle: Google\n")
        self.write("base/good.cc", "int x = 1;\n")
        self.write("base/bad.cc", "int x = 1;\nint   y=2;\n")
        self.assertEqual(self.places(formatting), ["base/bad.cc:2"])

    def test_without_the_tool_it_does_not_pass(self):
        tool, formatting.TOOL = formatting.TOOL, "no-such-clang-format"
        self.addCleanup(setattr, formatting, "TOOL", tool)
        with self.assertRaises(formatting.Skip):
            list(formatting.check(self.root))


if __name__ == "__main__":
    unittest.main()
