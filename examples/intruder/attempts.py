"""Ways out of the sandbox. Each function returns what it got (the attempt succeeded), or raises OSError or Held (it did not)."""
import ctypes
import os
import resource
import socket
import struct

import flodea

LIBC = ctypes.CDLL(None, use_errno=True)
ALL = []

CLONE_NEWUSER, CLONE_NEWNET, CLONE_NEWNS = 0x10000000, 0x40000000, 0x00020000
SIGCHLD = 17
# System call numbers of x86-64 and aarch64 (asm/unistd.h); those from 424 on are the same everywhere.
_X86 = os.uname().machine == "x86_64"
_NUMBERS = {
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "chroot": (161, 51), "unshare": (272, 97), "setns": (308, 268), "clone": (56, 220), "bpf": (321, 280),
    "userfaultfd": (323, 282), "perf_event_open": (298, 241), "keyctl": (250, 219), "add_key": (248, 217),
    "capset": (126, 91), "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264), "settimeofday": (164, 170),
    "sethostname": (170, 161), "reboot": (169, 142), "init_module": (175, 105), "kexec_load": (246, 104),
    "personality": (135, 92), "syslog": (103, 116), "swapon": (167, 224), "iopl": (172, -1), "seccomp": (317, 277),
    "shmget": (29, 194), "msgget": (68, 186),
    "io_uring_setup": (425, 425), "open_tree": (428, 428), "fsopen": (430, 430), "clone3": (435, 435),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "mount_setattr": (442, 442),
}


class Held(Exception):
    """The attempt was stopped by something that is not an errno."""


def attempt(name):
    """Registers an attempt under the name that is printed."""
    def register(function):
        ALL.append((name, function))
        return function
    return register


def syscall(name, *args):
    """The raw call; raises OSError as the kernel answers."""
    number = _NUMBERS[name][0 if _X86 else 1]
    if number < 0:
        raise Held("this machine has no such call")
    converted = [ctypes.c_void_p(a) if isinstance(a, int) else a for a in args]
    result = LIBC.syscall(ctypes.c_long(number), *converted)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def read_some(path):
    """The first bytes of a file, as proof."""
    with open(path, "rb") as file:
        return file.read(64)


def write_to(path, data=b"1"):
    descriptor = os.open(path, os.O_WRONLY)
    try:
        return f"wrote {os.write(descriptor, data)} bytes"
    finally:
        os.close(descriptor)


# --- the worker and other processes -------------------------------------------------------------------------------

@attempt("read the worker's memory")
def _():
    return read_some("/proc/1/mem")


@attempt("list the worker's descriptors")
def _():
    return os.listdir("/proc/1/fd")


@attempt("open the worker's attach socket through /proc")
def _():
    return os.open("/proc/1/fd/3", os.O_RDWR)


@attempt("read the worker's environment")
def _():
    return read_some("/proc/1/environ")


@attempt("see processes that are not its own")
def _():
    mine = {os.getpid()}
    others = [p for p in os.listdir("/proc") if p.isdigit() and int(p) not in mine]
    if not others:
        raise Held("/proc shows only itself")
    return others


@attempt("kill the worker")
def _():
    os.kill(1, 9)
    return "signal sent"


@attempt("ptrace the worker")
def _():
    return syscall("ptrace", 16, 1, 0, 0)


@attempt("read the worker's memory with process_vm_readv")
def _():
    buffer = ctypes.create_string_buffer(16)
    local = struct.pack("QQ", ctypes.addressof(buffer), 16)
    remote = struct.pack("QQ", 0x400000, 16)
    return syscall("process_vm_readv", 1, ctypes.c_char_p(local), 1, ctypes.c_char_p(remote), 1, 0)


@attempt("take a descriptor of the worker with pidfd_getfd")
def _():
    descriptor = syscall("pidfd_open", 1, 0)
    return syscall("pidfd_getfd", descriptor, 3, 0)


# --- the kernel's files -------------------------------------------------------------------------------------------

@attempt("set the core pattern")
def _():
    return write_to("/proc/sys/kernel/core_pattern", b"|/tmp/x")


@attempt("trigger sysrq")
def _():
    return write_to("/proc/sysrq-trigger", b"h")


@attempt("lower its own oom score")
def _():
    return write_to("/proc/self/oom_score_adj", b"-1000")


@attempt("read kernel symbols")
def _():
    return read_some("/proc/kallsyms")


@attempt("read kernel memory")
def _():
    return read_some("/proc/kcore")


@attempt("write below /sys")
def _():
    return write_to("/sys/kernel/mm/transparent_hugepage/enabled", b"never")


@attempt("reach its cgroup's limits")
def _():
    return write_to("/sys/fs/cgroup/memory/memory.limit_in_bytes", b"-1")


@attempt("read the kernel's log")
def _():
    return syscall("syslog", 3, ctypes.create_string_buffer(128), 128)


# --- mounts and devices -------------------------------------------------------------------------------------------

@attempt("mount a tmpfs")
def _():
    return syscall("mount", b"none", b"/tmp", b"tmpfs", 0, 0)


@attempt("make a detached mount with fsopen")
def _():
    return syscall("fsopen", b"tmpfs", 0)


@attempt("copy the mount tree with open_tree")
def _():
    return syscall("open_tree", -100, b"/usr", 1)


@attempt("make /usr writable with mount_setattr")
def _():
    attributes = struct.pack("QQQQ", 0, 1, 0, 0)
    return syscall("mount_setattr", -100, b"/usr", 0, ctypes.c_char_p(attributes), len(attributes))


@attempt("unmount /proc")
def _():
    return syscall("umount2", b"/proc", 2)


@attempt("chroot away")
def _():
    return syscall("chroot", b"/tmp")


@attempt("make a block device node")
def _():
    os.mknod("/tmp/disk", 0o660 | 0o060000, os.makedev(7, 0))
    return read_some("/tmp/disk")


@attempt("make /dev/mem")
def _():
    os.mknod("/tmp/mem", 0o660 | 0o020000, os.makedev(1, 1))
    return read_some("/tmp/mem")


@attempt("open the host's devices")
def _():
    found = [d for d in ("/dev/kmsg", "/dev/mem", "/dev/fuse", "/dev/loop0", "/dev/loop-control", "/dev/kvm") if os.path.exists(d)]
    if not found:
        raise Held("none of them is there")
    return found


@attempt("open a file by handle")
def _():
    handle = struct.pack("Ii", 8, 1) + bytes(8)
    return syscall("open_by_handle_at", -100, ctypes.c_char_p(handle), 0)


# --- other agents and the host's files ----------------------------------------------------------------------------

@attempt("find the supervisor's state or other agents' files")
def _():
    places = ("/var/lib/flodea", "/run/flodea", "/etc/flodea", "/root", "/home", "/host", "/../../var/lib/flodea")
    found = [p for p in places if os.path.isdir(p) and os.listdir(p)]
    if not found:
        raise Held("nothing of the host is in its tree")
    return found


@attempt("read password hashes")
def _():
    return read_some("/etc/shadow")


@attempt("change its own code")
def _():
    return write_to(os.path.join(os.path.dirname(os.path.abspath(__file__)), "main.py"), b"#")


@attempt("replace the interpreter")
def _():
    return write_to("/usr/bin/python3.11")


@attempt("add a user")
def _():
    return write_to("/etc/passwd", b"x")


@attempt("become root with a setuid copy of itself")
def _():
    path = "/tmp/setuid"
    with open(path, "wb") as file:
        file.write(read_some("/usr/bin/true"))
    os.chmod(path, 0o4755)
    if os.stat(path).st_uid == os.getuid() and os.getuid() != 0:
        raise Held("the copy belongs to itself, so setuid gives nothing")
    return "a setuid file of another user"


@attempt("leave by the supervisor's socket")
def _():
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect("/run/flodea/control.sock")
    return "connected"


# --- the network --------------------------------------------------------------------------------------------------

@attempt("connect to an abstract unix socket")
def _():
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect("\0/tmp/.X11-unix/X0")
    return "connected"


@attempt("open a raw socket")
def _():
    return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).fileno()


@attempt("open a packet socket")
def _():
    return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).fileno()


@attempt("open a netlink socket")
def _():
    return socket.socket(16, socket.SOCK_RAW, 0).fileno()


@attempt("open a vsock to the hypervisor")
def _():
    return socket.socket(40, socket.SOCK_STREAM, 0).fileno()


@attempt("use the kernel's crypto sockets")
def _():
    return socket.socket(38, socket.SOCK_SEQPACKET, 0).fileno()


@attempt("send a datagram out of its network namespace")
def _():
    # 192.0.2.0/24 is TEST-NET-1 (RFC 5737): nothing is there, and in this namespace no route leads anywhere.
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 9))


def _interface(index):
    try:
        return socket.if_indextoname(index)
    except OSError:
        return None


@attempt("see another network interface")
def _():
    names = [name for index in range(2, 64) if (name := _interface(index))]
    if not names:
        raise Held("there is only lo")
    return names


# --- identity and namespaces --------------------------------------------------------------------------------------

@attempt("become root")
def _():
    os.setresuid(0, 0, 0)
    return os.getuid()


@attempt("drop its groups to get another's")
def _():
    os.setgroups([0])
    return os.getgroups()


@attempt("give itself capabilities")
def _():
    header = struct.pack("Ii", 0x20080522, 0)
    data = struct.pack("IIIIII", 0xFFFFFFFF, 0xFFFFFFFF, 0, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return syscall("capset", ctypes.c_char_p(header), ctypes.c_char_p(data))


@attempt("make a user namespace")
def _():
    return syscall("unshare", CLONE_NEWUSER)


@attempt("make a network namespace")
def _():
    return syscall("unshare", CLONE_NEWNET)


@attempt("clone into a user namespace")
def _():
    child = syscall("clone", CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return f"child {child}"


@attempt("clone3 into a mount namespace")
def _():
    arguments = struct.pack("8Q", CLONE_NEWUSER | CLONE_NEWNS, 0, 0, 0, SIGCHLD, 0, 0, 0)
    child = syscall("clone3", ctypes.c_char_p(arguments), len(arguments))
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return f"child {child}"


@attempt("enter the worker's namespaces")
def _():
    return syscall("setns", os.open("/proc/1/ns/mnt", os.O_RDONLY), 0)


# --- kernel surface -----------------------------------------------------------------------------------------------

@attempt("set up an io_uring")
def _():
    return syscall("io_uring_setup", 8, ctypes.create_string_buffer(120))


@attempt("load a BPF program")
def _():
    return syscall("bpf", 0, ctypes.create_string_buffer(72), 72)


@attempt("open a userfaultfd")
def _():
    return syscall("userfaultfd", 1)


@attempt("count the processor's events")
def _():
    return syscall("perf_event_open", ctypes.create_string_buffer(struct.pack("II", 1, 112) + bytes(104)), 0, -1, -1, 0)


@attempt("read the session keyring")
def _():
    return syscall("keyctl", 0, -3, 1)


@attempt("add a key to the kernel's keyring")
def _():
    return syscall("add_key", b"user", b"flodea", b"x", 1, -4)


@attempt("load a kernel module")
def _():
    return syscall("init_module", ctypes.create_string_buffer(8), 8, b"")


@attempt("load another kernel")
def _():
    return syscall("kexec_load", 0, 0, 0, 0)


@attempt("reboot the machine")
def _():
    return syscall("reboot", 0xFEE1DEAD, 672274793, 0, 0)  # LINUX_REBOOT_CMD_CAD_OFF: harmless where it works


@attempt("set the machine's clock")
def _():
    return syscall("settimeofday", ctypes.c_char_p(struct.pack("qq", 0, 0)), 0)


@attempt("rename the machine")
def _():
    return syscall("sethostname", b"owned", 5)


@attempt("turn off address randomization")
def _():
    return syscall("personality", 0x0040000)


@attempt("load a filter of its own")
def _():
    return syscall("seccomp", 1, 0, ctypes.c_char_p(bytes(16)))


@attempt("make System V shared memory")
def _():
    return syscall("shmget", 0x1234, 4096, 0o1600)


@attempt("raise its own limits")
def _():
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (65536, 65536))
    except ValueError as error:  # how this module says EPERM
        raise Held(str(error)) from None
    return resource.getrlimit(resource.RLIMIT_NOFILE)


@attempt("run with real-time priority")
def _():
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    return "SCHED_FIFO"


# --- Flodea's own interface ---------------------------------------------------------------------------------------

@attempt("call the operators' API over its own socket")
def _():
    try:
        return flodea.call("flodea.operators.v1.Operators/List", {})
    except flodea.Error as error:
        raise Held(f"{error.code}: {error.message}") from None


@attempt("name another agent in a call")
def _():
    try:
        return flodea.call("flodea.agent.v1.Self/Describe", {"agent_id": "0" * 32})
    except flodea.Error as error:
        raise Held(f"{error.code}: {error.message}") from None
