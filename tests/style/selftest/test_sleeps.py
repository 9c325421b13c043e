import unittest

from selftest.tree import TreeTest

import sleeps


class Sleeps(TreeTest):
    def test_cpp(self):
        self.write("base/a_test.cc", """\
            std::this_thread::sleep_for(1s);
            std::this_thread::sleep_until(t);
            usleep(10);
            ::nanosleep(&t, nullptr);
            sleep(1);
            // sleep_for in a comment
            auto s = "usleep(10)";
            clock.sleep_until(deadline);  // the Clock module's own call
            """)
        self.assertEqual(self.places(sleeps), [f"base/a_test.cc:{line}" for line in (1, 2, 3, 4, 5)])

    def test_python(self):
        self.write("tests/integration/a.py", '''\
            import time
            time.sleep(1)
            from time import monotonic, sleep
            "time.sleep(1)"
            # time.sleep(1)
            await asyncio.sleep(0)
            ''')
        self.assertEqual(self.places(sleeps), [f"tests/integration/a.py:{line}" for line in (2, 3)])

    def test_shell_in_tests(self):
        self.write("tests/a.sh", "sleep 1\nwhile true; do sleep 0.1; done\n# sleep 1\necho asleep 1\n")
        self.assertEqual(self.places(sleeps), ["tests/a.sh:1", "tests/a.sh:2"])

    def test_an_exception_has_a_reason(self):
        self.write("tests/a.sh", "sleep 1\n")
        self.write("tests/style/allow.txt", "sleep tests/a.sh a victim that must outlive the supervisor\n")
        self.assertEqual(self.places(sleeps), [])


if __name__ == "__main__":
    unittest.main()
