"""From a run of a cell, as IPython reports it, to an event.

This is the code that runs while the student waits. It calls nothing of the student's: no repr, no
str of an exception, no comparison of values. A repr can raise, hang, or change what it shows. What
IPython has displayed is there as text already: in the history of outputs, and in the traceback.
"""

from __future__ import annotations

import json
import random
import re
import time
import uuid
from datetime import datetime, timezone
from typing import Dict, List, Optional, Tuple

from .notebook import Notebook, cell_place
from .printed import Printed
from .settings import Settings
from .transport import AGENT

# In characters. Longer texts are cut, and the event's member `cut` names them.
MAX_CODE = 128 * 1024
MAX_RESULT = 32 * 1024
MAX_ERROR = 4 * 1024
# Runs that have begun and not ended: cells that run other cells.
MAX_BEGUN = 64
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_OWN_LINE = re.compile(
    r"\s*(#.*|%(progress|hand|hand_down|hand_button)\b.*|%(re)?load_ext\s+progress_relay\b.*)?"
)
# A cell of the student's is longer than a few magics.
_LONGEST_OWN_CELL = 1000


class Runs:
    """Turns runs into events."""

    def __init__(self, settings: Settings, notebook: Notebook, session: str) -> None:
        self.settings = settings
        self.notebook = notebook
        self.session = session
        self.last_cell: Optional[str] = None
        self.printed = Printed()
        self._begun: Dict[int, Tuple[object, float, object]] = {}
        # Not uuid4: it asks the system each time, which gives the interpreter's lock away. Nor the
        # module's generator, which a student may seed.
        self._random = random.Random()

    def begin(self, info: object, shell: object) -> None:
        if len(self._begun) >= MAX_BEGUN:
            self._begun.clear()
        self.printed.begin()
        # The info is kept, so that no other one can have its id meanwhile.
        traceback = getattr(shell, "_last_traceback", None)
        self._begun[id(info)] = (info, time.perf_counter(), traceback)

    def end(self, result: object, shell: object) -> Optional[dict]:
        """The event of a run, or None where no cell of a notebook has run."""
        ended = time.perf_counter()
        info, begun, traceback = self._match(getattr(result, "info", None))
        code = getattr(info, "raw_cell", None)
        if type(code) is not str or not getattr(info, "store_history", False):
            return None
        if getattr(info, "silent", False) or not code or code.isspace() or is_own_cell(code):
            return None
        count = getattr(result, "execution_count", None)
        if count is None and type(getattr(shell, "execution_count", None)) is int:
            count = shell.execution_count - 1  # type: ignore[attr-defined]
        event = self._event("cell_executed", shell)
        event["cellType"] = "code"
        cell, index = cell_place(getattr(info, "cell_id", None) or _cell_of_request(shell))
        self.last_cell = cell
        if cell:
            event["cellId"] = cell
            if index is None:
                index = self.notebook.index(cell)
            if index is not None:
                event["cellIndex"] = index
        if type(count) is int:
            event["executionCount"] = count
        if begun is not None:
            event["executionDurationMs"] = round((ended - begun) * 1000)
        self._add_outcome(event, result, shell, traceback, count)
        if self.settings.capture in ("all", "no-output"):
            _add_text(event, "code", code, MAX_CODE)
        return event

    def _match(self, info: object) -> Tuple[object, Optional[float], object]:
        """A run that has ended, with what was noted at its beginning. IPython reports a cell whose
        traceback could not be shown by another object, and a cancelled one by none."""
        if id(info) in self._begun:
            return self._begun.pop(id(info))
        if self._begun:
            key = next(reversed(self._begun))
            begun = self._begun[key]
            code = getattr(begun[0], "raw_cell", None)
            if info is None or getattr(info, "raw_cell", None) is code:
                return self._begun.pop(key)
        return info, None, None

    def _add_outcome(
        self, event: dict, result: object, shell: object, before: object, count: object
    ) -> None:
        error = getattr(result, "error_before_exec", None)
        if error is None:
            error = getattr(result, "error_in_exec", None)
        shown = getattr(shell, "_last_traceback", None)
        is_new = shown is not before
        display_failed = error is None and _display_failed(result, shell, is_new, count)
        event["hasError"] = error is not None or display_failed or result is None
        capture = self.settings.capture
        if event["hasError"]:
            name = type(error).__name__ if error is not None else "Error"
            if result is None:
                name = "KeyboardInterrupt"
            message = _message(shown) if is_new else None
            if message and issubclass(type(error), SyntaxError):
                # The lines before it show the code.
                message = message.splitlines()[-1]
            if capture == "metadata":
                message = name
            _add_text(event, "errorMessage", message or name, MAX_ERROR)
        if capture in ("all", "no-code") and type(count) is int:
            text = _displayed(shell, count, self.printed.take(shell))
            if text:
                _add_text(event, "result", text, MAX_RESULT)

    def other(self, event_type: str, shell: object) -> dict:
        """An event that is no run: a raised hand, an opened notebook."""
        event = self._event(event_type, shell)
        if self.last_cell and event_type.startswith("help"):
            event["cellId"] = self.last_cell
        return event

    def _event(self, event_type: str, shell: object) -> dict:
        settings = self.settings
        event = {
            "eventId": str(uuid.UUID(int=self._random.getrandbits(128), version=4)),
            "eventType": event_type,
            "eventTime": datetime.now(timezone.utc).isoformat(timespec="microseconds"),
            "userId": settings.user,
            "sessionId": self.session,
            "client": AGENT,
        }
        optional = (
            ("userName", settings.user_name),
            ("teamName", settings.team),
            ("classId", settings.class_id),
            ("notebookPath", self.notebook.path(getattr(shell, "user_ns", {}))),
        )
        event.update((name, value) for name, value in optional if value)
        return event


def encode(event: dict) -> bytes:
    """One line of UTF-8. A lone surrogate stays an escape, which the relay understands."""
    try:
        text = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8") + b"\n"
    except UnicodeEncodeError:
        return json.dumps(event, separators=(",", ":")).encode("ascii") + b"\n"


def is_own_cell(code: str) -> bool:
    """Whether a cell has nothing but this package's magics: it is no work of the student's."""
    if len(code) > _LONGEST_OWN_CELL or "%" not in code:
        return False
    return all(_OWN_LINE.fullmatch(line) for line in code.splitlines())


def _add_text(event: dict, name: str, text: str, longest: int) -> None:
    # A subclass of str may have its own len and slices, which are the student's code.
    if str.__len__(text) > longest:
        text = str.__getitem__(text, slice(longest))
        event.setdefault("cut", []).append(name)
    event[name] = str.__str__(text) if type(text) is str else str.__add__("", text)


def _display_failed(result: object, shell: object, traceback_is_new: bool, count: object) -> bool:
    """Whether the value's own repr has failed: IPython shows a traceback, and calls the run a
    success. IPython 9 says it; before, there is a value and a new traceback, and no text of the
    value."""
    if getattr(shell, "_last_traceback_during_displayhook", False) is True:
        return True
    history = getattr(shell, "history_manager", None)
    reprs = getattr(history, "output_hist_reprs", None)
    if isinstance(getattr(history, "outputs", None), dict) or not isinstance(reprs, dict):
        return False
    has_value = getattr(result, "result", None) is not None
    return traceback_is_new and has_value and count not in reprs


def _message(traceback: object) -> Optional[str]:
    """The last part of a traceback that IPython has made: the name of the error and its text."""
    if not isinstance(traceback, (list, tuple)):
        return None
    for part in reversed(traceback):
        if type(part) is str:
            # "KeyboardInterrupt: " has no text.
            text = _ANSI.sub("", part[: 4 * MAX_ERROR]).strip().rstrip(": ")
            if text:
                return text
    return None


def _displayed(shell: object, count: int, printed: Optional[str]) -> Optional[str]:
    """What the cell has printed and its value, as IPython has shown them. IPython before 9 keeps
    the value alone; IPython 9 keeps what synchronous cells print too."""
    history = getattr(shell, "history_manager", None)
    outputs = getattr(history, "outputs", None)
    parts: List[str] = [printed] if printed else []
    if isinstance(outputs, dict):
        room = MAX_RESULT + 1 - len(printed or "")
        # `get`: the dictionary makes an entry for a missing key.
        for output in outputs.get(count, ()):
            if room <= 0:
                break
            text = _text_of(output, room)
            parts.append(text)
            room -= len(text)
        return "".join(parts).rstrip("\n") or None
    reprs = getattr(history, "output_hist_reprs", None)
    text = reprs.get(count) if isinstance(reprs, dict) else None
    if isinstance(text, str):
        parts.append(str.__getitem__(text, slice(MAX_RESULT + 1)))
    return "".join(parts).rstrip("\n") or None


def _text_of(output: object, room: int) -> str:
    kind = getattr(output, "output_type", None)
    bundle = getattr(output, "bundle", None)
    if not isinstance(bundle, dict):
        return ""
    if kind == "out_stream":
        taken: List[str] = []
        for piece in bundle.get("stream", ()):
            if room <= 0:
                break
            if type(piece) is str:
                taken.append(piece[:room])
                room -= len(piece)
        return "".join(taken)
    if kind in ("execute_result", "display_data"):
        text = bundle.get("text/plain")
        if isinstance(text, str):
            return str.__getitem__(text, slice(room)) + "\n"
    return ""


def _cell_of_request(shell: object) -> object:
    """The cell's id by the request's metadata, where IPython is too old to pass it on."""
    try:
        parent = shell.parent_header  # type: ignore[attr-defined]
        metadata = parent.get("metadata") if isinstance(parent, dict) else None
        return metadata.get("cellId") if isinstance(metadata, dict) else None
    except Exception:
        return None
