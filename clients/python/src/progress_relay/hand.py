"""A raised hand: it is repeated while it is up, and follows what the relay says of it.

A hand goes down at the relay 75 s after the last `help`. So the client repeats it every 10 s, and a
kernel that is killed leaves no hand up for ever. The first `help` and the `help_stop` are kept in
the spool like runs; a repeat is sent only where the relay can be reached now, since an old one says
nothing.

What the relay says comes by its event stream, which is open only while the hand is up.
"""

from __future__ import annotations

import json
import random
import threading
import unicodedata
from typing import Callable, List, Optional
from urllib.parse import quote

from .sender import Sender
from .settings import Settings
from .transport import Connection, Refused, Unreachable
from .words import say

REPEAT_EVERY = 10.0
MAX_TEXT = 500
# Between attempts to follow the relay's stream.
SHORTEST_PAUSE = 1.0
LONGEST_PAUSE = 15.0
# A relay that lets no student read is asked rarely.
REFUSED_PAUSE = 60.0
# The largest frame of the stream.
MAX_FRAME = 65536


class Hand:
    def __init__(
        self,
        settings: Settings,
        sender: Sender,
        record: Callable[[str, dict], None],
        repeat: Callable[[dict], None],
    ) -> None:
        self._settings = settings
        self._sender = sender
        self._record = record
        self._repeat = repeat
        self._listeners: List[Callable[[], None]] = []
        self._lock = threading.Lock()
        # One object for each time that the hand is raised, which ends its threads.
        self._raised: Optional[threading.Event] = None
        self._text = ""
        self._by: Optional[str] = None
        self._claimed = False
        self._resolved = False

    @property
    def is_up(self) -> bool:
        return self._raised is not None

    def listen(self, listener: Callable[[], None]) -> None:
        """Calls the listener, from any thread, when `status` has changed."""
        self._listeners.append(listener)

    def status(self) -> str:
        with self._lock:
            is_up, claimed, by = self._raised is not None, self._claimed, self._by
            resolved = self._resolved
        if not is_up:
            return say("resolved") if resolved else say("down")
        if claimed:
            return say("claimed", by=by) if by else say("claimed_by_someone")
        waiting = self._sender.next_attempt is not None
        up = say("up", class_id=self._sender.class_id)
        first = say("up_waiting") if waiting else up
        return f"{first} {say('lower')}"

    def put_up(self, text: str) -> None:
        """Raises the hand, or says more while it is up."""
        self._text = text.strip()[:MAX_TEXT]
        self._record("help", self._more())
        with self._lock:
            if self._raised is not None:
                return self._tell()
            ended = self._raised = threading.Event()
            self._claimed = self._resolved = False
            self._by = None
        for target in (self._repeat_until, self._follow_until):
            thread = threading.Thread(target=target, args=(ended,), name="progress-relay-hand")
            thread.daemon = True
            thread.start()
        self._tell()

    def take_down(self) -> None:
        if self._end(resolved=False):
            self._record("help_stop", {})
        self._tell()

    def drop(self) -> None:
        """In a forked child: the hand is the parent's."""
        self._raised = None

    def _end(self, resolved: bool) -> bool:
        with self._lock:
            ended, self._raised = self._raised, None
            self._resolved = resolved
            self._claimed = False
        if ended is None:
            return False
        ended.set()
        return True

    def _more(self) -> dict:
        return {"message": self._text} if self._text else {}

    def _tell(self) -> None:
        for listener in list(self._listeners):
            try:
                listener()
            except Exception:
                # A display that is gone: its output was cleared, its page closed.
                self._listeners.remove(listener)

    def _repeat_until(self, ended: threading.Event) -> None:
        while not ended.wait(REPEAT_EVERY):
            if self._sender.next_attempt is None:
                self._repeat(self._more())
            self._tell()

    def _follow_until(self, ended: threading.Event) -> None:
        connection = Connection(self._settings)
        last_id: Optional[str] = None
        pause = SHORTEST_PAUSE
        while not ended.is_set():
            try:
                for event_id, data in connection.stream(self._path(), last_id):
                    last_id = event_id or last_id
                    pause = SHORTEST_PAUSE
                    self._read(data)
                    if ended.is_set():
                        break
            except Refused as refused:
                pause = REFUSED_PAUSE if refused.status < 500 else pause
            except Unreachable:
                pass
            ended.wait(pause * (0.5 + random.random()))
            pause = min(pause * 2, LONGEST_PAUSE)
        connection.close()

    def _path(self) -> str:
        class_id = quote(self._sender.class_id, safe="")
        return f"/api/class/stream?class={class_id}&fields=-code,-result&max={MAX_FRAME}"

    def _read(self, data: str) -> None:
        """Looks in a frame for what concerns this student. An open relay sends all students'
        events to everyone."""
        try:
            frame = json.loads(data)
            events = frame.get("events", ()) if isinstance(frame, dict) else ()
        except (ValueError, RecursionError):
            return
        for event in events:
            if not isinstance(event, dict) or event.get("studentId") != self._me():
                continue
            kind = event.get("eventType")
            if kind == "help_claimed":
                by = event.get("by") or event.get("actor")
                with self._lock:
                    self._claimed = self._raised is not None
                    self._by = by[:100] if isinstance(by, str) else None
                self._tell()
            elif kind == "help_resolved" and self._end(resolved=True):
                self._tell()

    def _me(self) -> str:
        """The student's id as the relay has it."""
        caller = self._sender.caller or {}
        if caller.get("role") == "student" and isinstance(caller.get("subject"), str):
            return str(caller["subject"])
        user = unicodedata.normalize("NFC", self._settings.user)
        return user.lower() if "@" in user else user
