"""One kernel's client: it puts the parts together, and keeps what goes wrong away from the student.

A kernel has one client at a time. Every entry from IPython is guarded: an exception of ours would
be printed into the notebook, and an interrupt (the student's stop button) that arrives in our code
would be reported as ours and could lose the run.
"""

from __future__ import annotations

import atexit
import os
import threading
import uuid
import weakref
from typing import Optional

from .hand import Hand
from .notebook import Notebook
from .runs import Runs, encode
from .sender import Sender
from .settings import Settings
from .spool import Spool

# How long the end of a kernel waits for the last runs to be sent. What is left is in the spool.
# Jupyter kills a kernel that has not ended 5 s after it was asked to.
END_PATIENCE = 1.5
# The file by which a student keeps it off in the kernels to come.
OFF_FILE = "off"
_ATTEMPTS = 3

_forked: weakref.WeakSet = weakref.WeakSet()


class Client:
    def __init__(self, settings: Settings, shell: object) -> None:
        self.settings = settings
        self.shell = shell
        # executionCount begins again in each kernel: the session tells two kernels' runs apart.
        self.session = str(uuid.uuid4())
        self.notebook = Notebook(settings.notebook, os.environ)
        self.runs = Runs(settings, self.notebook, self.session)
        self.spool = Spool(settings.spool, settings.spool_bytes)
        self.sender = Sender(settings, self.spool)
        self.hand = Hand(settings, self.sender, self.record, self._repeat)
        self.recorded = 0
        self.faults = 0
        self.last_fault: Optional[str] = None
        self.is_on = False
        self._refresh = threading.Event()
        self._pid = os.getpid()
        self._is_stopped = False

    def start(self) -> None:
        """Begins to send what waits and, unless it is switched off, to record."""
        if self.settings.url:
            self.spool.open()
            self.sender.start()
            thread = threading.Thread(target=self._refresh_forever, name="progress-relay-notebook")
            thread.daemon = True
            thread.start()
            atexit.register(self.stop)
        _forked.add(self)
        if self.settings.enabled and not self._off_file_exists():
            self.switch(True)

    def switch(self, on: bool) -> None:
        if on == self.is_on or (on and not self.settings.url):
            return
        events = self.shell.events  # type: ignore[attr-defined]
        if not on:
            self.hand.take_down()
        self.is_on = on
        if on:
            if self.settings.capture in ("all", "no-code"):
                self.runs.printed.attach()
            events.register("pre_run_cell", self._before)
            events.register("post_run_cell", self._after)
            self.record("notebook_opened", {})
        else:
            self.runs.printed.detach()
            for event, callback in (
                ("pre_run_cell", self._before),
                ("post_run_cell", self._after),
            ):
                try:
                    events.unregister(event, callback)
                except ValueError:
                    pass  # Something has removed it already.

    def stay_off(self, off: bool) -> None:
        """Keeps the choice for the kernels to come."""
        path = self.settings.spool_root / OFF_FILE
        if off:
            os.makedirs(path.parent, mode=0o700, exist_ok=True)
            path.touch()
        elif path.exists():
            path.unlink()

    def _off_file_exists(self) -> bool:
        try:
            return (self.settings.spool_root / OFF_FILE).exists()
        except OSError:
            return False

    def stop(self) -> None:
        """Takes the hand down, sends what it can in a short time, and leaves the rest on disk."""
        if os.getpid() != self._pid:
            return
        self.switch(False)
        atexit.unregister(self.stop)
        _forked.discard(self)
        if self.settings.url:
            self.sender.stop(END_PATIENCE)
            self.spool.close()
        self._is_stopped = True
        self._refresh.set()

    def record(self, event_type: str, more: dict) -> None:
        """Keeps an event that is no run, to be sent."""
        if self.is_on and os.getpid() == self._pid:
            self._keep({**self.runs.other(event_type, self.shell), **more})

    def _repeat(self, more: dict) -> None:
        self.sender.send_live(encode({**self.runs.other("help", self.shell), **more}))

    def _keep(self, event: dict) -> None:
        self.spool.append(encode(event))
        self.recorded += 1
        self.sender.wake()

    def _before(self, info: object) -> None:
        try:
            self.runs.begin(info, self.shell)
        except BaseException as error:  # An interrupt too: the cell has not begun.
            self._fault(error)

    def _after(self, result: object) -> None:
        if os.getpid() != self._pid:
            return  # A child that was forked in a cell ends the cell as well.
        event: Optional[dict] = None
        for _ in range(_ATTEMPTS):
            try:
                if event is None:
                    event = self.runs.end(result, self.shell)
                if event is not None:
                    self._keep(event)
                    self._refresh.set()
                return
            except BaseException as error:
                # The cell is over: an interrupt now has nothing to stop. The event keeps its id, so
                # a second attempt that finds it kept already is one run at the relay.
                self._fault(error)

    def _fault(self, error: BaseException) -> None:
        self.faults += 1
        # Only the kind: the text of an error could be the student's.
        self.last_fault = type(error).__name__

    def _refresh_forever(self) -> None:
        while True:
            self._refresh.wait()
            self._refresh.clear()
            if self._is_stopped:
                return
            self.notebook.refresh(self.runs.last_cell)


def _after_fork() -> None:
    """In a forked child there are no threads, and the spool is the parent's."""
    for client in list(_forked):
        client.is_on = False
        client.hand.drop()
        client.spool.abandon_in_child()
        _forked.discard(client)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
