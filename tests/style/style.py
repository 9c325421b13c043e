#!/usr/bin/python3
"""Runs style checks over the tree: style.py CHECK… [--root DIR] [--build DIR]; without CHECK, all of them.

Each finding is one line, `file:line: what is wrong; what to do`. Exit status 1 when there is one. A check that cannot
run here says why and exits with 77, but with 1 where CI=true.
"""
import argparse
import importlib
import os
import pathlib
import sys

from formatting import Skip

CHECKS = ("layers", "raw_resources", "sleeps", "seccomp_reasons", "formatting", "contracts", "file_length", "doc_pages",
          "linkage")
SKIPPED = 77


def run(name, root, build):
    """The exit status of one check."""
    try:
        findings = list(importlib.import_module(name).check(root, build))
    except Skip as reason:
        print(f"{name}: cannot run: {reason}")
        return 1 if os.environ.get("CI") in ("true", "1") else SKIPPED
    for finding in findings:
        print(finding)
    print(f"{name}: {len(findings) or 'no'} finding{'' if len(findings) == 1 else 's'}")
    return 1 if findings else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=", ".join(CHECKS))
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[2])
    parser.add_argument("--build", type=pathlib.Path)
    arguments = parser.parse_args()
    unknown = set(arguments.checks) - set(CHECKS)
    if unknown:
        parser.error(f"no such check: {', '.join(sorted(unknown))}")
    return max(run(name, arguments.root, arguments.build) for name in arguments.checks or CHECKS)


if __name__ == "__main__":
    sys.exit(main())
