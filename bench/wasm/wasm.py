#!/usr/bin/python3
"""How fast modules run: three kernels under flodea-wasm and Node, as multiples of clang -O2 native without auto-vectorization.

Promises (docs/specification.md): sha256 ≤ 1.7, matrix product ≤ 1.5, quicksort ≤ 1.2 × native; faster than Node on each. Also how long a
generated module of 1 MB takes to compile, and from exec to a module's first output.
Wants clang, wasi-libc and /usr/bin/node (scripts/setup).
"""
import argparse
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("FLODEA_BUILD", HERE.parents[1] / "build/release"))
COMPILER, HOST = BUILD / "flodea-wasmc", BUILD / "agent/bin/flodea-wasm"
LIMITS = {"sha256": 1.7, "matrix": 1.5, "quicksort": 1.2}
SCALAR = ["-fno-vectorize", "-fno-slp-vectorize"]


def clang(out, source, *flags):
    subprocess.run(["clang", "-O2", *flags, source, "-o", out], check=True)
    return out


def compile_module(module, out):
    """Seconds that it took."""
    start = time.monotonic()
    with open(module, "rb") as source, open(out, "wb") as code:
        subprocess.run([COMPILER], stdin=source, stdout=code, check=True)
    return time.monotonic() - start


def generated_c(functions):
    """C that becomes about 500 bytes of code for each function."""
    rng = random.Random(1)
    for f in range(functions):
        yield f'__attribute__((noinline,export_name("f{f}"))) unsigned f{f}(unsigned a, unsigned b) {{'
        for _ in range(12):
            yield (f"  a = (a * {rng.randrange(1, 1 << 31)}u) ^ (b >> {rng.randrange(1, 30)});"
                   f" if (a & {1 << rng.randrange(20)}) b += a * {rng.randrange(3, 99)}; else b ^= a;")
        yield "  return a + b; }"
    yield "int main(void) { return 0; }"


def megabyte(work):
    source = work / "generated.c"
    source.write_text("\n".join(generated_c(2100)))
    return clang(work / "generated.wasm", source, "--target=wasm32-wasi")


def first_output(command):
    start = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        process.stdout.read(1)
        return (time.monotonic() - start) * 1e3


def ways(work):
    """How a kernel is run, by name; native first."""
    native = clang(work / "native", HERE / "kernels.c", *SCALAR)
    plain = clang(work / "plain.wasm", HERE / "kernels.c", "--target=wasm32-wasi")
    simd = clang(work / "simd.wasm", HERE / "kernels.c", "--target=wasm32-wasi", "-msimd128")
    for module in (plain, simd):
        compile_module(module, module.with_suffix(".cwasm"))
    host = [HOST, "--memory", str(256 << 20)]
    node = ["/usr/bin/node", "--no-warnings", HERE / "node.mjs"]
    return {"native": [native], "flodea-wasm": [*host, plain.with_suffix(".cwasm")],
            "flodea-wasm simd": [*host, simd.with_suffix(".cwasm")], "node": [*node, plain], "node simd": [*node, simd]}


def measure(commands, kernel, rounds):
    """The least seconds of each way; the ways take turns."""
    best, checks = {}, set()
    for _ in range(rounds):
        for name, command in commands.items():
            seconds, check = subprocess.run([*command, kernel], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
            best[name] = min(best.get(name, 1e9), float(seconds))
            checks.add(check)
    if len(checks) != 1:
        sys.exit(f"{kernel}: the results differ: {checks}")
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="of each kernel; the least time counts (default 7)")
    rounds = parser.parse_args().rounds
    held = True
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        commands = ways(work)
        print(f"{'× native':12}" + "".join(f"{name:>18}" for name in commands))
        for kernel, limit in LIMITS.items():
            best = measure(commands, kernel, rounds)
            ratio = {name: seconds / best["native"] for name, seconds in best.items()}
            good = ratio["flodea-wasm"] <= limit and ratio["flodea-wasm"] < ratio["node"]
            held &= good
            print(f"{kernel:12}" + "".join(f"{ratio[name]:18.2f}" for name in commands)
                  + f"   {'ok' if good else 'FAILED'}: must ≤ {limit}, native {best['native']:.3f} s")
        module = megabyte(work)
        seconds = min(compile_module(module, work / "generated.cwasm") for _ in range(3))
        print(f"compile a generated module of {module.stat().st_size / 1e6:.2f} MB: {seconds:.2f} s")
        hello = work / "hello.c"
        hello.write_text('#include <stdio.h>\nint main(void) { puts("x"); return 0; }\n')
        compile_module(clang(work / "hello.wasm", hello, "--target=wasm32-wasi"), work / "hello.cwasm")
        starts = {"flodea-wasm": [HOST, "--memory", "16777216", work / "hello.cwasm"],
                  "python3 -I -S": ["/usr/bin/python3", "-I", "-S", "-c", "print('x')"], "echo": ["/bin/echo", "x"]}
        times = {name: sorted(first_output(command) for _ in range(40))[20] for name, command in starts.items()}
        print("exec to first output, median of 40, ms: " + ", ".join(f"{name} {ms:.1f}" for name, ms in times.items()))
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
