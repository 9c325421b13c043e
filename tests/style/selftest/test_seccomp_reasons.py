import unittest

from selftest.tree import TreeTest

import seccomp_reasons

PROFILE = "policy/profiles/base.json"


class SeccompReasons(TreeTest):
    def test_a_reason_on_every_rule_passes(self):
        self.write(PROFILE, """\
            {"comment": "…", "rules": [
              {"syscalls": ["mknod"], "action": "allow", "args": [{"index": 1, "op": "eq", "value": "0x1000"}],
               "reason": "mknod(2) only of FIFOs, braces } in strings { do not count"}
            ]}
            """)
        self.assertEqual(self.places(seccomp_reasons), [])

    def test_a_missing_an_empty_and_a_blank_reason_are_found_at_their_rule(self):
        self.write(PROFILE, """\
            {"rules": [
              {"syscalls": ["read"], "action": "allow", "reason": "Input of what it holds."},
              {"syscalls": ["bpf"],
               "action": "allow"},
              {"syscalls": ["open"], "action": "allow", "reason": ""},
              {"syscalls": ["stat"], "action": "allow", "reason": "              "}
            ]}
            """)
        self.assertEqual(self.places(seccomp_reasons), [f"{PROFILE}:{line}" for line in (3, 5, 6)])

    def test_what_cannot_be_read_is_no_pass(self):
        self.write(PROFILE, "{\n]")
        self.assertEqual(self.places(seccomp_reasons), [f"{PROFILE}:2"])
        self.write(PROFILE, '{"allow": {"read": "…"}}')
        self.assertEqual(self.places(seccomp_reasons), [f"{PROFILE}:1"])


if __name__ == "__main__":
    unittest.main()
