"""One contract in every language: the same rows through the built programs, and the table of docs/conformance.md.

    conformance_test.py           every row the same in the runtimes that are here, or with its reason; the table is current
    conformance_test.py --write   writes the table
"""
import os
import sys
import unittest

from flodea_host import Host, TREE
from rows import ENTRYPOINTS, GROUPS, REASONS

PAGE = os.path.join(TREE, "docs", "conformance.md")
HEAD = """# Conformance of the runtimes

The same agent in each language, run by the built programs; written by `tests/conformance/conformance_test.py --write`, and checked against it.
*Same* is the same outcome as Python's; where it is another, the reason stands with it. `…` is a value that differs from run to run.
"""


def runtimes_here(host):
    """Those of the languages that this build has and this host can run."""
    known = host.json("node").get("runtimes", {})
    return [language for language in ENTRYPOINTS if language in known]


def run_all(host, languages):
    """{group: {row: {language: outcome}}}"""
    table = {}
    for group, run in GROUPS.items():
        rows = table.setdefault(group, {})
        for language in languages:
            for row, outcome in run(host, language).items():
                rows.setdefault(row, {})[language] = outcome
    return table


def cell(text):
    text = text if len(text) <= 400 else text[:400] + "…"
    return "`" + text.replace("|", "\\|").replace("`", "'") + "`"


def differences(table, languages):
    """[(group, row, language)] where a language is not as Python."""
    return [(group, row, language) for group, rows in table.items() for row, outcomes in rows.items()
            for language in languages[1:] if outcomes.get(language) != outcomes.get("python")]


def render(table, languages):
    lines = [HEAD]
    for group, rows in table.items():
        lines += [f"## {group}\n", "| | " + " | ".join(languages) + " |", "|---" * (len(languages) + 1) + "|"]
        for row, outcomes in rows.items():
            cells = [cell(outcomes["python"])]
            for language in languages[1:]:
                same = outcomes.get(language) == outcomes["python"]
                reason = REASONS.get((group, row, language), "")
                cells.append("same" if same else f"{cell(outcomes.get(language, 'none'))}: {reason}")
            lines.append(f"| {row} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def columns_of(page):
    for line in page.splitlines():
        if line.startswith("| | "):
            return [word for word in line.strip("| ").split(" | ") if word]
    return []


class Conformance(unittest.TestCase):
    maxDiff = None

    def test_every_runtime_keeps_the_contract_and_the_page_says_so(self):
        with open(PAGE) as file:
            page = file.read()
        with Host() as host:
            languages = runtimes_here(host)
            table = run_all(host, languages)
        absent = [language for language in columns_of(page) if language not in languages]
        if absent:
            self.assertNotIn(os.environ.get("CI"), ("true", "1"), f"{absent} cannot run here")
            print(f"not on this host, so not compared: {', '.join(absent)}")
        found = differences(table, languages)
        for place in found:
            self.assertIn(place, REASONS, f"{place}: {table[place[0]][place[1]]}")
        unused = [place for place in REASONS if place[2] in languages and place not in found]
        self.assertEqual(unused, [], "reasons for rows that do not differ")
        if not absent:
            self.assertEqual(render(table, languages), page, "the page is not current: run conformance_test.py --write")


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        with Host() as running:
            here = runtimes_here(running)
            result = run_all(running, here)
        with open(PAGE, "w") as out:
            out.write(render(result, here))
        for place in differences(result, here):
            print("differs", "with" if place in REASONS else "WITHOUT", "a reason:", place)
    else:
        unittest.main(verbosity=2)
