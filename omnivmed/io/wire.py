"""Messages between the door and its workers: length-prefixed JSON over a Unix socket, descriptors beside them.

Nothing executable crosses: no pickle, no names; blocks of numbers travel as shared memory handed over by descriptor.
"""

from __future__ import annotations

import array
import json
import mmap
import os
import socket
import struct
import tempfile
from collections.abc import Sequence
from typing import Any

MAX_MESSAGE = 4 * 1024 * 1024
MAX_FDS = 16
_LENGTH = struct.Struct("<I")


class Closed(Exception):
    """The other end is gone."""


def send(sock: socket.socket, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
    """One message, with up to 16 descriptors. Raises Closed when the other end is gone."""
    body = json.dumps(message, allow_nan=False).encode()
    if len(body) > MAX_MESSAGE or len(fds) > MAX_FDS:
        raise ValueError(f"message of {len(body)} bytes with {len(fds)} descriptors is too long")
    try:
        header = _LENGTH.pack(len(body))
        if fds:
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))
            sent = sock.sendmsg([header], [rights])
            sock.sendall(header[sent:] + body)
        else:
            sock.sendall(header + body)
    except (BrokenPipeError, ConnectionError, OSError) as error:
        if isinstance(error, TimeoutError):
            raise
        raise Closed from error


def receive(sock: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """(message, descriptors). Raises Closed at the end of the stream, TimeoutError after the socket's time-out."""
    fds: list[int] = []
    try:
        header, ancillary, _, _ = sock.recvmsg(_LENGTH.size, socket.CMSG_SPACE(MAX_FDS * 4))
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                found = array.array("i")
                found.frombytes(data[: len(data) - len(data) % found.itemsize])
                fds.extend(found)
        header += _exactly(sock, _LENGTH.size - len(header)) if header else b""
        if not header:
            raise Closed
        (length,) = _LENGTH.unpack(header)
        if length > MAX_MESSAGE:
            raise Closed
        message = json.loads(_exactly(sock, length))
        if not isinstance(message, dict):
            raise Closed
    except (ConnectionError, ValueError) as error:
        close_all(fds)
        raise Closed from error
    except BaseException:
        close_all(fds)
        raise
    return message, fds


def _exactly(sock: socket.socket, n: int) -> bytes:
    parts: list[bytes] = []
    while n:
        part = sock.recv(min(n, 1 << 16))
        if not part:
            raise Closed
        parts.append(part)
        n -= len(part)
    return b"".join(parts)


def close_all(fds: Sequence[int]) -> None:
    """Close descriptors that nobody wants."""
    for fd in fds:
        os.close(fd)


class Block:
    """Shared memory of a fixed size without a name: it is gone when the last holder closes it or dies.

    Made by the door (`Block.create`), because the worker may not create files of any kind, and mapped by both.
    """

    def __init__(self, fd: int, nbytes: int) -> None:
        self.fd = fd
        self.nbytes = nbytes
        self.memory = mmap.mmap(fd, max(nbytes, 1))

    @classmethod
    def create(cls, nbytes: int) -> Block:
        """A zeroed block. Pages are only taken from the machine when they are written."""
        if hasattr(os, "memfd_create"):
            fd = os.memfd_create("omnivmed", os.MFD_CLOEXEC)
        else:
            with tempfile.TemporaryFile() as file:
                fd = os.dup(file.fileno())
        try:
            os.ftruncate(fd, max(nbytes, 1))
            return cls(fd, nbytes)
        except BaseException:
            os.close(fd)
            raise

    def close_fd(self) -> None:
        """The mapping stays; the descriptor is not needed any longer."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
