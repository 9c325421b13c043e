"""flodead, which is root, carries no gRPC, SQLite, OpenSSL or libcryptsetup: neither linked nor linked in."""
import pathlib
import re
import subprocess

from formatting import Skip
from source import Finding

PROGRAM = "flodead"
# The name of the shared library, and a string that a static one brings with it.
FORBIDDEN = {
    "gRPC": (r"libgrpc|libgpr\b|libabsl_", b"grpc-accept-encoding"),
    "SQLite": (r"libsqlite3", b"SQLite format 3"),
    "OpenSSL": (r"libssl|libcrypto\b", b"OpenSSL 3."),
    "libcryptsetup": (r"libcryptsetup", b"cryptsetup-reencrypt"),
}


def libraries(program):
    run = subprocess.run(["ldd", program], text=True, capture_output=True, check=False)
    return re.findall(r"^\s*(\S+)", run.stdout, re.M)


def check(root, build=None):
    program = pathlib.Path(build or pathlib.Path(root, "build/release"), PROGRAM)
    if not program.is_file():
        raise Skip(f"{program} has not been built")
    linked, content = libraries(program), program.read_bytes()
    for name, (library, mark) in FORBIDDEN.items():
        remedy = "find which library of its CMakeLists.txt brings it, and move that use to control or to flodea-helper"
        for found in [entry for entry in linked if re.match(library, entry)]:
            yield Finding(str(program), 1, f"flodead links {name} ({found})", remedy)
        if mark in content:
            yield Finding(str(program), 1, f"flodead contains {name}", remedy)
