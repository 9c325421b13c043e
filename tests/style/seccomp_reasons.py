"""Every rule of a seccomp profile says why it is there."""
import json
import re

import source
from source import Finding

FOLDER = "policy/profiles"
SHORTEST_REASON = 10
REMEDY = 'give the rule a "reason" that says who needs it, or why it is refused'
# Lists below these keys are parts of a rule, not rules.
PARTS = {"args", "arguments", "conditions", "names", "syscalls"}


class Located(dict):
    """A JSON object that knows its line."""
    line = 0


def _lines_of_objects(text):
    """The line where each object begins, in the order in which objects end: that of a decoder's hooks."""
    bare = re.sub(r'"(?:\\.|[^"\\])*"', lambda m: re.sub(r"[^\n]", " ", m[0]), text)
    open_lines, result, line = [], [], 1
    for character in bare:
        if character == "\n":
            line += 1
        elif character == "{":
            open_lines.append(line)
        elif character == "}" and open_lines:
            result.append(open_lines.pop())
    return result


def parse(text):
    lines = iter(_lines_of_objects(text))

    def located(pairs):
        result = Located(pairs)
        result.line = next(lines, 0)
        return result

    return json.loads(text, object_pairs_hook=located)


def rules(value, key=""):
    """The objects that stand in lists, but for those that are parts of a rule."""
    if isinstance(value, dict):
        for name, member in value.items():
            if name not in PARTS:
                yield from rules(member, name)
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, dict):
                yield item
            yield from rules(item, key)


def check_profile(path, text):
    try:
        profile = parse(text)
    except json.JSONDecodeError as error:
        yield Finding(path, error.lineno, f"no JSON: {error.msg}", "correct it")
        return
    found = list(rules(profile))
    if not found:
        yield Finding(path, 1, "no rule was found", "rules are objects in a list, each with a reason")
    for rule in found:
        reason = rule.get("reason")
        if not isinstance(reason, str) or len(reason.strip()) < SHORTEST_REASON:
            name = rule.get("name") or rule.get("names") or rule.get("syscall") or rule.get("syscalls") or "?"
            yield Finding(path, rule.line, f"the rule for {name} has no reason", REMEDY)


def check(root, build=None):
    for path in source.files(root, [".json"], FOLDER):
        yield from check_profile(path, source.read(root, path))
