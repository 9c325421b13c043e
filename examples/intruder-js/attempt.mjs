// How an attempt is registered, and raw system calls: Node has none, but the perl of every Debian and Ubuntu does.
import { spawnSync } from "node:child_process";

// An attempt that was stopped by something that is not an errno.
export class Held extends Error {}

export const ALL = [];

// Registers an attempt under the name that is printed. `run` returns what it got (it succeeded), or throws a system error or Held.
// `outside: false`: it cannot be tried where nothing protects the machine (tests/security/intruder_test.py tries all others there).
export function attempt(name, run, { outside = true } = {}) {
  ALL.push({ name, run, outside });
}

// System call numbers of x86-64 and aarch64 (asm/unistd.h); those from 424 on are the same everywhere.
const NUMBERS = {
  ptrace: [101, 117], process_vm_readv: [310, 270], mount: [165, 40], umount2: [166, 39], chroot: [161, 51], unshare: [272, 97],
  setns: [308, 268], clone: [56, 220], bpf: [321, 280], userfaultfd: [323, 282], perf_event_open: [298, 241], keyctl: [250, 219],
  add_key: [248, 217], capset: [126, 91], name_to_handle_at: [303, 264], open_by_handle_at: [304, 265], sethostname: [170, 161],
  personality: [135, 92], syslog: [103, 116], seccomp: [317, 277], shmget: [29, 194], mknodat: [259, 33], setresuid: [117, 147],
  io_uring_setup: [425, 425], open_tree: [428, 428], fsopen: [430, 430], pidfd_open: [434, 434], clone3: [435, 435], pidfd_getfd: [438, 438],
};

// Runs perl code that has a function `call NAME => ARGUMENT, …`, which ends it with the errno where the kernel refuses. What it prints is
// returned; a status that is no errno, or no perl at all, is a fault of the attempt.
export function perl(code) {
  const names = Object.entries(NUMBERS).map(([name, [x86, arm]]) => `${name}=>${process.arch === "x64" ? x86 : arm}`).join(",");
  const prelude = `my %n=(${names}); sub call { my $r=syscall($n{$_[0]},@_[1..$#_]); if ($r==-1) { my $e=$!+0; print "errno $e"; exit 9 } $r } $|=1;\n`;
  const done = spawnSync("/usr/bin/perl", ["-e", prelude + code], { encoding: "utf8" });
  if (done.error) throw done.error;
  const refused = /errno (\d+)$/.exec(done.stdout);
  if (done.status === 9 && refused) throw Object.assign(new Error(`errno ${refused[1]}`), { errno: -Number(refused[1]) });
  if (done.status !== 0) throw new TypeError(`perl ended with ${done.signal ?? done.status}: ${done.stderr}`);
  return done.stdout || "done";
}

// One system call.
export const syscall = (name, ...args) => perl(`print call(${[name, ...args].map((a, at) => (at === 0 ? `"${a}"` : a)).join(", ")})`);
