"""Raw close(), naked new, goto and friend: only in the places that allow.txt names."""
import pathlib
import re

import source
from allowed import Allowed, PATH as ALLOW_LIST
from source import Finding

# A call of close(2), not a declaration or a member: no type name and no . or -> before it, one argument. The words after
# which a call may stand look like a type's name.
_BEFORE_CALL = r"(?:(?:\b(?:return|else|do|co_return|case|throw)\s+)|(?<![\w.>:&*~\s])\s*|^\s*)"
RULES = {
    "close": (re.compile(_BEFORE_CALL + r"(?P<at>(?P<global>::\s*)?\bclose)\s*\(\s*[^)\s,][^,;]*?\)(?!\s*\{)", re.M),
              "raw close()", "let a UniqueFd (base/unique_fd.h) own the descriptor"),
    "new": (re.compile(r"(?<!operator )(?P<at>\bnew\b)"), "naked new",
            "std::make_unique; with a private constructor, std::unique_ptr<T>(new T(…)) in one expression"),
    "goto": (re.compile(r"(?P<at>\bgoto\b)"), "goto", "return early; destructors undo what was made"),
    "friend": (re.compile(r"(?P<at>\bfriend\b)"), "friend",
               "a public member, a passkey argument, or `bool operator==(const T&) const = default`"),
}
# A new that an owner takes in the same expression is not naked: std::unique_ptr<T> name(new T), with a private constructor.
_OWNED_NEW = re.compile(r"\b(?:unique|shared)_ptr<[^;{}()]*>\s*\w*\s*[({]\s*new\b")
_DIRECTIVE = re.compile(r"^[ \t]*#[ \t]*include[^\n]*", re.M)
# A class of the file, or of its header, that has a close() of its own: there an unqualified call means that one.
_OWN_CLOSE = re.compile(r"[\w>&*](?<!\breturn)(?<!\belse)(?<!\bdo)\s+(?:\w+::)*close\s*\(")


def has_own_close(root, path):
    stem = path.rsplit(".", 1)[0]
    texts = [source.read(root, file) for file in (stem + ".h", stem + ".cc") if pathlib.Path(root, file).is_file()]
    return any(_OWN_CLOSE.search(source.without_comments_and_strings(text)) for text in texts)


def check(root, build=None):
    allowed = Allowed(root, RULES)
    for path in source.files(root, source.CPP):
        code = source.without_comments_and_strings(source.read(root, path))
        for harmless in (_DIRECTIVE, _OWNED_NEW):
            code = harmless.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), code)
        for rule, (pattern, problem, remedy) in RULES.items():
            for match in pattern.finditer(code):
                if rule == "close" and not match["global"] and has_own_close(root, path):
                    continue
                if not allowed(rule, path):
                    yield Finding(path, source.line_of(code, match.start("at")), problem,
                                  f"{remedy}; or name {path} in {ALLOW_LIST} with a reason")
    yield from allowed.findings()
