import unittest

from selftest.tree import TreeTest

import doc_pages


class DocPages(TreeTest):
    def test_a_module_and_a_runtime_without_a_page_are_found(self):
        for path in ("modules/CMakeLists.txt", "modules/storage/store.cc", "modules/kernel/clock.cc", "runtimes/python/python.cc",
                     "docs/modules/storage.md"):
            self.write(path, "x\n")
        self.assertEqual(self.places(doc_pages), ["docs/modules/kernel.md:1", "docs/runtimes/python.md:1"])


if __name__ == "__main__":
    unittest.main()
