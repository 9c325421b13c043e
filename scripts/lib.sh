# Shell functions shared by the scripts of this folder; sourced, never run. The caller sets `set -euo pipefail`.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PYTHON=/usr/bin/python3 # never the python3 of PATH: a version manager's shim starts ten times slower
export PATH=$PATH:/usr/sbin:/sbin

# Clones in different folders share compilations.
export CCACHE_BASEDIR=${CCACHE_BASEDIR:-$ROOT} CCACHE_NOHASHDIR=${CCACHE_NOHASHDIR:-1}

# --- progress -------------------------------------------------------------------------------------------------------

STEP=0
STEPS=0
clock() { printf '%d:%02d' $((SECONDS / 60)) $((SECONDS % 60)); }

# steps N: what follows has N steps. step TEXT: the next of them begins, after this much time.
steps() { STEP=0 STEPS=$1; }
step() {
  STEP=$((STEP + 1))
  printf '[%d/%d] %s %s\n' "$STEP" "$STEPS" "$(clock)" "$*"
}
note() { printf '      %s\n' "$*"; }
warn() { printf '      warning: %s\n' "$*" >&2; }
die() {
  printf '%s: error: %s\n' "${0##*/}" "$*" >&2
  exit 1
}
usage_error() {
  printf '%s: %s (try --help)\n' "${0##*/}" "$*" >&2
  exit 2
}

# show_tail FILE [LINES]: the end of a log, indented.
show_tail() { tail -n "${2:-40}" "$1" 2>/dev/null | sed 's/^/      | /' >&2 || true; }

in_ci() { [[ ${CI:-} == true || ${CI:-} == 1 ]]; }

summary_line() { printf '%d passed, %d failed, %d skipped\n' "$1" "$2" "$3"; }

# parse_summary FILE: sets PASSED, FAILED, SKIPPED from its last line; false when that is no summary.
parse_summary() {
  [[ $(tail -n 1 "$1" 2>/dev/null) =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed,\ ([0-9]+)\ skipped$ ]] || return 1
  PASSED=${BASH_REMATCH[1]} FAILED=${BASH_REMATCH[2]} SKIPPED=${BASH_REMATCH[3]}
}

# build_preset NAME TARGET…: configures where needed and builds; ninja and CMake say how far they are. One step per CPU: ninja's own default
# is two more, and cargo, a step of ours, has as many again.
build_preset() {
  local preset=$1 args=()
  shift
  [[ $# -gt 0 ]] && args=(--target "$@")
  (cd "$ROOT" && cmake --preset "$preset" && cmake --build --preset "$preset" --parallel "$(nproc)" "${args[@]}")
}

# use_symbolizer: where clang's sanitizers find the names for a stack; PATH has it only with a version in its name.
use_symbolizer() {
  local symbolizer
  symbolizer=$(command -v llvm-symbolizer-19) || return 0
  export ASAN_SYMBOLIZER_PATH=${ASAN_SYMBOLIZER_PATH:-$symbolizer}
  export TSAN_OPTIONS="external_symbolizer_path=$symbolizer:${TSAN_OPTIONS:-}"
}

# --- Rust ---------------------------------------------------------------------------------------------------------

RUST_LEAST=1.95 # what the WebAssembly engine wants (runtimes/wasm/engine)

# find_cargo: the first cargo of at least that version: rustup's or another on PATH, the user's own, the distribution's.
find_cargo() {
  local candidate version
  for candidate in "$(command -v cargo || true)" "${CARGO_HOME:-${HOME:-/root}/.cargo}/bin/cargo" /usr/bin/cargo; do
    [[ -x $candidate ]] || continue
    version=$("$candidate" --version 2>/dev/null | cut -d ' ' -f 2) || continue
    at_least "$version" "$RUST_LEAST" && echo "$candidate" && return
  done
  return 1
}

# rustc_beside CARGO: its compiler.
rustc_beside() { if [[ -x ${1%/*}/rustc ]]; then echo "${1%/*}/rustc"; else command -v rustc; fi; }

# at_least VERSION LEAST
at_least() { [[ -n $1 && $(printf '%s\n' "$2" "$1" | sort -V | head -n 1) == "$2" ]]; }

# --- distributions --------------------------------------------------------------------------------------------------

# One row each: ID-VERSION_ID of os-release | codename | suite that is added | packages taken from that suite |
# names that differ (ours=theirs,…) | has it been tried?
distribution_table() {
  cat <<'ROWS'
debian-12    | bookworm | bookworm-backports | catch2 | - | yes
debian-13    | trixie   | -                  | -      | libclang-rt-14-dev-wasm32=libclang-rt-19-dev-wasm32 | no
ubuntu-24.04 | noble    | -                  | -      | libclang-rt-14-dev-wasm32=libclang-rt-18-dev-wasm32 | no
ROWS
}

# detect_distribution [OS_RELEASE_FILE]: sets DISTRO, DISTRO_NAME, CODENAME, EXTRA_SUITE, FROM_SUITE, RENAMED, TRIED
# ("-" for none).
detect_distribution() {
  local file=${1:-/etc/os-release} row
  [[ -r $file ]] || die "cannot read $file, so the distribution is unknown"
  DISTRO=$(. "$file" && echo "${ID:-unknown}-${VERSION_ID:-unknown}")
  DISTRO_NAME=$(. "$file" && echo "${PRETTY_NAME:-$DISTRO}")
  row=$(distribution_table | tr -d ' ' | grep "^$DISTRO|") ||
    die "no row for $DISTRO_NAME ($DISTRO) in the table of scripts/lib.sh; it has:" \
      "$(distribution_table | cut -d' ' -f1 | paste -sd ' ')"
  IFS='|' read -r _ CODENAME EXTRA_SUITE FROM_SUITE RENAMED TRIED <<<"$row"
}

# What Flodea is built and tested with, by Debian's names; NAME>=VERSION where an older one will not do.
package_list() {
  cat <<'PACKAGES'
g++ cmake>=3.25 ninja-build pkg-config ccache mold
libgrpc++-dev libgrpc-dev protobuf-compiler protobuf-compiler-grpc libprotobuf-dev
libc-ares-dev libre2-dev zlib1g-dev libabsl-dev
libarchive-dev libbz2-dev liblzma-dev libzstd-dev nettle-dev
libseccomp-dev libcap-dev libsodium-dev libssl-dev libfuse3-dev libsystemd-dev
prometheus-cpp-dev libsqlite3-dev libyaml-cpp-dev libcli11-dev libfmt-dev libspdlog-dev
libboost-dev libboost-filesystem-dev libboost-system-dev libexpected-dev nlohmann-json3-dev
catch2>=3
clang lld wasi-libc libclang-rt-14-dev-wasm32
clang-19 clang-tidy-19 clang-format-19 libclang-rt-19-dev llvm-19
python3 python3-numpy nodejs>=18 e2fsprogs bubblewrap gocryptfs libcap2-bin attr iproute2 curl
PACKAGES
}

# tool_packages: for what may also be there without the distribution's package: Rust by rustup, npm with Node's makers' package. Where a
# distribution has no new enough Rust (all but Debian 12), none is asked for.
tool_packages() {
  command -v npm >/dev/null || echo npm
  [[ $DISTRO != debian-12 ]] || find_cargo >/dev/null || echo "cargo-web>=$RUST_LEAST"
}

# packages_here: both lists, a NAME or NAME>=VERSION a line, with this distribution's names.
packages_here() {
  local renames
  renames=$(tr ',' '\n' <<<"$RENAMED" | sed -n 's/^\([^=]*\)=\(.*\)$/s\/^\1\\(>=.*\\)\\?$\/\2\\1\/;/p')
  { package_list && tool_packages; } | tr -s ' ' '\n' | sed -e "$renames"
}

# missing_packages: those of packages_here that are not installed, or too old.
missing_packages() {
  local -A have=()
  local name version state wanted least
  while read -r name version state; do
    [[ $state == installed ]] && have[$name]=$version
  done < <(packages_here | sed 's/>=.*//' |
    xargs dpkg-query -W -f '${Package} ${Version} ${db:Status-Status}\n' 2>/dev/null)
  while read -r wanted; do
    name=${wanted%%>=*} least=${wanted#"${wanted%%>=*}"}
    if [[ -z ${have[$name]:-} ]]; then
      echo "$name"
    elif [[ -n $least ]] && dpkg --compare-versions "${have[$name]}" lt "${least#>=}"; then
      echo "$name"
    fi
  done < <(packages_here)
}
