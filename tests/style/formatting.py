"""clang-format-19 has nothing to change."""
import re
import shutil
import subprocess

import source
from source import Finding

TOOL = "clang-format-19"
BATCH = 40


class Skip(Exception):
    """The check cannot run here; the text says why."""


def check(root, build=None):
    if shutil.which(TOOL) is None:
        raise Skip(f"{TOOL} is not installed: run scripts/setup")
    paths = source.files(root, source.CPP)
    for start in range(0, len(paths), BATCH):
        run = subprocess.run([TOOL, "--dry-run", "-Werror", "--ferror-limit=1", *paths[start:start + BATCH]], cwd=root,
                             text=True, capture_output=True, check=False)
        found = re.findall(r"^([^\s:]+):(\d+):\d+: error: ", run.stderr, re.M)
        for path, line in dict(found).items():
            yield Finding(path, int(line), "is not formatted", f"run scripts/format {path}")
        if run.returncode != 0 and not found:
            yield Finding(paths[start], 1, f"{TOOL} failed: {run.stderr.strip()}", "make it run")
