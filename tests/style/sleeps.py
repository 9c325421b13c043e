"""Nothing sleeps to wait: not in sources, not in tests. An event, a pidfd or a fake clock does not guess."""
import io
import re
import tokenize

import source
from allowed import Allowed
from source import Finding

_CPP = re.compile(r"\bsleep_for\b|\bthis_thread::sleep_until\b|\busleep\s*\(|\b(?:clock_)?nanosleep\s*\("
                  r"|(?<![\w.>:])(?:::\s*)?\bsleep\s*\(\s*[^)\s]")
_PYTHON = re.compile(r"\btime\s*\.\s*sleep\b|\bfrom\s+time\s+import\b[^\n]*\bsleep\b")
_SHELL = re.compile(r"(?:^|[;&|({]|\bdo|\bthen|\belse)[ \t]*(sleep)[ \t]+[\d.$\"]", re.M)
REMEDY = ("wait for the event itself (pidfd, poll with a deadline, condition variable), or step a fake clock; "
          "where sleeping is the point, name the file in tests/style/allow.txt with a reason")


def python_code(text):
    """Python without comments and strings, as source.without_comments_and_strings."""
    lines = text.splitlines(keepends=True)
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (tokenize.TokenError, SyntaxError, IndentationError):
        return text
    for token in tokens:
        if token.type in (tokenize.COMMENT, tokenize.STRING):
            (first, start), (last, end) = token.start, token.end
            for number in range(first, last + 1):
                line = lines[number - 1]
                a = start if number == first else 0
                b = end if number == last else len(line.rstrip("\n"))
                lines[number - 1] = line[:a] + " " * (b - a) + line[b:]
    return "".join(lines)


def shell_code(text):
    return re.sub(r"(?:^|(?<=\s))#[^\n]*", "", text)


# suffixes, the folder looked at, what makes it bare code, what must not be in it
LANGUAGES = (
    (source.CPP, "", source.without_comments_and_strings, _CPP),
    ((".py",), "", python_code, _PYTHON),
    ((".sh",), "tests", shell_code, _SHELL),
)


def check(root, build=None):
    allowed = Allowed(root, {"sleep"})
    for suffixes, folder, bare, pattern in LANGUAGES:
        for path in source.files(root, suffixes, folder):
            code = bare(source.read(root, path))
            for match in pattern.finditer(code):
                if not allowed("sleep", path):
                    yield Finding(path, source.line_of(code, match.end()), "sleeps to wait", REMEDY)
    yield from allowed.findings()
