"""Raw close(), naked new, goto and friend: only in the places that allow.txt names."""
import re

import source
from allowed import Allowed, PATH as ALLOW_LIST
from source import Finding

# A call, not a declaration or a member: no type name and no . or -> before it, and something between the parentheses.
# The words in front of which a call may stand look like a type's name.
_BEFORE_CALL = r"(?:(?:\b(?:return|else|do|co_return|case|throw)\s+)|(?<![\w.>:&*~\s])\s*|^\s*)"
RULES = {
    "close": (re.compile(_BEFORE_CALL + r"(?P<at>(?:::\s*)?\bclose)\s*\(\s*[^)\s]", re.M),
              "raw close()", "let a UniqueFd (base/unique_fd.h) own the descriptor"),
    "new": (re.compile(r"(?<!operator )(?P<at>\bnew\b)"), "naked new",
            "std::make_unique; with a private constructor, std::unique_ptr<T>(new T(…)) in one expression"),
    "goto": (re.compile(r"(?P<at>\bgoto\b)"), "goto", "return early; destructors undo what was made"),
    "friend": (re.compile(r"(?P<at>\bfriend\b)"), "friend",
               "a public member, a passkey argument, or `bool operator==(const T&) const = default`"),
}
# A new that an owner takes in the same expression is not naked: std::unique_ptr<T> name(new T), with a private constructor.
_OWNED_NEW = re.compile(r"\bunique_ptr<[^;{}()]*>\s*\w*\s*[({]\s*new\b")
_DIRECTIVE = re.compile(r"^[ \t]*#[ \t]*include[^\n]*", re.M)


def check(root, build=None):
    allowed = Allowed(root, RULES)
    for path in source.files(root, source.CPP):
        code = source.without_comments_and_strings(source.read(root, path))
        for harmless in (_DIRECTIVE, _OWNED_NEW):
            code = harmless.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), code)
        for rule, (pattern, problem, remedy) in RULES.items():
            for match in pattern.finditer(code):
                if not allowed(rule, path):
                    yield Finding(path, source.line_of(code, match.start("at")), problem,
                                  f"{remedy}; or name {path} in {ALLOW_LIST} with a reason")
    yield from allowed.findings()
