// Ways out of the sandbox.
import { randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import * as fs from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { networkInterfaces } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import * as flodea from "flodea";

import { attempt, Held, perl, syscall } from "./attempt.mjs";

const HERE = dirname(fileURLToPath(import.meta.url));

function readSome(path) {
  const fd = fs.openSync(path, "r");
  try {
    const some = Buffer.alloc(64);
    return some.subarray(0, fs.readSync(fd, some)).toString("latin1");
  } finally {
    fs.closeSync(fd);
  }
}

// Opened for writing it is as good as written.
function openForWriting(path) {
  fs.closeSync(fs.openSync(path, fs.constants.O_WRONLY));
  return `${path} is open for writing`;
}

async function listens(path) {
  const server = createServer();
  server.listen(path);
  await once(server, "listening");
  server.close();
  return "listening";
}

// --- the worker and other processes -------------------------------------------------------------------------------

attempt("map the worker's memory", () => readSome("/proc/1/maps"));
attempt("open the worker's memory", () => openForWriting("/proc/1/mem"));
attempt("list the worker's descriptors", () => fs.readdirSync("/proc/1/fd"));
attempt("read the worker's environment", () => fs.readFileSync("/proc/1/environ").length);
attempt("see processes that are not its own", () => {
  const others = fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid);
  if (others.length === 0) throw new Held("/proc shows only itself");
  return others;
});
attempt("kill the worker", () => process.kill(1, "SIGKILL"));
attempt("open a debugger in the worker", () => process._debugProcess(1) ?? "signalled", { outside: false }); // SIGUSR1 would end it there
attempt("ptrace the worker", () => syscall("ptrace", 0x4206, 1, 0, 0)); // PTRACE_SEIZE
attempt("read the worker's memory with process_vm_readv", () => perl(`
  my $at = 0x400000; if (open(my $maps, "<", "/proc/1/maps")) { $at = hex((split /-/, <$maps>)[0]) }
  my $buffer = "\\0" x 16; my $local = pack("QQ", unpack("Q", pack("P", $buffer)), 16); my $remote = pack("QQ", $at, 16);
  print call("process_vm_readv", 1, $local, 1, $remote, 1, 0)`));
attempt("take a descriptor of the worker with pidfd_getfd", () => perl('my $fd = call("pidfd_open", 1, 0); print call("pidfd_getfd", $fd, 0, 0)'));

// --- the kernel's files -------------------------------------------------------------------------------------------

attempt("set the core pattern", () => openForWriting("/proc/sys/kernel/core_pattern"));
attempt("change how the kernel gives out memory", () => openForWriting("/proc/sys/vm/overcommit_memory"));
attempt("read kernel symbols", () => readSome("/proc/kallsyms"));
attempt("write below /sys", () => openForWriting("/sys/kernel/mm/transparent_hugepage/enabled"));
attempt("reach its cgroup's limits", () => {
  const found = ["/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/memory/cgroup.procs"].filter((path) => fs.existsSync(path));
  if (found.length === 0) throw new Held("there are none in its tree");
  return openForWriting(found[0]);
});
attempt("read the kernel's log", () => perl('my $text = "\\0" x 128; print call("syslog", 3, $text, 128)'));

// --- mounts and devices -------------------------------------------------------------------------------------------

attempt("mount a tmpfs", () => perl('my ($none, $tmp, $type) = ("none", "/tmp", "tmpfs"); print call("mount", $none, $tmp, $type, 0, 0)'));
attempt("make a detached mount with fsopen", () => perl('my $type = "tmpfs"; print call("fsopen", $type, 0)'));
attempt("copy the mount tree with open_tree", () => perl('my $usr = "/usr"; print call("open_tree", -100, $usr, 1)'));
attempt("chroot away", () => perl('my $tmp = "/tmp"; print call("chroot", $tmp)'));
for (const [what, major, minor, kind] of [["a block device", 7, 0, 0o060000], ["/dev/mem", 1, 1, 0o020000]]) {
  attempt(`make ${what}`, () => perl(`my $path = "/tmp/node-${minor}"; print call("mknodat", -100, $path, ${kind | 0o600}, ${(major << 8) | minor}); unlink $path`));
}
attempt("open the host's devices", () => {
  const found = ["/dev/kmsg", "/dev/mem", "/dev/fuse", "/dev/loop0", "/dev/loop-control", "/dev/kvm"].filter((path) => fs.existsSync(path));
  if (found.length === 0) throw new Held("none of them is there");
  return found;
});
attempt("open a file by handle", () => perl(`
  my $handle = pack("Ii", 8, 0xfe) . "\\0" x 128; substr($handle, 0, 4) = pack("I", 128); my ($usr, $id) = ("/usr", "\\0" x 8);
  call("name_to_handle_at", -100, $usr, $handle, $id, 0); opendir(my $dir, $usr);
  print call("open_by_handle_at", fileno($dir), $handle, 0)`));

// --- other agents and the host's files ----------------------------------------------------------------------------

attempt("find the supervisor's state or other agents' files", () => {
  const places = ["/var/lib", "/run/flodea", "/etc/flodea", "/root", "/home", "/../../var/lib/flodea", "/data/../../var/lib"];
  const found = places.filter((path) => fs.existsSync(path) && fs.readdirSync(path).length > 0);
  if (found.length === 0) throw new Held("nothing of the host is in its tree");
  return found;
});
attempt("read password hashes", () => readSome("/etc/shadow"));
attempt("add a user", () => openForWriting("/etc/passwd"));
attempt("change its own code", () => openForWriting(join(HERE, "main.mjs")));
attempt("put code beside its own", () => fs.writeFileSync(join(HERE, "more.mjs"), "") ?? "written");
attempt("change the SDK that every agent loads", () => openForWriting(createRequire(import.meta.url).resolve("flodea")));
attempt("change the system's programs", () => openForWriting("/usr/lib/os-release"));
attempt("become root with a setuid copy", () => {
  const path = `/tmp/setuid-${randomBytes(4).toString("hex")}`;
  fs.copyFileSync("/usr/bin/true", path);
  try {
    fs.chownSync(path, 0, 0);
    fs.chmodSync(path, 0o4755);
  } finally {
    fs.unlinkSync(path);
  }
  return "a setuid file of root";
});

// --- the network --------------------------------------------------------------------------------------------------

attempt("make a unix socket for others to find", () => listens(`/tmp/socket-${randomBytes(4).toString("hex")}`));
attempt("make an abstract unix socket", () => listens("\0flodea-intruder"));
for (const [what, domain, type, protocol] of [["a raw socket", 2, 3, 1], ["a packet socket", 17, 3, 0], ["a netlink socket", 16, 3, 0]]) {
  attempt(`open ${what}`, () => perl(`socket(my $s, ${domain}, ${type}, ${protocol}) or do { my $e = $!+0; print "errno $e"; exit 9 }; print fileno($s)`));
}
attempt("see another network interface", () => {
  const others = Object.keys(networkInterfaces()).filter((name) => name !== "lo");
  if (others.length === 0) throw new Held("there is only lo");
  return others;
});
attempt("send a datagram out of its network namespace", async () => {
  const socket = createSocket("udp4");
  try {
    // TEST-NET-1 (RFC 5737): no host of it answers, and in this namespace no route leads there.
    await new Promise((resolve, reject) => socket.send("x", 9, "192.0.2.1", (error) => (error ? reject(error) : resolve())));
  } finally {
    socket.close();
  }
  return "sent";
});

// --- identity and namespaces --------------------------------------------------------------------------------------

attempt("become root", () => process.setuid(0) ?? process.getuid());
attempt("take another's groups", () => process.setgroups([0, 4]) ?? process.getgroups());
attempt("give itself capabilities", () => perl(`
  my $header = pack("Ii", 0x20080522, 0); my $data = pack("I6", 1 << 21, 1 << 21, 0, 0, 0, 0); print call("capset", $header, $data)`));
attempt("make a user namespace", () => syscall("unshare", 0x10000000));
attempt("make a network namespace", () => syscall("unshare", 0x40000000));
attempt("clone into a user namespace", () => perl('my $child = call("clone", 0x10000011, 0, 0, 0, 0); exit 0 if $child == 0; waitpid($child, 0); print $child'));
attempt("clone3 into a mount namespace", () => perl(`
  my $arguments = pack("Q8", 0x10020000, 0, 0, 0, 17, 0, 0, 0); my $child = call("clone3", $arguments, 64);
  exit 0 if $child == 0; waitpid($child, 0); print $child`));
attempt("enter the worker's namespaces", () => perl(`
  open(my $ns, "<", "/proc/1/ns/uts") or do { my $e = $!+0; print "errno $e"; exit 9 }; print call("setns", fileno($ns), 0)`));

// --- kernel surface -----------------------------------------------------------------------------------------------

attempt("set up an io_uring", () => perl('my $parameters = "\\0" x 120; print call("io_uring_setup", 8, $parameters)'));
attempt("make a BPF map", () => perl('my $map = pack("I4", 2, 4, 4, 1) . "\\0" x 56; print call("bpf", 0, $map, 72)'));
attempt("open a userfaultfd", () => syscall("userfaultfd", 1));
attempt("count the processor's events", () => perl('my $event = pack("I2", 1, 112) . "\\0" x 104; print call("perf_event_open", $event, 0, -1, -1, 0)'));
attempt("read the session keyring", () => syscall("keyctl", 0, -3, 1));
attempt("add a key to the kernel's keyring", () => perl('my ($type, $name, $key) = ("user", "flodea", "x"); print call("add_key", $type, $name, $key, 1, -2)'));
attempt("rename the machine", () => perl('my $name = "owned"; print call("sethostname", $name, 5)'));
attempt("turn off address randomization", () => syscall("personality", 0x0040000));
attempt("ask for filters of its own", () => perl('my $action = pack("I", 0x7fff0000); print call("seccomp", 2, 0, $action)'));
attempt("make System V shared memory", () => perl('print call("shmget", 0, 4096, 01600)'));

// --- Flodea's own interface: outside there is none ----------------------------------------------------------------

async function called(method, params) {
  try {
    return await flodea.call(method, params);
  } catch (error) {
    if (error instanceof flodea.FlodeaError) throw new Held(`${error.code}: ${error.message}`);
    throw error;
  }
}
attempt("call the operators' API over its own socket", () => called("flodea.operators.v1.Operators/List", {}), { outside: false });
attempt("name another agent in a call", () => called("flodea.agent.v1.Self/Describe", { agent_id: "0".repeat(32) }), { outside: false });

// Last: outside, nothing of /proc is left after it.
attempt("unmount /proc", () => perl('my $proc = "/proc"; print call("umount2", $proc, 2)'));
