import unittest

from selftest.tree import TreeTest

import raw_resources


class RawResources(TreeTest):
    def test_each_is_found_with_its_line(self):
        self.write("base/bad.cc", """\
            void f(int fd) {
              close(fd);
              (void)::close(fd);
              if (close(fd) != 0) return;
              auto* x = new int(3);
              goto out;
            out:
              return close(fd);
            }
            class A { friend class B; };
            """)
        self.assertEqual(self.places(raw_resources), [f"base/bad.cc:{line}" for line in (10, 2, 3, 4, 5, 6, 8)])

    def test_what_only_looks_like_it_passes(self):
        self.write("base/good.cc", """\
            #include <new>
            // close(fd), new, goto and friend in a comment
            Status Volume::close(Handle handle) { return log("close(fd) and new friend"); }
            class V { virtual Result<void> close(int how) = 0; Status close(); };
            void g(Volume& v, Volume* p) { v.close(1); p->close(2); close(); fclose(f); }
            std::unique_ptr<Loop> loop(new Loop(fd));
            auto other = std::unique_ptr<Loop>(
                new Loop(fd));
            void* operator new(std::size_t);
            int renew = 1, befriend = 2;
            """)
        self.assertEqual(self.places(raw_resources), [])

    def test_a_class_may_call_its_own_close_but_not_the_system_s(self):
        self.write("base/relay.h", "class Relay { void close(Peer peer); };\n")
        self.write("base/relay.cc", "void Relay::f() {\n  close(peer);\n  close(peer, 2);\n  ::close(fd_);\n}\n")
        self.assertEqual(self.places(raw_resources), ["base/relay.cc:4"])

    def test_an_exception_wants_a_reason_and_a_use(self):
        self.write("base/fd.h", "void f(int fd) { ::close(fd); }\n")
        self.write("tests/style/allow.txt", "close base/fd.h the one owner of descriptors\n")
        self.assertEqual(self.places(raw_resources), [])
        self.write("tests/style/allow.txt", "close base/fd.h\n")
        self.assertEqual(self.places(raw_resources), ["base/fd.h:1", "tests/style/allow.txt:1"])
        self.write("tests/style/allow.txt", "# comment\nclose base/fd.h the one owner of descriptors\ngoto base/fd.h it has none, so this is stale\n")
        self.assertEqual(self.places(raw_resources), ["tests/style/allow.txt:3"])


if __name__ == "__main__":
    unittest.main()
