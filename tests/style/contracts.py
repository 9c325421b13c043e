"""Interfaces explain themselves: every proto field, service and method has a comment, every header begins with its contract."""
import re

import source
from source import Finding

SHORTEST_COMMENT = 4
SHORTEST_CONTRACT = 20
# False: a comment on the message will do for its fields, so that nobody writes "the name" beside `name`.
EVERY_FIELD = False

_PROTO_TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\])*"|[{};]|[^\s{};"]+', re.S)
_FIELD = re.compile(r"(?:repeated |optional |required )?(?:map ?<[^>]*> ?|(?P<type>[\w.]+) )(?P<name>\w+) ?= ?\d+")


class Statement:
    """`a b = 1;` or the head of a block: its text, its lines, and the heads of the blocks around it, outermost first."""

    def __init__(self, text, first, last, around):
        self.text, self.first, self.last, self.around = text, first, last, around

    @property
    def kind(self):
        return self.text.split(" ", 1)[0]


class Proto:
    """A .proto: its statements; its comments by line, those that stand alone and those after code."""

    def __init__(self, code):
        self.statements, self.alone, self.trailing = [], {}, {}
        around, words, last_code_line = [], [], 0
        for match in _PROTO_TOKEN.finditer(code):
            token, line = match[0], source.line_of(code, match.start())
            if token.startswith(("//", "/*")):
                self._comment(token, line, line == last_code_line)
                continue
            last_code_line = line
            if token not in ("{", "}", ";"):
                words.append((token, line))
                continue
            statement = Statement(" ".join(w for w, _ in words), words[0][1] if words else line, line, tuple(around))
            if words:
                self.statements.append(statement)
            if token == "{":
                around.append(statement)
            elif token == "}" and around:
                around.pop()
            words = []

    def _comment(self, token, line, after_code):
        for number in range(line, line + token.count("\n") + 1):
            (self.trailing if after_code else self.alone)[number] = token.strip("/* \n")

    def has_comment(self, statement):
        """Directly above it, or after it on one of its lines."""
        comments = [self.alone.get(statement.first - 1, "")]
        comments += [self.trailing.get(line, "") for line in range(statement.first, statement.last + 1)]
        return any(len(comment) >= SHORTEST_COMMENT for comment in comments)

    def explains_itself(self, number):
        """Does the file begin with a comment, and hold just this one service?"""
        return self.alone and min(self.alone) < number and sum(s.kind == "service" for s in self.statements) == 1


def is_described(proto, statement):
    """A service by the file it is alone in, a field also by its message's comment, or by a type that explains itself."""
    if proto.has_comment(statement):
        return True
    if statement.kind == "service":
        return proto.explains_itself(statement.first)
    if statement.kind == "rpc":
        return False
    field = _FIELD.match(statement.text)
    if field["type"] and field["type"].rsplit(".", 1)[-1][0].isupper():
        return True
    return not EVERY_FIELD and any(proto.has_comment(head) for head in statement.around if head.kind in ("message", "oneof"))


def subject(statement):
    """What must be described, as words, or None."""
    named = re.match(r"(service|rpc) ?(\w+)", statement.text)
    if named:
        return f"{named[1]} {named[2]}"
    inside = statement.around and statement.around[-1].kind in ("message", "oneof", "extend")
    field = _FIELD.match(statement.text)
    return f"field {field['name']}" if inside and field and statement.kind not in ("option", "reserved", "extensions") else None


def check_proto(path, code):
    """One finding for all the fields of a message, one for each service and method."""
    proto = Proto(code)
    bare = {}  # (line of the message, its name) → names; a service or method stands for itself
    for statement in proto.statements:
        what = subject(statement)
        if what and not is_described(proto, statement):
            message = next((head for head in reversed(statement.around) if head.kind == "message"), statement)
            bare.setdefault((message.first, message.text if message is not statement else ""), []).append((statement.first, what))
    for (_, message), members in bare.items():
        names = ", ".join(what for _, what in members)
        yield Finding(path, members[0][0], f"{message + ': ' if message else ''}{names} without a comment",
                      "say above, after it on its line, or above its message, what it means: unit, bounds, what absence means")


_SKIPPED_HEAD = re.compile(r"^(?://\s*(?:SPDX-|Copyright)[^\n]*|#pragma once|#ifndef \w+|#define \w+|\s*)$")


def check_header(path, code):
    words = []
    number = 1
    for number, line in enumerate(code.splitlines(), 1):
        if not words and _SKIPPED_HEAD.match(line):
            continue
        if not line.startswith("//"):
            break
        words.append(line.lstrip("/ "))
    if len(" ".join(words)) < SHORTEST_CONTRACT:
        yield Finding(path, number, "the header does not begin with its contract",
                      "say at its top, in // comments, what it is for, who owns what, threads, errors, what weakens isolation")


def check(root, build=None):
    for path in source.files(root, [".proto"]):
        yield from check_proto(path, source.read(root, path))
    for path in source.files(root, [".h"]):
        if not path.startswith(("tests/", "bench/", "examples/")):
            yield from check_header(path, source.read(root, path))
