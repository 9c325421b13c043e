import unittest

from selftest.tree import TreeTest

import contracts

PROTO = "proto/flodea/x/v1/x.proto"


class Protos(TreeTest):
    def test_what_is_described_passes(self):
        self.write(PROTO, """\
            // What an agent may ask.
            syntax = "proto3";
            service X {
              // Idempotent.
              rpc Get(GetRequest) returns (GetResponse);
              rpc Put(PutRequest) returns (PutResponse) {  // Once.
                option deadline = "1s";
              }
            }
            message GetRequest {
              string key = 1;  // 1–512 bytes
              // Where to begin.
              optional uint64 cursor = 2 [deprecated = true];
              oneof which { Entry entry = 3; }
              repeated Entry entries = 4;
              reserved 5, 6;
            }
            // In bytes all of them.
            message Limits { uint64 memory = 1; map<string, uint64> other = 2; }
            enum State { STATE_UNSPECIFIED = 0; }
            """)
        self.assertEqual(self.places(contracts), [])

    def test_what_is_not_is_found(self):
        self.write(PROTO, """\
            syntax = "proto3";
            service X {
              rpc Get(GetRequest) returns (GetResponse);
            }
            message GetRequest {
              string key = 1;  // 1–512 bytes

              map<string, string> labels = 2;
              message Inner { bool set = 1; }
            }
            """)
        self.assertEqual(self.places(contracts), [f"{PROTO}:{line}" for line in (2, 3, 8, 9)])

    def test_two_services_need_a_comment_each(self):
        self.write(PROTO, "// Two.\nservice A {}\n// The second.\nservice B {}\n// The third.\n\nservice C {}\n")
        self.assertEqual(self.places(contracts), [f"{PROTO}:7"])


class Headers(TreeTest):
    def test_a_header_begins_with_its_contract(self):
        self.write("base/a.h", "// The one owner of a descriptor.\n#pragma once\n")
        self.write("base/b.h", "// SPDX-License-Identifier: Apache-2.0\n#pragma once\n\n// The one owner of a pid.\nint x;\n")
        self.write("tests/support/c.h", "#pragma once\n")
        self.assertEqual(self.places(contracts), [])

    def test_one_that_does_not_is_found(self):
        self.write("base/a.h", "#pragma once\n#include <vector>\n// The one owner of a descriptor.\n")
        self.write("base/b.h", "// SPDX-License-Identifier: Apache-2.0\n#pragma once\nint x;\n")
        self.write("base/c.h", "// Fd.\n#pragma once\nint x;\n")
        self.write("base/d.h", "")
        self.assertEqual(self.places(contracts), ["base/a.h:2", "base/b.h:3", "base/c.h:2", "base/d.h:1"])


if __name__ == "__main__":
    unittest.main()
