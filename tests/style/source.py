"""What the checks share: findings, the files of the tree, and C++ without its comments and strings."""
import os
import pathlib
import re
from typing import NamedTuple

# Not ours, or not kept.
SKIPPED_FOLDERS = {"build", "target", "node_modules", "__pycache__"}

CPP = (".cc", ".h")

_TOKENS = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)
      | R"(?P<tag>[^()\\\s]{0,16})\((?P<raw>.*?)\)(?P=tag)"
      | "(?P<string>(?:\\.|[^"\\\n])*)"
      | (?<![0-9A-Fa-f])'(?P<char>(?:\\.|[^'\\\n])+)'""", re.S | re.X)


class Finding(NamedTuple):
    path: str
    line: int
    problem: str
    remedy: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.problem}; {self.remedy}"


def files(root, suffixes, under=""):
    """Paths of the tree, relative to root and with slashes, that end with one of the suffixes, in order."""
    result = []
    for folder, folders, names in os.walk(pathlib.Path(root) / under):
        folders[:] = sorted(f for f in folders if f not in SKIPPED_FOLDERS and not f.startswith("."))
        result += [pathlib.Path(folder, name).relative_to(root).as_posix()
                   for name in sorted(names) if name.endswith(tuple(suffixes))]
    return result


def read(root, path):
    return (pathlib.Path(root) / path).read_text(encoding="utf-8", errors="replace")


def _blank(text):
    """As many lines, as many columns, nothing in them."""
    return re.sub(r"[^\n]", " ", text)


def without_comments(code):
    return _TOKENS.sub(lambda m: _blank(m[0]) if m["comment"] else m[0], code)


def without_comments_and_strings(code):
    """What is left has the offsets and the lines that it had."""
    return _TOKENS.sub(lambda m: _blank(m[0]), code)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1
