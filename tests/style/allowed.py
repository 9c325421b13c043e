"""tests/style/allow.txt: the places where a rule is waived, each with its reason."""
import pathlib

from source import Finding

PATH = "tests/style/allow.txt"
SHORTEST_REASON = 15


class Allowed:
    """The entries for some rules. One that waives nothing any more is itself a finding."""

    def __init__(self, root, rules):
        self._lines = {}  # (rule, path) → line
        self._used = set()
        self._bad = []
        file = pathlib.Path(root, PATH)
        for number, text in enumerate(file.read_text().splitlines() if file.exists() else [], 1):
            words = text.split(None, 2)
            if not words or words[0].startswith("#") or words[0] not in rules:
                continue
            if len(words) < 3 or len(words[2]) < SHORTEST_REASON:
                self._bad.append(Finding(PATH, number, "an exception without a reason", "write: RULE PATH why it is right there"))
            else:
                self._lines[(words[0], words[1])] = number

    def __call__(self, rule, path):
        if (rule, path) in self._lines:
            self._used.add((rule, path))
            return True
        return False

    def findings(self):
        yield from self._bad
        for (rule, path), number in self._lines.items():
            if (rule, path) not in self._used:
                yield Finding(PATH, number, f"{path} no longer needs to be excepted from {rule!r}", "remove this line")
