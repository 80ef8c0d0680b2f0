"""What a worker may do: next to nothing. Each wall stands by itself and is left out where the platform has none.

- resource limits: address space, CPU seconds, descriptors, no file may grow, no core dump (POSIX);
- no network: own network namespace (Linux, where user namespaces are allowed) and a Python audit hook;
- no files but the interpreter's own, read only: Landlock (Linux 5.13 and newer);
- dies with its parent, gains no privileges, cannot be traced (Linux prctl).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import struct
import sys
from typing import Any

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_LANDLOCK_CREATE_RULESET = 444
_LANDLOCK_ADD_RULE = 445
_LANDLOCK_RESTRICT_SELF = 446
# linux/landlock.h: access rights to files, by the ABI version that knows them (1: bits 0-12, 2: 13, 3: 14, 5: 15).
_FS_EXECUTE, _FS_READ_FILE, _FS_READ_DIR = 1, 4, 8
_FS_BITS_BY_ABI = {1: 13, 2: 14, 3: 15, 4: 15}
_NET_BITS = 3  # bind and connect over TCP, from ABI 4

_BLOCKED_EVENTS = (
    "socket.connect",
    "socket.bind",
    "socket.getaddrinfo",
    "subprocess.Popen",
    "os.system",
    "os.exec",
)


def seal_family() -> dict[str, bool]:
    """Walls that every later child inherits: called once, single-threaded, after all imports. Says which stand."""
    walls = {"network": False, "files": False}
    if sys.platform != "linux":
        return walls
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    with contextlib.suppress(OSError, AttributeError):
        walls["network"] = libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0
    with contextlib.suppress(OSError, AttributeError):
        walls["files"] = _landlock(libc)
    return walls


def _landlock(libc: Any) -> bool:
    """Allow reading below the interpreter's own folders, nothing else; True when it is in force."""
    abi = int(libc.syscall(_LANDLOCK_CREATE_RULESET, None, 0, 1))
    if abi < 1:
        return False
    all_fs = (1 << _FS_BITS_BY_ABI.get(abi, 16)) - 1
    attributes = struct.pack("<QQ", all_fs, _NET_BITS if abi >= 4 else 0)
    used = 16 if abi >= 4 else 8
    ruleset = int(libc.syscall(_LANDLOCK_CREATE_RULESET, attributes, used, 0))
    if ruleset < 0:
        return False
    try:
        for folder in readable_folders():
            handle = os.open(folder, os.O_PATH | os.O_CLOEXEC)
            rule = struct.pack("<Qi", _FS_READ_FILE | _FS_READ_DIR | _FS_EXECUTE, handle)
            libc.syscall(_LANDLOCK_ADD_RULE, ruleset, 1, rule, 0)
            os.close(handle)
        return int(libc.syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0)) == 0
    finally:
        os.close(ruleset)


def readable_folders() -> list[str]:
    """Folders that late imports and shared libraries come from."""
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    folders = {os.path.join(package, "omnivmed"), sys.prefix, sys.base_prefix, "/usr/lib", "/lib", "/lib64"}
    folders |= {p for p in sys.path if p and p != package and os.path.isdir(p)}
    return sorted(f for f in folders if os.path.isdir(f))


def limit_self(memory: int, cpu_s: int, total_s: int, files: int) -> None:
    """Walls of one worker, after the fork. `memory` bytes of address space, `cpu_s` from now on (`more_cpu` renews)."""
    if sys.platform == "win32":
        return
    import resource

    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, 0)
    _lower(resource.RLIMIT_NOFILE, files)
    if sys.platform == "linux":  # macOS refuses or ignores RLIMIT_AS
        _lower(resource.RLIMIT_AS, memory)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, max(cpu_s, total_s)))
    sys.addaudithook(_no_network)


def more_cpu(cpu_s: int) -> None:
    """Renew the CPU allowance: `cpu_s` seconds on top of what was used, never above the hard limit."""
    if sys.platform == "win32":
        return
    import resource

    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(
        resource.RLIMIT_CPU, (min(hard, int(usage.ru_utime + usage.ru_stime) + 1 + cpu_s), hard)
    )


def _lower(what: int, value: int) -> None:
    import resource

    _, hard = resource.getrlimit(what)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(what, (value, value))


def _no_network(event: str, _: tuple[Any, ...]) -> None:
    if event in _BLOCKED_EVENTS:
        raise PermissionError(f"{event} is not allowed in a decoding worker")
