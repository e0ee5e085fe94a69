"""A raised hand: it is repeated while it is up, and follows what the relay says of it.

A hand goes down at the relay 75 s after the last `help`. So the client repeats it every 10 s, and a
kernel that is killed leaves no hand up for ever. The first `help` and the `help_stop` are kept in
the spool like runs; a repeat is sent only where the relay can be reached now, since an old one says
nothing.

What the relay says comes by its event stream, which is open only while the hand is up. A student
whom the relay knows by a token is first answered the own state, and follows from its cursor: so
nothing is missed between the two. An older relay has no stream for students; it is asked for the
own state instead, every 3 s.

When an instructor has taken the hand down, the client sends `help_stop` all the same: without it
the relay would take the next `help` within 75 s for a repeat of the hand that is closed.
"""

from __future__ import annotations

import json
import random
import threading
import unicodedata
from typing import Callable, Dict, Optional
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
POLL_EVERY = 3.0
# Answers in a row without the hand, until it counts as taken down. A hand that has lapsed while the
# network was away is up again with the next repeat.
POLLS_WITHOUT_HAND = 3
# A relay that lets this client read nothing is asked rarely.
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
        self._listeners: Dict[str, Callable[[], None]] = {}
        self._lock = threading.Lock()
        # One object for each time that the hand is raised, which ends its threads.
        self._raised: Optional[threading.Event] = None
        self._text = ""
        self._by: Optional[str] = None
        self._claimed = False
        self._resolved = False
        # Whether the relay has shown this hand.
        self.is_shown = False

    @property
    def is_up(self) -> bool:
        return self._raised is not None

    def listen(self, place: str, listener: Callable[[], None]) -> None:
        """Calls the listener, from any thread, when `status` has changed. A place has one listener:
        what an earlier cell has shown stays as it is."""
        self._listeners[place] = listener

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
            self._claimed = self._resolved = self.is_shown = False
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
        for place, listener in list(self._listeners.items()):
            try:
                listener()
            except Exception:
                # A display that is gone: its output was cleared, its page closed.
                self._listeners.pop(place, None)

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
                last_id = last_id or self._begin(connection)
                for event_id, data in connection.stream(self._path(), last_id):
                    last_id = event_id or last_id
                    pause = SHORTEST_PAUSE
                    self._read(data)
                    if ended.is_set():
                        break
            except Refused as refused:
                if refused.status < 500:
                    self._poll_until(ended, connection)
                    pause = REFUSED_PAUSE
            except Unreachable:
                pass
            ended.wait(pause * (0.5 + random.random()))
            pause = min(pause * 2, LONGEST_PAUSE)
        connection.close()

    def _begin(self, connection: Connection) -> Optional[str]:
        """The cursor from which the stream goes on where the student's own state ends. Of a relay
        that does not know its callers the state would be the whole class's: it is not asked."""
        if (self._sender.caller or {}).get("role") != "student":
            return None
        answer = connection.get(self._summary())
        summary = answer.json() if answer.status == 200 else None
        self._see(self._own_state(summary))
        cursor = summary.get("cursor") if isinstance(summary, dict) else None
        return cursor if isinstance(cursor, str) else None

    def _poll_until(self, ended: threading.Event, connection: Connection) -> None:
        """Asks for the student's own state, until the hand is down or the relay refuses that."""
        without = 0
        while not ended.is_set():
            try:
                answer = connection.get(self._summary())
            except Unreachable:
                ended.wait(POLL_EVERY * (0.5 + random.random()))
                continue
            if 400 <= answer.status < 500 and answer.status != 429:
                return
            state = self._own_state(answer.json()) if answer.status == 200 else None
            if self._see(state):
                without = 0
            elif state is not None and self.is_shown and self._sender.next_attempt is None:
                without += 1
                if without >= POLLS_WITHOUT_HAND:
                    self._was_resolved()
            ended.wait(POLL_EVERY * (0.5 + random.random()))

    def _see(self, state: Optional[dict]) -> bool:
        """Whether the hand is up in the student's own state. Then the state says who comes."""
        if state is None or not state.get("helpSince"):
            return False
        self.is_shown = True
        self._set_claim("helpClaimedBy" in state, state.get("helpClaimedBy"))
        return True

    def _own_state(self, summary: object) -> Optional[dict]:
        students = summary.get("students") if isinstance(summary, dict) else None
        for student in students if isinstance(students, list) else ():
            if isinstance(student, dict) and student.get("studentId") == self._me():
                return student
        return None

    def _set_claim(self, claimed: bool, by: object) -> None:
        by = by[:100] if isinstance(by, str) else None
        with self._lock:
            claimed = claimed and self._raised is not None
            changed = (claimed, by) != (self._claimed, self._by)
            self._claimed, self._by = claimed, by
        if changed:
            self._tell()

    def _was_resolved(self) -> None:
        if self._end(resolved=True):
            self._record("help_stop", {})
            self._tell()

    def _class(self) -> str:
        return quote(self._sender.class_id, safe="")

    def _summary(self) -> str:
        return f"/api/class/summary?class={self._class()}"

    def _path(self) -> str:
        return f"/api/class/stream?class={self._class()}&fields=-code,-result&max={MAX_FRAME}"

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
            self.is_shown |= kind == "help"
            if kind == "help_claimed":
                by = event.get("by") or event.get("actor")
                # An instructor can think better of it.
                self._set_claim(event.get("released") is not True, by)
            elif kind == "help_resolved":
                self._was_resolved()

    def _me(self) -> str:
        """The student's id as the relay writes it: it normalises a token's subject too."""
        caller, user = self._sender.caller or {}, self._settings.user
        if caller.get("role") == "student" and isinstance(caller.get("subject"), str):
            user = str(caller["subject"])
        user = unicodedata.normalize("NFC", user.strip())
        return user.lower() if "@" in user else user
