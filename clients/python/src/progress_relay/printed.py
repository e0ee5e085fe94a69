"""What a cell has printed, where IPython keeps nothing of it: before IPython 9, and in cells that
await something.

ipykernel's stream shows each text that it sends to hooks, in the thread that sends it. So nothing
changes for the student's `print`: no other object stands in the place of sys.stdout, no frame of
this package is in a traceback, and a fault here stops no text.

At the end of a cell a part of its text may not have been sent. As long as the stream has sent
nothing since the cell began, everything is in its buffer, and is read there. Else the stream is
flushed, which waits for its thread; ipykernel does that a moment later anyway.
"""

from __future__ import annotations

import sys
import types
from typing import Dict, List, Optional

# In characters, for one request of the front end.
MAX_TEXT = 32 * 1024 + 1
# Requests whose text is kept. Only that of the cell that has just ended is asked for.
MAX_REQUESTS = 4


class Printed:
    def __init__(self) -> None:
        self._stream: Optional[object] = None
        # What was sent, and how much of a request's text was taken, by the request's id.
        self._sent: Dict[str, List[str]] = {}
        self._taken: Dict[str, int] = {}
        self._before: object = None

    def attach(self) -> None:
        """Begins to listen to the kernel's stdout. Without a kernel there is nothing to hear."""
        stream = sys.stdout
        needed = ("register_hook", "unregister_hook", "pub_thread", "flush")
        if self._stream is None and all(hasattr(stream, name) for name in needed):
            self._in_its_thread(stream, "register_hook")
            self._stream = stream

    def detach(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            self._in_its_thread(stream, "unregister_hook")
        self._sent.clear()
        self._taken.clear()

    def _in_its_thread(self, stream: object, action: str) -> None:
        try:
            # Each thread has its own hooks.
            thread = stream.pub_thread  # type: ignore[attr-defined]
            thread.schedule(lambda: getattr(stream, action)(self._hook))
        except Exception:
            pass  # Another ipykernel: only the cells' values are known.

    def _hook(self, message: dict) -> dict:
        try:
            self._keep(message["parent_header"]["msg_id"], message["content"]["text"])
        except Exception:
            pass  # The text goes its way whatever is wrong here.
        return message

    def _keep(self, request: str, text: str) -> None:
        pieces = self._sent.get(request)
        if pieces is None:
            while len(self._sent) >= MAX_REQUESTS:
                self._sent.pop(next(iter(self._sent)), None)
            pieces = self._sent[request] = []
        room = MAX_TEXT - sum(map(len, pieces))
        if room > 0:
            pieces.append(text[:room])

    def begin(self) -> None:
        """A cell begins. The stream takes another buffer whenever it sends."""
        self._before = getattr(self._stream, "_buffers", None)

    def take(self, shell: object) -> Optional[str]:
        """The text of the cell that has ended, unless IPython itself keeps it."""
        stream = self._stream
        if stream is None:
            return None
        # IPython 9 puts a function in the place of the stream's method while a cell runs.
        if isinstance(getattr(stream, "__dict__", {}).get("write"), types.FunctionType):
            return None
        try:
            request = shell.parent_header["header"]["msg_id"]  # type: ignore[attr-defined]
        except Exception:
            return None
        unsent = self._unsent(stream, request)
        if unsent is None:
            stream.flush()  # type: ignore[attr-defined]
        text = "".join(self._sent.get(request, ())) + (unsent or "")
        # A cell may have run other cells: what those have printed is theirs.
        begin = self._taken.get(request, 0)
        while len(self._taken) >= MAX_REQUESTS:
            self._taken.pop(next(iter(self._taken)))
        self._taken[request] = len(text)
        return text[begin:] or None

    def _unsent(self, stream: object, request: str) -> Optional[str]:
        """What is in the buffer; None if something may be on its way from there."""
        lock = getattr(stream, "_buffer_lock", None)
        if lock is None or self._before is None:
            return None
        with lock:
            if getattr(stream, "_buffers", None) is not self._before:
                return None
            for header, buffer in self._before.items():  # type: ignore[attr-defined]
                if dict(header).get("msg_id") == request:
                    text: str = buffer.getvalue()
                    return text[:MAX_TEXT]
        return ""
