"""The thread that sends what the spool holds, and decides what an answer means for each event.

One rule: an event leaves the spool when the relay has said that it has it (accepted, or a duplicate
of what it has), or when the relay has refused this very event, which is then kept aside. Every
other answer keeps it: no answer, 5xx, 429, a refused credential, a wrong address, a redirect, the
page of a captive portal that answers 200. The wait before the next attempt grows, has jitter so
that a class does not return at once, and is never shorter than the relay's Retry-After.
"""

from __future__ import annotations

import random
import threading
import time
from typing import Dict, List, Optional

from .settings import Settings
from .spool import Batch, Spool
from .transport import Answer, Connection, Unreachable

MAX_EVENTS = 100
MAX_BYTES = 512 * 1024
# A run that ends wakes the sender, which lets the kernel finish with the cell first: the two share
# the interpreter's lock. Runs in quick succession are sent together.
LINGER = 0.02
# The look for what other kernels have left.
IDLE = 5.0
FIRST_WAIT = 0.5


class Backoff:
    def __init__(self, longest: float) -> None:
        self.longest = longest
        self.failures = 0

    def next_wait(self, retry_after: Optional[float]) -> float:
        bound = min(FIRST_WAIT * 2 ** min(self.failures, 16), self.longest)
        self.failures += 1
        # Between a tenth and the whole: never a storm of attempts.
        wait = bound * (0.1 + 0.9 * random.random())
        if retry_after is not None:
            wait = max(wait, retry_after * (1 + 0.25 * random.random()))
        return wait

    def reset(self) -> None:
        self.failures = 0


class Sender:
    def __init__(self, settings: Settings, spool: Spool) -> None:
        self.settings = settings
        self.spool = spool
        self.sent = 0
        self.duplicates = 0
        self.last_sent: Optional[float] = None
        self.last_error: Optional[str] = None
        self.last_error_at: Optional[float] = None
        self.next_attempt: Optional[float] = None
        # Whether there was nothing left to send at the last look.
        self.is_idle = False
        # Whom the relay takes this client for.
        self.caller: Optional[Dict[str, object]] = None
        self._asked = False
        self._connection = Connection(settings)
        self._backoff = Backoff(settings.longest_wait)
        self._limit = MAX_EVENTS
        self._wake = threading.Event()
        self._now = threading.Event()
        self._stopping = False
        self._live: Optional[bytes] = None
        self._thread = threading.Thread(target=self._run, name="progress-relay", daemon=True)

    @property
    def class_id(self) -> str:
        """The class in which the relay stores this student's events: the only one of a token's
        counts where no other one is set."""
        classes = (self.caller or {}).get("classes")
        if not self.settings.class_id and isinstance(classes, list) and len(classes) == 1:
            if "*" not in str(classes[0]):
                return str(classes[0])
        return self.settings.class_id or "default"

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """There is something to send."""
        self._wake.set()

    def try_now(self) -> None:
        """Ends a wait between attempts."""
        self._now.set()
        self._wake.set()

    def send_live(self, line: bytes) -> None:
        """Sends an event that means nothing later, such as the repeat of a raised hand: once, if
        the relay can be reached now, and after everything that waits."""
        self._live = line
        self._wake.set()

    def stop(self, patience: float) -> None:
        """Sends what it can within `patience` seconds."""
        self._stopping = True
        self.try_now()
        self._thread.join(patience)

    def _run(self) -> None:
        while True:
            try:
                self._wait_for_work()
                self._send_all()
            except Exception as error:  # A fault here must not end the thread.
                self._failed(f"{type(error).__name__}: {error}", None)
            if self._stopping:
                self._connection.close()
                return

    def _wait_for_work(self) -> None:
        if not self._stopping:
            self._wake.wait(IDLE)
            if self._wake.is_set() and not self._stopping:
                time.sleep(LINGER)
        self._wake.clear()

    def _send_all(self) -> None:
        """Sends until there is nothing left, or an attempt has failed while it is to stop."""
        if not self.settings.url:
            return
        while True:
            self.spool.scan()
            batch = self.spool.take(self._limit, MAX_BYTES)
            self.is_idle = batch is None
            if batch is None:
                self._send_live_event()
                return
            if not self._send(batch) and self._stopping:
                return

    def _send_live_event(self) -> None:
        line, self._live = self._live, None
        if line is None:
            return
        try:
            answer = self._connection.post(b"[" + line + b"]")
        except Unreachable as error:
            self._note(str(error))
            return
        if answer.status != 200:
            self._note(f"the relay answered {answer.status}")

    def _send(self, batch: Batch) -> bool:
        """Sends a batch and draws the conclusions; waits after a failure. Whether it succeeded."""
        try:
            answer = self._connection.post(b"[" + b",".join(batch.lines) + b"]")
        except (Unreachable, OSError) as error:
            return self._failed(str(error), None)
        if answer.status == 200 or answer.status == 422:
            judged = _judge(answer, len(batch.lines))
            if judged is not None:
                self._settle(batch, answer, judged)
                self._ask_who_i_am()
                return True
        if answer.status in (400, 413, 422):
            return self._divide(batch, answer)
        return self._failed(_explain(answer, self.settings), answer.retry_after)

    def _settle(self, batch: Batch, answer: Answer, rejected: Dict[int, str]) -> None:
        for index, reason in rejected.items():
            self.spool.set_aside(batch.lines[index], reason)
        self.spool.done(batch)
        body = answer.json()
        if answer.status == 200 and isinstance(body, dict):
            self.sent += body.get("accepted", 0)
            self.duplicates += body.get("duplicates", 0)
            self.last_sent = time.time()
        if rejected:
            reasons = sorted(set(rejected.values()))
            self._note(f"the relay refused {len(rejected)} events: {'; '.join(reasons[:3])}")
        self._backoff.reset()
        self.next_attempt = None
        self._limit = min(self._limit * 2, MAX_EVENTS)

    def _divide(self, batch: Batch, answer: Answer) -> bool:
        """The batch is too large, or something in it cannot be read or stored: find the event by
        halves, so that it does not keep the others for ever."""
        if len(batch.lines) > 1:
            self._limit = max(1, len(batch.lines) // 2)
            return True
        problem = answer.problem()
        if answer.status == 413 or problem is not None:
            title = (problem or {}).get("title", "too large for a proxy before the relay")
            self.spool.set_aside(batch.lines[0], f"{answer.status}: {title}")
            self.spool.done(batch)
            self._note(f"the relay refused an event: {title}")
            return True
        return self._failed(_explain(answer, self.settings), answer.retry_after)

    def _note(self, text: str) -> None:
        self.last_error, self.last_error_at = text, time.time()

    def _failed(self, text: str, retry_after: Optional[float]) -> bool:
        self._note(text)
        if self._stopping:
            return False
        wait = self._backoff.next_wait(retry_after)
        self.next_attempt = time.time() + wait
        self._now.clear()
        self._now.wait(wait)
        self.next_attempt = None
        return False

    def _ask_who_i_am(self) -> None:
        """Once the relay takes this client's events: a token of a student's decides who the
        student is, whatever the settings say."""
        if self._asked or self._stopping:
            return
        try:
            answer = self._connection.get("/api/me")
        except (Unreachable, OSError):
            return
        if answer.status < 500:
            self._asked = True
            body = answer.json()
            if answer.status == 200 and isinstance(body, dict) and "subject" in body:
                self.caller = body


def _judge(answer: Answer, events: int) -> Optional[Dict[int, str]]:
    """The events that the relay refused, with the reasons; None if this is no answer of a relay's
    to so many events."""
    body = answer.json() if answer.status == 200 else answer.problem()
    if not isinstance(body, dict):
        return None
    rejected = body.get("rejected")
    if not isinstance(rejected, list):
        return None
    reasons: Dict[int, str] = {}
    for entry in rejected:
        index = entry.get("index") if isinstance(entry, dict) else None
        if type(index) is not int or not 0 <= index < events:
            return None
        reasons[index] = f"{entry.get('field')}: {entry.get('reason')}"
    taken = [body.get("accepted", 0), body.get("duplicates", 0)]
    if not all(type(count) is int and count >= 0 for count in taken):
        return None
    return reasons if sum(taken) + len(reasons) == events else None


def _explain(answer: Answer, settings: Settings) -> str:
    problem = answer.problem()
    status = answer.status
    if problem is None:
        if 300 <= status < 400:
            return f"{settings.url} redirects to {_without_query(answer.location)}: correct the URL"
        if status == 200:
            return f"{settings.url} answers, but is no relay: a login page of the network?"
        return f"{settings.url} answered {status}, and not as a relay does"
    texts: List[str] = [str(problem[name]) for name in ("title", "detail") if problem.get(name)]
    what = f"the relay answered {status}: {'; '.join(texts)}"
    if status in (401, 403):
        what += f" (the credential is of {settings.source_of_identity})"
    return what


def _without_query(location: Optional[str]) -> str:
    return (location or "another address").partition("?")[0]
