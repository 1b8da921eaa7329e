"""A file system in memory that forgets at a power cut what was not synced: the strictest POSIX.

The content of a file is on its disk once the file was synced, and a name in a folder once the
folder was. `python forgetful.py FOLDER` mounts it (libfuse); SIGUSR1 cuts the power, and it is
mounted as it would be afterwards. Real file systems keep more.
"""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

READY = ".mounted"
"""Name that the root lists from the start."""


@dataclass
class Node:
    """A file or folder, and what of it is on the disk."""

    mode: int
    content: bytearray = field(default_factory=bytearray)
    names: dict[str, Node] = field(default_factory=dict)
    durable_content: bytes = b""
    durable_names: dict[str, Node] = field(default_factory=dict)
    times: tuple[float, float] = field(default_factory=lambda: (time.time(),) * 2)

    def afterwards(self) -> Node:
        """The node as it is after a power cut."""
        names = {name: node.afterwards() for name, node in self.durable_names.items()}
        kept = self.durable_content
        return Node(self.mode, bytearray(kept), dict(names), kept, names)


class Forgetful:
    """The operations of the file system, by the names that libfuse gives them."""

    use_ns = False

    def __init__(self) -> None:
        mark = Node(stat.S_IFREG | 0o644)
        self.root = Node(stat.S_IFDIR | 0o755, names={READY: mark}, durable_names={READY: mark})
        signal.signal(signal.SIGUSR1, self.cut)

    def cut(self, *_: Any) -> None:
        """Cut the power."""
        self.root = self.root.afterwards()

    def __call__(self, operation: str, *given: Any) -> Any:
        if not hasattr(self, operation):
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        return getattr(self, operation)(*given)

    def _node(self, path: str) -> Node:
        node = self.root
        for name in filter(None, path.split("/")):
            if name not in node.names:
                raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            node = node.names[name]
        return node

    def _place(self, path: str) -> tuple[dict[str, Node], str]:
        parent, _, name = path.rpartition("/")
        return self._node(parent).names, name

    def _make(self, path: str, mode: int) -> int:
        names, name = self._place(path)
        names[name] = Node(mode)
        return 0

    def getattr(self, path: str, _: Any = None) -> dict[str, Any]:
        node = self._node(path)
        read, written = node.times
        return {
            "st_mode": node.mode, "st_size": len(node.content), "st_uid": os.getuid(),
            "st_gid": os.getgid(), "st_nlink": 1, "st_atime": read, "st_mtime": written,
            "st_ctime": written,
        }  # fmt: skip

    def readdir(self, path: str, _: Any) -> list[str]:
        return [".", "..", *self._node(path).names]

    def mkdir(self, path: str, mode: int) -> int:
        return self._make(path, stat.S_IFDIR | mode)

    def create(self, path: str, mode: int, _: Any = None) -> int:
        return self._make(path, stat.S_IFREG | mode)

    def open(self, path: str, _: Any) -> int:
        self._node(path)
        return 0

    def read(self, path: str, size: int, offset: int, _: Any) -> bytes:
        return bytes(self._node(path).content[offset : offset + size])

    def write(self, path: str, data: bytes, offset: int, _: Any) -> int:
        node = self._node(path)
        content = node.content
        content.extend(bytes(max(0, offset - len(content))))
        content[offset : offset + len(data)] = data
        node.times = (node.times[0], time.time())
        return len(data)

    def truncate(self, path: str, length: int, _: Any = None) -> int:
        content = self._node(path).content
        del content[length:]
        content.extend(bytes(length - len(content)))
        return 0

    def rename(self, old: str, new: str, _: int = 0) -> int:
        (names, name), (others, other) = self._place(old), self._place(new)
        others[other] = names.pop(name)
        return 0

    def unlink(self, path: str) -> int:
        names, name = self._place(path)
        del names[name]
        return 0

    rmdir = unlink

    def fsync(self, path: str, _: int, __: Any) -> int:
        node = self._node(path)
        node.durable_content = bytes(node.content)
        return 0

    def fsyncdir(self, path: str, _: int, __: Any) -> int:
        node = self._node(path)
        node.durable_names = dict(node.names)
        return 0

    def chmod(self, path: str, mode: int, _: Any = None) -> int:
        node = self._node(path)
        node.mode = stat.S_IFMT(node.mode) | mode
        return 0

    def utimens(self, path: str, times: tuple[float, float] | None = None, _: Any = None) -> int:
        self._node(path).times = times or (time.time(),) * 2
        return 0

    def statfs(self, _: str) -> dict[str, int]:
        return {"f_bsize": 4096, "f_blocks": 1 << 20, "f_bavail": 1 << 20, "f_bfree": 1 << 20}


class Disk:
    """A mounted forgetful file system."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.folder, self._process = folder, process

    def cut(self) -> None:
        """Cut the power, and mount what is on the disk."""
        self._process.send_signal(signal.SIGUSR1)
        self.folder.stat()  # answered after the signal


@contextmanager
def forgetful(folder: Path) -> Iterator[Disk | None]:
    """Inside, `folder` is a forgetful file system; None where none may be mounted."""
    folder.mkdir(parents=True)
    process = subprocess.Popen([sys.executable, __file__, str(folder)], stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 30
        while not (folder / READY).exists() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        yield Disk(folder, process) if (folder / READY).exists() else None
    finally:
        subprocess.run(["umount", str(folder)], capture_output=True, check=False)
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
        process.kill()
        process.wait()


if __name__ == "__main__":
    from mfusepy import FUSE

    options = {"attr_timeout": 0, "entry_timeout": 0, "ac_attr_timeout": 0}
    FUSE(Forgetful(), sys.argv[1], foreground=True, nothreads=True, direct_io=True, **options)
