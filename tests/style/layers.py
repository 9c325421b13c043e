"""Who may know whom (docs/architecture.md, "What may know what"), on #include, import and link lines."""
import fnmatch
import os
import posixpath
import re

import source
from source import Finding

# What root, its helper (compiles the filters), the vault and the workers need of policy: how to restrict a process, not how to decide.
SELF_RESTRICTION = ("policy/seccomp*", "policy/landlock*", "policy/profile*", "policy/capabilit*", "policy/rlimit*",
                    "policy/restrict*")

# A zone is a folder; it may use itself and what is listed, by zone or by a pattern of paths. An arrow is never reversed.
# "modules/*" as a zone: each module is one of its own, and so never knows another.
ARROWS = {
    "base": (),
    "proto": (),
    "proto/status_codec": ("base", "proto"),  # errors across gRPC, for both ends
    "policy": ("base",),
    "runtimes": ("base", "policy"),
    "modules/*": ("base", "policy", "proto"),
    # Of the helper's volume code root uses only what neither blocks nor parses: sizes and the FUSE connection.
    "supervisor/root": ("base", *SELF_RESTRICTION, "proto/flodea/root", "proto/flodea/helper", "proto/flodea/vault",
                        "supervisor/helper/volume/geometry.*", "supervisor/helper/volume/fuse_mount.*"),
    "supervisor/helper": ("base", *SELF_RESTRICTION, "proto/flodea/helper", "proto/flodea/root", "proto/flodea/vault"),
    # The vault's tests act as flodead and its helper.
    "supervisor/vault": ("base", *SELF_RESTRICTION, "proto/flodea/root", "proto/flodea/vault", "supervisor/helper/volume"),
    "supervisor/unpacker": ("base", "proto/flodea/operators"),
    "supervisor/control": ("base", "policy", "proto", "runtimes", "modules/*"),
    "worker": ("base", *SELF_RESTRICTION, "proto"),
    "cli": ("base", "proto"),
    "sdk": ("base", "proto"),
    "bench": ("*",),
    "tests": ("*",),
}

# Libraries that a zone must stay free of: how they are included, how they are linked.
GRPC = (r"(grpc|grpcpp)/|.*\.grpc\.pb\.h$", r"ext_grpc$|flodea_grpc_|gRPC::|grpc\+\+")
HEAVY = (r"sqlite3\.h|base/sqlite\.h|openssl/|libcryptsetup\.h|prometheus/|boost/process",
         r"flodea_sqlite$|ext_(sqlite|crypto|ssl|cryptsetup)$|prometheus-cpp|sqlite3$|crypto$|OpenSSL::|Boost::")
FREE_OF = {
    "base": (GRPC,),
    "policy": (GRPC, HEAVY),
    "runtimes": (GRPC,),
    "supervisor/root": (GRPC, HEAVY),
    "supervisor/helper": (GRPC,),
    "supervisor/vault": (GRPC,),
    "supervisor/unpacker": (GRPC, HEAVY),
}

REMEDY = "see docs/architecture.md on what may know what: pass an interface in, or move the shared part down"

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?P<quote>["<])(?P<path>[^">\n]+)[">]', re.M)
_IMPORT = re.compile(r'^\s*import\s+(?:public\s+|weak\s+)?"([^"]+)"', re.M)
_GENERATED = re.compile(r"^(?:proto/)?flodea/([^/]+)/v\d+/")
# Protobuf types stop at these; everything else of a module speaks domain types.
_PROTOBUF_EDGE = re.compile(r"_(service|client)(_test)?\.(cc|h)$")


def zone_of(path):
    """The zone that a path lies in, or None."""
    parts = path.split("/")
    zone = "/".join(parts[:2])
    if len(parts) > 2 and zone in ARROWS:
        return zone
    if parts[0] in ("modules", "supervisor"):
        return zone if len(parts) > 2 and parts[0] == "modules" else None
    return parts[0] if len(parts) > 1 and parts[0] in ARROWS else None


def allowed_targets(zone):
    return ARROWS["modules/*" if zone.startswith("modules/") else zone]


def may_use(zone, target, is_test=False):
    """May code of a zone use this path (of a header, or of a library's first source)?"""
    if target.startswith(zone + "/"):
        return True
    if is_test and target.startswith("tests/"):
        return True
    return any(fnmatch.fnmatchcase(target, pattern) or fnmatch.fnmatchcase(target, pattern + "/*")
               for pattern in allowed_targets(zone))


def is_test_file(path):
    """Tests, and what folders offer to them."""
    return path.endswith(("_test.cc", "_test.h")) or "/testing/" in path


def included_path(include):
    """The path in our tree that an include means, or None when it is not ours."""
    generated = _GENERATED.match(include)
    if generated:
        return f"proto/flodea/{generated[1]}/{include.rsplit('/', 1)[-1]}"
    if include.startswith("google/rpc/"):
        return "proto/flodea/" + include  # generated beside ours, of no service
    return include if include.split("/")[0] in {zone.split("/")[0] for zone in [*ARROWS, "supervisor/x"]} else None


def check_include(root, path, line, quoted, include):
    """Findings of one #include line."""
    zone = zone_of(path)
    for pattern, _ in FREE_OF.get(zone, ()):
        if re.match(pattern, include):
            yield Finding(path, line, f"{zone} includes <{include}>, which it must stay free of", REMEDY)
    if zone.startswith("modules/") and not _PROTOBUF_EDGE.search(path) and re.match(r".*\.pb\.h$|grpc(pp)?/", include):
        yield Finding(path, line, f"{include} in a module's domain code",
                      "protobuf and gRPC stop at *_service.{cc,h} and *_client.{cc,h}: convert to domain types there")
    target = included_path(include)
    if target is None:
        if quoted and os.path.exists(os.path.join(root, posixpath.dirname(path), include)):
            yield Finding(path, line, f'"{include}" is written from its own folder',
                          f'write "{posixpath.normpath(posixpath.join(posixpath.dirname(path), include))}"')
    elif "/testing/" in target and not is_test_file(path) and zone not in ("tests", "bench"):
        yield Finding(path, line, f'"{include}" is for tests', "test code stays in tests: what both need belongs beside them")
    elif not include.startswith("google/") and not may_use(zone, target, is_test_file(path)):
        yield Finding(path, line, f'{zone} must not include "{include}"', REMEDY)


def check_includes(root):
    for path in source.files(root, source.CPP):
        if path.startswith("examples/"):
            continue
        if zone_of(path) is None:
            yield Finding(path, 1, "this folder is in no layer",
                          "move the file into one, or name the folder in ARROWS of tests/style/layers.py and in docs/architecture.md")
            continue
        code = source.without_comments(source.read(root, path))
        for match in _INCLUDE.finditer(code):
            line = source.line_of(code, match.start("path"))
            yield from check_include(root, path, line, match["quote"] == '"', match["path"])


def check_proto_imports(root):
    for path in source.files(root, [".proto"]):
        code = source.without_comments(source.read(root, path))
        for match in _IMPORT.finditer(code):
            if not match[1].startswith(("google/", "flodea/")):
                yield Finding(path, source.line_of(code, match.start(1)), f'import of "{match[1]}"',
                              'protos know only one another, as "flodea/…", and "google/…"')


# --- CMake ----------------------------------------------------------------------------------------------------------

_COMMAND = re.compile(r"^[ \t]*(\w+)[ \t]*\(", re.M)
_TOKEN = re.compile(r"\$<TARGET_OBJECTS:([\w.+-]+)>|\$<[^>\s]*>|[^\s;\"()]+")
# Words of our wrappers and of CMake that say that what follows are sources, or libraries.
_KEYWORDS = {"SOURCES", "LINK", "LABEL", "TIMEOUT", "FILES", "GRPC", "LITE", "PUBLIC", "PRIVATE", "INTERFACE", "STATIC",
             "OBJECT", "SHARED"}


class Command:
    """One command of a CMakeLists.txt: its name, and its words, each with its line."""

    def __init__(self, name, words):
        self.name = name
        self.words = words

    @property
    def first(self):
        return self.words[0][0] if self.words else ""

    def after(self, keyword):
        """The words between a keyword and the next."""
        inside = False
        for word, line in self.words:
            if word in _KEYWORDS:
                inside = word == keyword
            elif inside:
                yield word, line


def cmake_commands(text):
    text = re.sub(r"#[^\n]*", lambda m: " " * len(m[0]), text)
    for match in _COMMAND.finditer(text):
        depth, end = 1, match.end()
        while depth and end < len(text):
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        words = [(word[1] or word[0], source.line_of(text, word.start()))
                 for word in _TOKEN.finditer(text, match.end(), end - 1)]
        yield Command(match[1], words)


def declared_targets(command):
    """Names of the targets that a command makes."""
    name = command.first
    if command.name in ("add_library", "add_executable", "flodea_program", "flodea_test"):
        return [name]
    if command.name == "flodea_library":
        return ["flodea_" + name]
    if command.name == "flodea_fuzzer":
        return ["fuzz_" + name]
    if command.name == "flodea_proto":
        return [f"flodea_{kind}_{name}{end}" for kind in ("proto", "grpc") for end in ("", "_objects")]
    return []


def target_path(folder, command):
    """Where a target lives: at its first source, else in the folder that declares it."""
    for keyword in ("SOURCES", "FILES", "STATIC", "OBJECT"):
        for word, _ in command.after(keyword):
            if "$" not in word and word.endswith((".cc", ".c", ".proto")):
                path = posixpath.normpath(posixpath.join(folder, word))
                service = re.search(r"flodea/([^/]+)/v\d+/", word) if keyword == "FILES" else None
                return f"proto/flodea/{service[1]}/x" if service else path
    return folder + "/CMakeLists.txt"


def link_words(command):
    """(who links, what, line) of a command."""
    if command.name == "target_link_libraries":
        words = [w for w in command.words[1:] if w[0] not in _KEYWORDS]
        return [(command.first, word, line) for word, line in words]
    if command.name.startswith("flodea_"):
        who = declared_targets(command)
        return [(who[0], word, line) for word, line in command.after("LINK")] if who else []
    return []


def check_links(root):
    commands = [(path, command) for path in source.files(root, ["CMakeLists.txt"]) if "/" in path
                for command in cmake_commands(source.read(root, path))]
    homes, tests = {}, set()
    for path, command in commands:
        for target in declared_targets(command):
            homes[target] = target_path(posixpath.dirname(path), command)
            if command.name in ("flodea_test", "flodea_fuzzer"):
                tests.add(target)
    for path, command in commands:
        for who, what, line in link_words(command):
            home = homes.get(who, posixpath.dirname(path) + "/x")
            yield from check_link(path, line, who, home, what, homes.get(what), who in tests)


def check_link(path, line, who, home, what, what_home, is_test):
    zone = zone_of(home)
    if zone is None:
        return
    for _, pattern in FREE_OF.get(zone, ()):
        if re.match(pattern, what):
            yield Finding(path, line, f"{who} ({zone}) links {what}, which it must stay free of", REMEDY)
    if zone.startswith("modules/") and not is_test and not re.search(r"_(service|client)s?$", who) and re.match(GRPC[1], what):
        yield Finding(path, line, f"the domain library {who} links {what}", "link it to the module's *_service library instead")
    if what_home is None or not zone_of(what_home):
        return
    # A library of policy may have any first source: for links the folder is what counts.
    reached = zone_of(what_home) if zone_of(what_home) == "policy" else what_home
    patterns = [p.split("/")[0] if p.startswith("policy/") else p for p in allowed_targets(zone)]
    own = what_home.startswith(zone + "/") or (is_test and what_home.startswith("tests/"))
    if not own and not any(fnmatch.fnmatchcase(reached, p) or fnmatch.fnmatchcase(reached, p + "/*") for p in patterns):
        yield Finding(path, line, f"{who} ({zone}) must not link {what} ({zone_of(what_home)})", REMEDY)


def check(root, build=None):
    yield from check_includes(root)
    yield from check_proto_imports(root)
    yield from check_links(root)
