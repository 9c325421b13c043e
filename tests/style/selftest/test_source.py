import unittest

from selftest.tree import TreeTest

import source


class Source(TreeTest):
    def test_comments_and_strings_vanish_and_lines_stay(self):
        code = 'a /* x\ny */ b // c\n"close(fd)" \'"\' R"t(new "x")t" 1\'000\'000 d\n'
        bare = source.without_comments_and_strings(code)
        self.assertEqual(bare.count("\n"), code.count("\n"))
        self.assertEqual(len(bare), len(code))
        self.assertEqual(bare.split(), ["a", "b", "1'000'000", "d"])

    def test_strings_stay_where_only_comments_go(self):
        self.assertEqual(source.without_comments('#include "a//b.h" // c').strip(), '#include "a//b.h"')

    def test_build_and_hidden_folders_are_not_ours(self):
        for path in ("base/a.cc", "build/release/b.cc", ".cache/c.cc", "cli/build/d.cc"):
            self.write(path, "")
        self.assertEqual(source.files(self.root, [".cc"]), ["base/a.cc"])


if __name__ == "__main__":
    unittest.main()
