"""One file of the spool: a header, then one event a line.

A segment has one owner at a time: the kernel that appends to it, or a kernel that adopted it after
its owner's end. The owner holds an advisory lock on the open file. The system gives the lock back
when the process ends, however it ends, so that no run waits for a process that is gone.

The header says up to which byte the relay has acknowledged. It is written in place, and needs no
fsync: if it is lost, events are sent twice with the same eventId, and the relay stores them once.
"""

from __future__ import annotations

import errno
import os
import secrets
import tempfile
import threading
import time
from pathlib import Path
from typing import Optional

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt

MAGIC = b"progress-relay 1 "
HEADER = 32
SUFFIX = ".events"
# Where the file system has no locks, a segment is an orphan once its owner has not touched it for
# so long. Owners touch theirs far more often.
ABANDONED_AFTER = 15 * 60.0
TOUCH_EVERY = 60.0
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
_O_BINARY = getattr(os, "O_BINARY", 0)
_last_name = 0


def _header(acked: int) -> bytes:
    return MAGIC + b"%014d\n" % acked


def _new_name() -> str:
    """A name that sorts after those that this process has given: a clock may stand still, or go
    back."""
    global _last_name
    _last_name = max(_last_name + 1, time.time_ns())
    return f"{_last_name:020d}-{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}"


def _check_owner(folder: Path) -> None:
    """Raises OSError where another user owns the folder, or the one that holds it in the system's
    folder for temporary files, where anyone can make one of this name: they could read the runs."""
    if not hasattr(os, "geteuid"):
        return
    folders = [folder]
    if folder.parent.parent == Path(tempfile.gettempdir()):
        folders.append(folder.parent)
    for path in folders:
        if os.stat(path).st_uid != os.geteuid():
            raise OSError(errno.EPERM, f"{path} belongs to another user")


def _lock(fd: int) -> bool:
    """Whether the lock was free. Raises OSError where there are no locks."""
    if fcntl is None:
        os.lseek(fd, 1 << 30, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    try:
        # Not lockf: such a lock ends when the process closes any handle of the file.
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Segment:
    """A segment that this process owns."""

    def __init__(self, path: Path, fd: int, end: int, acked: int, events: int) -> None:
        self.path = path
        self.fd = fd
        # The byte after the last whole event.
        self.end = end
        self.acked = acked
        # Events that are not acknowledged.
        self.events = events
        # Bytes that are on disk for certain.
        self.synced = acked
        self.touched = time.monotonic()
        self.is_gone = False
        # Begun by a kernel that has ended.
        self.is_adopted = False
        # Windows deletes no file that is open.
        self._delete_at_close = False
        # Only where there is no pread: a position is then shared by reader and writer.
        self._position = threading.Lock()

    @classmethod
    def create(cls, folder: Path) -> Segment:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        _check_owner(folder)
        path = folder / _new_name()
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _O_BINARY, 0o600)
        segment = cls(path, fd, HEADER, HEADER, 0)
        try:
            try:
                _lock(fd)
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
            segment._write(_header(HEADER), 0)
        except OSError:
            segment.remove()
            raise
        return segment

    @classmethod
    def adopt(cls, path: Path) -> Optional[Segment]:
        """Takes over a segment whose owner has ended; None if it has an owner."""
        fd = os.open(path, os.O_RDWR | _O_BINARY)
        try:
            try:
                free = _lock(fd)
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
                free = time.time() - os.fstat(fd).st_mtime > ABANDONED_AFTER
            # Another kernel may have sent and deleted it between the two calls.
            if not free or os.fstat(fd).st_nlink == 0:
                os.close(fd)
                return None
            segment = cls(path, fd, HEADER, HEADER, 0)
            segment.is_adopted = True
            segment._measure(os.fstat(fd).st_size)
            return segment
        except OSError:
            os.close(fd)
            raise

    def _measure(self, size: int) -> None:
        """Finds the end of the last whole event, and counts the events."""
        header = self.read(0, HEADER)
        digits = header[len(MAGIC) : HEADER - 1]
        if header.startswith(MAGIC) and digits.isdigit() and HEADER <= int(digits) <= size:
            self.acked = int(digits)
        offset = self.acked
        self.end = offset
        while offset < size:
            block = self.read(offset, 1 << 20)
            if not block:
                break
            last = block.rfind(b"\n")
            if last >= 0:
                self.end = offset + last + 1
            self.events += block.count(b"\n")
            offset += len(block)
        self.synced = self.end

    def append(self, line: bytes) -> None:
        """Appends a line whole, or raises OSError and leaves the segment as it was."""
        try:
            self._write(line, self.end)
        except OSError:
            try:
                os.ftruncate(self.fd, self.end)
            except OSError:
                pass  # What lies behind `end` is overwritten by the next append.
            raise
        # An append that was interrupted before this line is repeated at the same place.
        self.end += len(line)
        self.events += 1

    def _write(self, data: bytes, offset: int) -> None:
        while data:
            if hasattr(os, "pwrite"):
                written = os.pwrite(self.fd, data, offset)
            else:
                with self._position:
                    os.lseek(self.fd, offset, os.SEEK_SET)
                    written = os.write(self.fd, data)
            if written <= 0:
                raise OSError(errno.EIO, "the file takes no more bytes")
            data = data[written:]
            offset += written

    def read(self, offset: int, length: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self.fd, length, offset)
        with self._position:
            os.lseek(self.fd, offset, os.SEEK_SET)
            return os.read(self.fd, length)

    def waiting(self) -> bool:
        return self.acked < self.end

    def ack(self, length: int, events: int) -> None:
        """The relay has the next `length` bytes, or they have been set aside."""
        self.acked = min(self.acked + length, self.end)
        self.events = max(self.events - events, 0)
        try:
            self._write(_header(self.acked), 0)
        except OSError:
            pass  # They would be sent a second time at worst.

    def is_deleted(self) -> bool:
        return os.fstat(self.fd).st_nlink == 0

    def sync(self) -> None:
        """Brings what waits to the disk. Called by a thread, never by a cell."""
        end = self.end
        if self.acked < end and self.synced < end:
            getattr(os, "fdatasync", os.fsync)(self.fd)
            self.synced = end
        if time.monotonic() - self.touched > TOUCH_EVERY:
            self.touched = time.monotonic()
            os.utime(self.path)

    def close(self) -> None:
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            os.close(fd)
            if self._delete_at_close:
                self.unlink()

    def discard(self) -> None:
        """Deletes the file, which may be in use. What is in it is not sent by another kernel, even
        if the file stays."""
        self.ack(self.end - self.acked, self.events)
        self.unlink()

    def unlink(self) -> None:
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            pass
        except OSError:
            # Also where the folder has become read-only: it would be sent a second time at worst.
            self._delete_at_close = self.fd >= 0

    def remove(self) -> None:
        self.unlink()
        self.close()
