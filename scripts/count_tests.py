#!/usr/bin/python3
"""Counts a ctest run: prints "PASSED FAILED SKIPPED" on stdout, and on stderr every skip with its reason.

ctest knows programs, Catch2 knows the cases in them: where a program's output ends with Catch2's summary, its cases
are counted, so that one case skipped among twenty is seen. Usage: count_tests.py JUNIT TESTS_JSON [--strict LABEL,…]
JUNIT is ctest's --output-junit, TESTS_JSON its --show-only=json-v1. With --strict, a skip under one of these labels is
a failure: a security test that could not run has proved nothing.
"""
import argparse
import json
import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree
from typing import NamedTuple

ALL_PASSED = re.compile(r"^All tests passed \(.* in (\d+) test cases?\)", re.M)
CASES = re.compile(r"^test cases: +\d+ \|(.*)$", re.M)
NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
REASON = re.compile(r"SKIPPED:\nexplicitly with message:\n((?:  .*\n?)+)")
REASON_LINES = 12


class Count(NamedTuple):
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def plus(self, other):
        return Count(*(a + b for a, b in zip(self, other)))


def catch2_cases(output):
    """The cases of the last summary that Catch2 printed, or None."""
    matches = sorted([*ALL_PASSED.finditer(output), *CASES.finditer(output)], key=lambda m: m.start())
    if not matches:
        return None
    last = matches[-1]
    if last.re is ALL_PASSED:
        return Count(passed=int(last[1]))
    parts = {kind: int(number) for number, kind in re.findall(r"(\d+) ([a-z][a-z ]*[a-z])", last[1])}
    return Count(parts.get("passed", 0) + parts.get("failed as expected", 0), parts.get("failed", 0),
                 parts.get("skipped", 0))


def count_one(status, skip_message, output):
    """What one ctest test counts for."""
    cases = catch2_cases(output)
    if status == "run":
        return cases or Count(passed=1)
    if status == "disabled":
        return Count(skipped=1)
    if status == "notrun":  # ctest files a missing program under "skipped" too: that one has failed
        if (skip_message or "").startswith("SKIP_"):
            return cases if cases and cases.skipped else Count(skipped=1)
        return Count(failed=1)
    if cases and not cases.failed:  # all cases passed, and yet: a crash or a leak at the end
        return cases.plus(Count(failed=1))
    return cases or Count(failed=1)


def skip_reason(output):
    reasons = [match[1].strip() for match in REASON.finditer(output)]
    if reasons:
        return "; ".join(dict.fromkeys(reasons))
    return "\n".join(output.strip().splitlines()[-REASON_LINES:]) or "it said nothing"


def count_all(junit, labels, strict, report):
    total = Count()
    for case in ElementTree.fromstring(junit).iter("testcase"):
        name = case.get("name")
        skipped = case.find("skipped")
        output = case.findtext("system-out") or ""
        count = count_one(case.get("status"), None if skipped is None else skipped.get("message"), output)
        if count.skipped:
            forbidden = strict & labels.get(name, set())
            verdict = f"FAILED (a {'/'.join(sorted(forbidden))} test must run here)" if forbidden else "skipped"
            report(f"{name}: {count.skipped} {verdict}: {skip_reason(output)}")
            if forbidden:
                count = Count(count.passed, count.failed + count.skipped, 0)
        total = total.plus(count)
    return total


def labels_of(tests):
    """{test name: set of labels} from ctest's JSON."""
    result = {}
    for test in tests.get("tests", []):
        for prop in test.get("properties", []):
            if prop["name"] == "LABELS":
                result[test["name"]] = set(prop["value"])
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("junit", type=pathlib.Path)
    parser.add_argument("tests", type=pathlib.Path)
    parser.add_argument("--strict", default="", help="labels whose tests must not be skipped, with commas")
    arguments = parser.parse_args()
    junit = NOT_XML.sub("?", arguments.junit.read_text(encoding="utf-8", errors="replace"))
    labels = labels_of(json.loads(arguments.tests.read_text(encoding="utf-8", errors="replace")))
    total = count_all(junit, labels, set(filter(None, arguments.strict.split(","))),
                      lambda line: print("      " + line.replace("\n", "\n        "), file=sys.stderr))
    print(*total)


if __name__ == "__main__":
    main()
