"""Every module and every runtime has its page in docs/."""
import pathlib

import source
from source import Finding

KINDS = ("modules", "runtimes")


def check(root, build=None):
    for kind in KINDS:
        names = {path.split("/")[1] for path in source.files(root, [""], kind) if path.count("/") >= 2}
        for name in sorted(names):
            page = f"docs/{kind}/{name}.md"
            if not pathlib.Path(root, page).is_file():
                yield Finding(page, 1, f"{kind}/{name} has no page", "write what it does, its API, its limits, and an example")
