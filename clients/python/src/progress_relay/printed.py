"""What a cell has printed, where IPython keeps nothing of it: before IPython 9, and in cells that
await something.

ipykernel's stream shows each text that it sends to hooks, in the thread that sends it. So nothing
changes for the student's `print`: no other object stands in the place of sys.stdout, no frame of
this package is in a traceback, and a fault here stops no text. At the end of a cell the stream is
flushed, which ipykernel does a moment later anyway.
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
        # By the request's id.
        self._texts: Dict[str, List[str]] = {}
        self._is_kept_elsewhere = False

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
        self._texts.clear()

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
        pieces = self._texts.get(request)
        if pieces is None:
            while len(self._texts) >= MAX_REQUESTS:
                self._texts.pop(next(iter(self._texts)), None)
            pieces = self._texts[request] = []
        room = MAX_TEXT - sum(map(len, pieces))
        if room > 0:
            pieces.append(text[:room])

    def settle(self) -> None:
        """Waits until the stream has sent what the cell has printed."""
        stream = self._stream
        if stream is None:
            return
        # IPython 9 puts a function in the place of the stream's method while a cell runs.
        replaced = getattr(stream, "__dict__", {}).get("write")
        self._is_kept_elsewhere = isinstance(replaced, types.FunctionType)
        if not self._is_kept_elsewhere:
            stream.flush()  # type: ignore[attr-defined]

    def take(self, shell: object) -> Optional[str]:
        """The text of the cell that has ended, unless IPython itself keeps it."""
        try:
            header = shell.parent_header["header"]  # type: ignore[attr-defined]
            pieces = self._texts.pop(header["msg_id"], None)
        except Exception:
            return None
        return "".join(pieces) if pieces and not self._is_kept_elsewhere else None
