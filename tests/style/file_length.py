"""A file past 600 lines wants splitting."""
import source
from source import Finding

LONGEST = 600
SUFFIXES = (".cc", ".h", ".c", ".py", ".js", ".mjs", ".ts", ".sh", ".proto", ".cmake", "CMakeLists.txt")


def check(root, build=None):
    for path in source.files(root, SUFFIXES):
        lines = source.read(root, path).count("\n")
        if lines > LONGEST:
            yield Finding(path, LONGEST + 1, f"{lines} lines, more than {LONGEST}", "split it by verb")
