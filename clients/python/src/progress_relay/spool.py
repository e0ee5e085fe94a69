"""The runs that the relay does not have yet: a folder of segments, shared by a student's kernels.

Why files and not sqlite3. A run is recorded while the student waits for the cell, and home folders
are often on NFS. SQLite's WAL mode needs shared memory, which NFS has not, and a kernel would wait
for the transactions of the others. Here each kernel appends to a segment that is its alone: one
`pwrite`, no lock between kernels, and every kernel can send what a killed one has left.

What survives what. A run is in the kernel's page cache when its cell ends, so it survives the death
of the Python process at any moment. A thread calls fdatasync within a second if the relay has not
acknowledged the run by then, so a power cut costs the runs of the last second at most.

When the folder is full, the oldest segment that this kernel owns goes, is counted, and the count
is told on request. The newest runs say how the student stands. When the disk takes nothing, runs
wait in a bounded memory, which `%progress` says, since that memory dies with the kernel.
"""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from collections import deque
from itertools import islice
from pathlib import Path
from typing import Deque, List, NamedTuple, Optional, Tuple

from .segment import HEADER, SUFFIX, Segment

SEGMENT_BYTES = 1024 * 1024
# A segment whose events are all acknowledged is replaced beyond this size.
SPENT_BYTES = 64 * 1024
# Runs that the disk did not take.
MEMORY_BYTES = 4 * 1024 * 1024
# The file of the events that the relay refused.
REFUSED_BYTES = 1024 * 1024
LOST_BYTES = 64 * 1024
# Segments of ended kernels that are open at once.
MAX_ADOPTED = 8
SCAN_EVERY = 5.0
SYNC_EVERY = 1.0


class Batch(NamedTuple):
    """Events to be sent. `segment` is None for those that wait in memory."""

    segment: Optional[Segment]
    lines: List[bytes]

    @property
    def size(self) -> int:
        return sum(map(len, self.lines))


class Spool:
    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self.problem: Optional[str] = None
        self.lost = 0
        self.refused = 0
        self._lock = threading.Lock()
        self._current: Optional[Segment] = None
        # Older segments, own and adopted, the oldest first.
        self._older: List[Segment] = []
        self._memory: Deque[bytes] = deque()
        self._memory_bytes = 0
        # Deleted by a cell. The sender closes them: it may be reading one.
        self._condemned: List[Segment] = []
        # Bytes of segments that other kernels own, as of the last scan.
        self._others = 0
        self._scanned = float("-inf")
        # Whether the last scan left segments that it could have adopted.
        self._left_some = False
        self._closed = False
        self._dirty = threading.Event()

    def open(self) -> None:
        """Creates the first segment, so that a run does not have to, and starts to sync."""
        with self._lock:
            try:
                self._rotate()
            except OSError as error:
                self._note(error)
        thread = threading.Thread(target=self._sync_forever, name="progress-relay-disk")
        thread.daemon = True
        thread.start()

    def append(self, line: bytes) -> None:
        """Keeps an event. Never raises; a run that finds no room is counted as lost."""
        with self._lock:
            try:
                self._append(line)
                self.problem = None
            except OSError as error:
                self._note(error)
                self._remember(line)
                return
        self._dirty.set()

    def _append(self, line: bytes) -> None:
        current = self._current
        if current is None or current.is_gone or current.end + len(line) > SEGMENT_BYTES:
            current = self._rotate()
        if self._bytes() + len(line) > self.max_bytes:
            current = self._make_room(len(line))
        current.append(line)

    def _rotate(self) -> Segment:
        segment = Segment.create(self.folder)
        if self._current is not None:
            self._older.append(self._current)
        self._current = segment
        return segment

    def _own(self) -> List[Segment]:
        return [*self._older, *([self._current] if self._current else [])]

    def _bytes(self) -> int:
        return self._others + sum(segment.end for segment in self._own())

    def _make_room(self, length: int) -> Segment:
        """Deletes the oldest segments of this kernel until the event fits."""
        while self._bytes() + length > self.max_bytes:
            if not self._older:
                if self._current is None or self._current.end == HEADER:
                    raise OSError(errno.EDQUOT, "other kernels have filled the spool")
                self._rotate()
            oldest = self._older.pop(0)
            self._count_lost(oldest.events, "the spool is full")
            self._condemn(oldest)
        return self._current if self._current is not None else self._rotate()

    def _condemn(self, segment: Segment) -> None:
        segment.discard()
        self._condemned.append(segment)

    def _remember(self, line: bytes) -> None:
        self._memory.append(line)
        self._memory_bytes += len(line)
        dropped = 0
        while self._memory_bytes > MEMORY_BYTES:
            self._memory_bytes -= len(self._memory.popleft())
            dropped += 1
        if dropped:
            self._count_lost(dropped, "the disk takes nothing and the memory is full")

    def _note(self, error: OSError) -> None:
        self.problem = f"{self.folder}: {error.strerror or error}"

    def take(self, max_events: int, max_bytes: int) -> Optional[Batch]:
        """The next events to be sent, oldest first, one at least. They stay until `done`."""
        with self._lock:
            condemned, self._condemned = self._condemned, []
            for segment in condemned:
                segment.close()
            if self._memory:
                # First: only these would be lost with the process.
                first = list(islice(self._memory, max_events))
                return Batch(None, _up_to(first, max_events, max_bytes))
            own = self._own()
        for segment in own:
            lines = _read(segment, max_events, max_bytes)
            if lines:
                return Batch(segment, lines)
            self._retire(segment)
        return None

    def done(self, batch: Batch) -> None:
        """The relay has these events, or they have been set aside."""
        with self._lock:
            if batch.segment is None:
                for line in batch.lines:
                    # The oldest may have been dropped meanwhile.
                    if self._memory and self._memory[0] is line:
                        self._memory_bytes -= len(self._memory.popleft())
                return
            if batch.segment.fd < 0:
                return
            batch.segment.ack(batch.size, len(batch.lines))
        self._retire(batch.segment)

    def _retire(self, segment: Segment) -> None:
        """Deletes a segment that has nothing left to send."""
        with self._lock:
            if segment.waiting() or segment.fd < 0:
                return
            if segment is self._current:
                if segment.end < SPENT_BYTES:
                    return
                try:
                    self._rotate()
                except OSError as error:
                    self._note(error)
                    return
            if segment in self._older:
                self._older.remove(segment)
                segment.remove()
                if self._left_some:
                    # The next one is older than what this kernel has recorded since.
                    self._scanned = float("-inf")

    def scan(self, force: bool = False) -> None:
        """Looks for segments of kernels that have ended, and adopts some. Called by the sender."""
        now = time.monotonic()
        if not force and now - self._scanned < SCAN_EVERY:
            return
        self._scanned = now
        # Listed first: a segment that a cell creates from here on is not in the list.
        paths = self._segments()
        with self._lock:
            own = self._own()
        mine = {segment.path for segment in own}
        others, left_some = 0, False
        adopted: List[Segment] = []
        room = MAX_ADOPTED - sum(segment.is_adopted for segment in own)
        for path in paths:
            if path in mine:
                continue
            try:
                segment = Segment.adopt(path) if len(adopted) < room else None
                left_some = left_some or len(adopted) >= room
                if segment is None:
                    others += path.stat().st_size
                elif segment.waiting():
                    adopted.append(segment)
                else:
                    segment.remove()
            except OSError:
                continue  # Another kernel has just sent and deleted it.
        with self._lock:
            self._others, self._left_some = others, left_some
            self._older = sorted([*self._older, *adopted], key=lambda segment: segment.path.name)

    def _segments(self) -> List[Path]:
        try:
            return sorted(path for path in self.folder.iterdir() if path.suffix == SUFFIX)
        except OSError:
            return []

    def set_aside(self, line: bytes, reason: str) -> None:
        """Keeps an event that the relay will never take, for whoever wants to know why."""
        self.refused += 1
        event = line.decode("utf-8", "replace").strip()
        entry = {"at": _now(), "reason": reason, "event": event}
        self._append_bounded("refused.jsonl", entry, REFUSED_BYTES)

    def _count_lost(self, events: int, reason: str) -> None:
        if events <= 0:
            return
        self.lost += events
        entry = {"at": _now(), "reason": reason, "events": events}
        self._append_bounded("lost.jsonl", entry, LOST_BYTES)

    def _append_bounded(self, name: str, entry: dict, bound: int) -> None:
        """Appends a line; beyond the bound the older half of the file goes."""
        path = self.folder / name
        line = json.dumps(entry).encode("ascii") + b"\n"
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(fd, line[:bound])
                size = os.fstat(fd).st_size
            finally:
                os.close(fd)
            if size > bound:
                kept = path.read_bytes()[-bound // 2 :]
                temporary = path.with_suffix(".new")
                temporary.write_bytes(kept[kept.find(b"\n") + 1 :])
                os.replace(temporary, path)
        except OSError as error:
            self._note(error)

    def waiting(self) -> Tuple[int, int]:
        """The events that this kernel has to send, and how many of them are in memory alone."""
        with self._lock:
            own = self._own()
            memory = len(self._memory)
            return sum(segment.events for segment in own) + memory, memory

    def bytes(self) -> int:
        """The size of the folder's segments."""
        with self._lock:
            return self._bytes()

    def forget(self) -> int:
        """Deletes what waits to be sent; returns how many events that were."""
        with self._lock:
            own = self._own()
            events = sum(segment.events for segment in own) + len(self._memory)
            self._memory.clear()
            self._memory_bytes = 0
            for segment in own:
                self._condemn(segment)
            self._older, self._current = [], None
            return events

    def close(self) -> None:
        """At the end of the process: what waits in memory is tried on the disk once more."""
        with self._lock:
            self._closed = True
            self._dirty.set()
            try:
                while self._memory:
                    self._append(self._memory[0])
                    self._memory.popleft()
            except OSError as error:
                self._note(error)
            for segment in self._condemned:
                segment.close()
            self._condemned = []
            for segment in self._own():
                if segment.waiting():
                    segment.close()
                else:
                    segment.remove()
            self._older, self._current = [], None

    def abandon_in_child(self) -> None:
        """In a forked child: the files are the parent's. Closing them here does not unlock them,
        and keeps the child from holding the locks after the parent's death."""
        for segment in self._own():
            segment.close()
        self._older, self._current = [], None

    def _sync_forever(self) -> None:
        while not self._closed:
            self._dirty.wait()
            self._dirty.clear()
            time.sleep(SYNC_EVERY)
            self.sync()

    def sync(self) -> None:
        """Brings what waits to the disk."""
        with self._lock:
            own = self._own()
        for segment in own:
            try:
                # Someone may have deleted the folder: the next run begins another segment.
                segment.is_gone = segment.is_deleted()
                segment.sync()
            except OSError as error:
                # It may have been deleted meanwhile; its descriptor is then no longer open.
                if segment.fd >= 0:
                    self._note(error)


def _read(segment: Segment, max_events: int, max_bytes: int) -> List[bytes]:
    offset, end = segment.acked, segment.end
    if offset >= end:
        return []
    try:
        data = segment.read(offset, min(end - offset, max_bytes))
        if b"\n" not in data:
            # One event is larger than a batch.
            data = segment.read(offset, end - offset)
    except OSError:
        return []
    data = data[: data.rfind(b"\n") + 1]
    return _up_to(data.splitlines(keepends=True), max_events, max_bytes)


def _up_to(lines: List[bytes], max_events: int, max_bytes: int) -> List[bytes]:
    taken: List[bytes] = []
    size = 0
    for line in lines[:max_events]:
        size += len(line)
        if taken and size > max_bytes:
            break
        taken.append(line)
    return taken


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
