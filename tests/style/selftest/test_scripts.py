"""The scripts that count and that know distributions: a wrong count would hide what the tests found."""
import importlib.util
import os
import pathlib
import subprocess
import unittest

from selftest.tree import TreeTest

SCRIPTS = pathlib.Path(__file__).resolve().parents[3] / "scripts"


def load(name):
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


count_tests = load("count_tests")

JUNIT = """<testsuite>
<testcase name="all" status="run"><system-out>All tests passed (9 assertions in 5 test cases)</system-out></testcase>
<testcase name="some" status="run"><system-out>a.cc:4: SKIPPED:
explicitly with message:
  not root

test cases: 3 | 2 passed | 1 skipped
</system-out></testcase>
<testcase name="bad" status="fail"><failure/><system-out>test cases: 4 | 1 passed | 2 failed | 1 failed as expected
</system-out></testcase>
<testcase name="leak" status="fail"><failure/><system-out>All tests passed (1 assertion in 2 test cases)
LeakSanitizer: detected memory leaks</system-out></testcase>
<testcase name="plain" status="run"><system-out></system-out></testcase>
<testcase name="broken" status="fail"><failure/><system-out></system-out></testcase>
<testcase name="skip" status="notrun"><skipped message="SKIP_RETURN_CODE=77"/><system-out>no such tool</system-out></testcase>
<testcase name="absent" status="notrun"><skipped message="Unable to find executable"/></testcase>
<testcase name="off" status="disabled"/>
</testsuite>"""


class Counting(unittest.TestCase):
    def count(self, strict=()):
        said = []
        labels = {"some": {"security"}, "skip": {"style"}}
        return count_tests.count_all(JUNIT, labels, set(strict), said.append), said

    def test_cases_are_counted_and_what_did_not_run_has_failed(self):
        total, said = self.count()
        self.assertEqual(total, (5 + 2 + 2 + 2 + 1, 2 + 1 + 1 + 1, 1 + 1 + 1))
        self.assertIn("some: 1 skipped: not root", said)

    def test_a_security_test_that_cannot_run_fails_where_it_must(self):
        total, said = self.count(["security"])
        self.assertEqual(total, (12, 6, 2))
        self.assertIn("some: 1 FAILED (a security test must run here): not root", said)


class Shell(TreeTest):
    def bash(self, code, **environment):
        return subprocess.run(["bash", "-c", f". {SCRIPTS}/lib.sh; {code}"], text=True, capture_output=True, check=False,
                              env={**os.environ, **environment})

    def test_every_script_is_valid_bash(self):
        for script in [*SCRIPTS.iterdir(), SCRIPTS.parent / ".ci/run"]:
            if script.read_text().startswith("#!/bin/bash"):
                self.assertEqual(subprocess.run(["bash", "-n", script], check=False).returncode, 0, script)

    def test_the_distribution_is_found_in_the_table(self):
        self.write("os-release", 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12"\n')
        run = self.bash(f'detect_distribution {self.root}/os-release; echo "$CODENAME $EXTRA_SUITE $FROM_SUITE"')
        self.assertEqual(run.stdout, "bookworm bookworm-backports catch2\n")

    def test_an_unknown_distribution_is_refused_with_the_known_ones(self):
        self.write("os-release", 'ID=plan9\nVERSION_ID="4"\n')
        run = self.bash(f"detect_distribution {self.root}/os-release")
        self.assertEqual(run.returncode, 1)
        self.assertIn("debian-12", run.stderr)

    def test_a_distribution_may_name_a_package_differently(self):
        run = self.bash("RENAMED=catch2=libcatch2-dev,attr=attr2; packages_here | grep -E 'catch|attr'")
        self.assertEqual(run.stdout.split(), ["libcatch2-dev>=3", "attr2"])

    def test_missing_and_outdated_packages_are_found(self):
        self.write("bin/dpkg-query", """\
            #!/bin/sh
            echo 'catch2 2.13.8-1 installed'
            echo 'cmake 3.25.1-1 installed'
            echo 'attr 2.5.1-4 config-files'
            """)
        (self.root / "bin/dpkg-query").chmod(0o755)
        run = self.bash("package_list() { echo 'catch2>=3 cmake>=3.25 attr curl'; }; RENAMED=-; missing_packages",
                        PATH=f"{self.root}/bin:{os.environ['PATH']}")
        self.assertEqual(run.stdout.split(), ["catch2", "attr", "curl"])

    def test_a_summary_is_read_only_from_the_last_line(self):
        self.write("good", "1 passed, 2 failed, 3 skipped\n10 passed, 0 failed, 1 skipped\n")
        self.write("bad", "1 passed, 2 failed, 3 skipped\nKilled\n")
        run = self.bash(f'parse_summary {self.root}/good && summary_line $PASSED $FAILED $SKIPPED; parse_summary {self.root}/bad')
        self.assertEqual((run.stdout, run.returncode), ("10 passed, 0 failed, 1 skipped\n", 1))


if __name__ == "__main__":
    unittest.main()
