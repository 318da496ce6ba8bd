"""The outermost process of a container, as a program of its own: `python -I -S launcher.py SPECIFICATION ERROR_FD`.

It waits for its child and ends as that does. The child is pid 1 of the container's namespaces: it builds the root file
system, becomes the container's user and then the container's command. Nothing but the standard library is imported:
this runs for every container. (unshare(1) would do the first part, but reports a killed child as an exit code of 1.)

The error descriptor closes by itself when the command starts; before that, one sentence on it says what failed.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import socket
import sys
from collections import deque
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

_libc = ctypes.CDLL(None, use_errno=True)

# linux/sched.h, linux/mount.h, linux/prctl.h
_CLONE_NEWNS, _CLONE_NEWCGROUP, _CLONE_NEWUTS, _CLONE_NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
_CLONE_NEWPID, _CLONE_NEWNET = 0x20000000, 0x40000000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REMOUNT, _MS_BIND, _MS_REC = 1, 2, 4, 8, 32, 4096, 16384
_MS_PRIVATE = 1 << 18
_MNT_DETACH = 2
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 24, 38
_OPEN_FILES = 1 << 20  # a container runtime's own limit; whoever wants less lowers it
_LINKS_AT_MOST = 40
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_DEVICE_LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "ptmx": "pts/ptmx"}


def main() -> None:
    """Start the child, wait, and end with its exit code, or with 128 + n where signal n ended it."""
    error = int(sys.argv[2])
    try:
        specification = json.loads(Path(sys.argv[1]).read_text("utf-8"))
        pid = fork_into_pod(specification["network"])
    except Exception as failure:  # noqa: BLE001 - whatever it is, the kubelet is to hear of it
        give_up(failure, error)
    if pid == 0:
        become_container(specification, error)
    os.close(error)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os._exit(128 - code if code < 0 else code)


def fork_into_pod(network: str) -> int:
    """In the pod's network, and the child, which gets 0, as the first process of a pid namespace. Raises OSError."""
    end_with_parent()
    if network:
        enter_network(network)
    _check(_libc.unshare(_CLONE_NEWPID), "a new pid namespace")
    return os.fork()


def become_container(specification: dict[str, Any], error: int) -> NoReturn:
    """In the child."""
    os.set_inheritable(error, False)
    try:
        end_with_parent()
        if specification["cgroup"]:
            (Path(specification["cgroup"]["path"]) / "cgroup.procs").write_text("0", "ascii")
        _check(_libc.unshare(_CLONE_NEWNS | _CLONE_NEWUTS | _CLONE_NEWIPC | _CLONE_NEWCGROUP), "new namespaces")
        mount("none", Path("/"), "", _MS_REC | _MS_PRIVATE)
        build_root(specification)
        become_user(specification)
        start(specification)
    except Exception as failure:  # noqa: BLE001 - whatever it is, the kubelet is to hear of it
        give_up(failure, error)


def give_up(failure: Exception, error: int) -> NoReturn:
    """Say why, and end with 128, as a container runtime does."""
    said = str(failure)
    if isinstance(failure, OSError) and failure.strerror:
        said = f"{failure.filename}: {failure.strerror}" if failure.filename else failure.strerror
    os.write(error, said.encode())
    os._exit(128)


def end_with_parent() -> None:
    """Be killed when the thread is gone that started us: no container outlives its kubelet."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "the parent's death signal")


def enter_network(path: str) -> None:
    """Become a process of the pod's network namespace."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    _check(_libc.setns(descriptor, _CLONE_NEWNET), f"the network namespace {path}")
    os.close(descriptor)


def build_root(specification: dict[str, Any]) -> None:
    """Mount everything below the new root, then make it the only one."""
    root = Path(specification["root"])
    layers = f"lowerdir=/,upperdir={specification['upper']},workdir={specification['work']}"
    mount("overlay", root, "overlay", data=layers)
    mount("proc", root / "proc", "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    _mount_sys(root, specification["cgroup"])
    _mount_dev(root)
    for path in specification["hidden"]:
        target = inside(root, path)
        target.mkdir(parents=True, exist_ok=True)
        mount("tmpfs", target, "tmpfs", data="mode=755")
    for bind in specification["binds"]:
        _bind(Path(bind["source"]), inside(root, bind["target"]), is_read_only=bind["read_only"])
    for path in specification["reachable"]:
        _open_way(root, path)
    socket.sethostname(specification["hostname"])
    inside(root, specification["workdir"]).mkdir(parents=True, exist_ok=True)
    _pivot(root)
    if specification["read_only_root"]:
        mount("none", Path("/"), "", _MS_BIND | _MS_REMOUNT | _MS_RDONLY)


def become_user(specification: dict[str, Any]) -> None:
    """Limits, capabilities, groups and user, in the order that still allows the next.

    The kernel forgets the parent's death signal when the user changes.
    """
    raise_open_files()
    for number in specification["dropped_capabilities"]:
        _libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)  # refused for numbers that this kernel does not know
    os.setgroups(specification["groups"])
    os.setgid(specification["gid"])
    os.setuid(specification["uid"])
    if specification["no_new_privileges"]:
        _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    end_with_parent()


def raise_open_files() -> None:
    """To a container runtime's limit, or to the machine's where nobody may raise that."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
    except ValueError:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def start(specification: dict[str, Any]) -> NoReturn:
    """Become the command. Raises OSError where it cannot be run."""
    os.chdir(specification["workdir"])
    argv, environment = specification["argv"], specification["environment"]
    try:
        os.execvpe(argv[0], argv, environment)  # noqa: S606 - a container's command is to be run
    except FileNotFoundError as error:
        raise OSError(f'exec: "{argv[0]}": executable file not found in $PATH') from error


def inside(root: Path, path: str) -> Path:
    """`path` as a process with this root sees it: its links lead nowhere outside."""
    done, left, links = root, deque(PurePosixPath(path).parts), 0
    while left:
        part = left.popleft()
        if part == "/":
            done = root
        elif part == "..":
            done = done if done == root else done.parent
        elif (done / part).is_symlink():
            links += 1
            if links > _LINKS_AT_MOST:
                raise OSError(f"{path}: too many levels of symbolic links")
            left.extendleft(reversed(PurePosixPath(os.readlink(done / part)).parts))
        else:
            done = done / part
    return done


def mount(source: str, target: Path, kind: str, flags: int = 0, data: str = "") -> None:
    """The system call. Raises OSError that names the target."""
    result = _libc.mount(
        source.encode(), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), data.encode() or None
    )
    _check(result, f"mount {kind or source} on {target}")


def _bind(source: Path, target: Path, *, is_read_only: bool) -> None:
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    elif not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    mount(str(source), target, "", _MS_BIND | _MS_REC)
    if is_read_only:
        mount("none", target, "", _MS_BIND | _MS_REMOUNT | _MS_RDONLY)


def _mount_sys(root: Path, cgroup: dict[str, Any] | None) -> None:
    mount("sysfs", root / "sys", "sysfs", _MS_RDONLY | _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    if cgroup is None:
        return
    folder = root / "sys/fs/cgroup"
    if cgroup["is_v2"]:
        _bind(Path(cgroup["path"]), folder, is_read_only=True)
        return
    mount("tmpfs", folder, "tmpfs", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, "mode=755")
    _bind(Path(cgroup["path"]), folder / "memory", is_read_only=True)


def _mount_dev(root: Path) -> None:
    dev = root / "dev"
    mount("tmpfs", dev, "tmpfs", _MS_NOSUID, "mode=755,size=64k")
    for name in _DEVICES:
        _bind(Path("/dev") / name, dev / name, is_read_only=False)
    for name, target in _DEVICE_LINKS.items():
        (dev / name).symlink_to(target)
    (dev / "pts").mkdir()
    mount("devpts", dev / "pts", "devpts", _MS_NOSUID | _MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620")


def _open_way(root: Path, path: str) -> None:
    """Let every user walk to `path`: on this container's own layer, the machine's folders stay as they are."""
    way = inside(root, path)
    for folder in (way, *way.parents):
        if folder == root:
            return
        mode = folder.stat().st_mode
        if folder.is_dir() and mode & 0o011 != 0o011:
            folder.chmod(mode | 0o011)


def _pivot(root: Path) -> None:
    """Make `root` the root and let go of the old one, with all mounts of other pods that were copied into here."""
    old = root / ".old-root"
    old.mkdir(exist_ok=True)
    _check(_libc.pivot_root(os.fsencode(root), os.fsencode(old)), "pivot_root")
    os.chdir("/")
    _check(_libc.umount2(b"/.old-root", _MNT_DETACH), "umount of the old root")
    Path("/.old-root").rmdir()


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


if __name__ == "__main__":
    main()
