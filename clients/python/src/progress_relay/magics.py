"""What a student can type: %progress, %hand, %hand_down, %hand_button."""

from __future__ import annotations

import html
import shlex
import time
import uuid
from typing import Callable, List, Optional

from .client import Client
from .words import say

USAGE = """\
%progress                    what is sent, where to, what waits, the last error
%progress off | on           stop, or begin again, to record in this kernel
%progress off always         the same in every kernel to come, until: %progress on
%progress send               try to send now
%progress forget             delete what waits to be sent
%progress to URL [class=NAME] [user=NAME]
%hand [text]  %hand_down  %hand_button
"""


class Magics:
    """The magics of one shell. `restart` makes another client, with what was typed."""

    def __init__(self, client: Client, restart: Callable[..., Client]) -> None:
        self.client = client
        self._restart = restart

    def register(self, shell) -> None:
        for name in ("progress", "hand", "hand_down", "hand_button"):
            shell.register_magic_function(getattr(self, name), "line", name)

    def progress(self, line: str) -> None:
        """Say what is sent to the relay; `%progress help` lists what else it does."""
        words = _words(line)
        word = words[0] if words else ""
        if not words:
            print(report(self.client))
        elif word in ("on", "off"):
            self._switch(word == "on", words[1:] == ["always"])
        elif word == "to" and len(words) > 1:
            self._send_to(words[1], words[2:])
        elif word == "send":
            self.client.sender.try_now()
        elif word == "forget":
            print(f"{self.client.spool.forget()} events that waited were deleted")
        else:
            print(USAGE, end="")

    def _switch(self, on: bool, always: bool) -> None:
        try:
            if on or always:
                self.client.stay_off(not on)
        except OSError as error:
            print(f"this kernel alone: {error}")
        self.client.switch(on)
        print(report(self.client))

    def _send_to(self, url: str, words: List[str]) -> None:
        given = dict(word.split("=", 1) for word in words if "=" in word)
        if set(given) - {"class", "user"} or len(given) < len(words):
            print(USAGE, end="")
            return
        self.client = self._restart(
            url=url, class_id=given.get("class"), user=given.get("user")
        )
        if not self.client.is_on:
            print(f"progress-relay: {_state(self.client)}")
        else:
            settings = self.client.settings
            where = f"{settings.url}, class {self.client.sender.class_id}, as {settings.user}"
            print(f"progress-relay: each run of a cell goes to {where}. %progress says more.")
        for problem in self.client.settings.problems:
            print(f"progress-relay: {problem}")

    def hand(self, line: str) -> None:
        """Raise your hand. What you write after it is shown to the instructor."""
        if not self.client.is_on:
            print(say("off"))
            return
        self.client.hand.put_up(line)
        _show(self.client)

    def hand_down(self, line: str) -> None:
        """Take your hand down."""
        self.client.hand.take_down()
        print(self.client.hand.status())

    def hand_button(self, line: str) -> None:
        """Show a button that raises your hand, and takes it down."""
        if not self.client.is_on:
            print(say("off"))
        elif not _show_button(self.client):
            print("ipywidgets is not installed here: %hand and %hand_down do the same")


def _show(client: Client) -> None:
    """Shows the state of the hand below the cell. It changes there, and nowhere else: the student
    has asked for it in this cell."""
    from IPython.display import display, update_display

    if not hasattr(client.shell, "kernel"):
        # A terminal cannot change what it has printed.
        print(client.hand.status())
        return
    display_id = uuid.uuid4().hex
    shown: List[Optional[str]] = [None]

    def bundle() -> dict:
        text = client.hand.status()
        shown[0] = text
        return {"text/plain": text, "text/html": f"<b>✋</b> {html.escape(text)}"}

    def update() -> None:
        if client.hand.status() != shown[0]:
            update_display(bundle(), display_id=display_id, raw=True)

    display(bundle(), display_id=display_id, raw=True)
    client.hand.listen("cell", update)
    # What has changed since it was displayed.
    update()


def _show_button(client: Client) -> bool:
    try:
        import ipywidgets
        from IPython.display import display
    except ImportError:
        return False
    button = ipywidgets.Button(icon="hand-paper-o")
    label = ipywidgets.Label()

    def update() -> None:
        up = client.hand.is_up
        button.description = say("take_down") if up else say("raise")
        button.button_style = "warning" if up else ""
        label.value = client.hand.status()

    def clicked(_button: object) -> None:
        if client.hand.is_up:
            client.hand.take_down()
        elif client.is_on:
            client.hand.put_up("")

    button.on_click(clicked)
    client.hand.listen("button", update)
    update()
    display(ipywidgets.HBox([button, label]))
    return True


def report(client: Client) -> str:
    """What the client does, for people."""
    settings, sender, spool = client.settings, client.sender, client.spool
    sent = {
        "all": "each run of a cell: code, error, output as text, duration",
        "no-output": "each run of a cell: code, error, duration; no output",
        "no-code": "each run of a cell: error, output as text, duration; no code",
        "metadata": "each run of a cell: the kind of an error, duration; no code, no output",
    }[settings.capture]
    caller = sender.caller or {}
    name = caller.get("subject") if caller.get("role") == "student" else settings.user
    waiting, in_memory = spool.waiting()
    rows = [
        ("recording", _state(client)),
        ("sends", sent),
        ("to", f"{settings.url or 'nowhere'}, class {sender.class_id}"),
        ("as", f"{name} ({settings.source_of_identity})"),
        ("sent", f"{sender.sent + sender.duplicates}{_when(', the last', sender.last_sent)}"),
        ("waiting", f"{waiting}{_next(sender.next_attempt)}"),
        ("kept in", f"{spool.folder}, at most {settings.spool_bytes // 1024} KiB; "
                    f"when it is full the oldest go"),
        ("last error", f"{sender.last_error or 'none'}{_when(' at', sender.last_error_at)}"),
    ]
    if in_memory:
        rows.append(("in memory", f"{in_memory} of them would be lost with this kernel"))
    if spool.problem:
        rows.append(("disk", spool.problem))
    if spool.refused:
        rows.append(("refused", f"{spool.refused}, in {spool.folder / 'refused.jsonl'}"))
    if spool.lost:
        rows.append(("LOST", f"{spool.lost}: no room; see {spool.folder / 'lost.jsonl'}"))
    if client.last_fault:
        rows.append(("faults", f"{client.faults} in this client, the last: {client.last_fault}"))
    rows += [("problem", problem) for problem in settings.problems]
    return "\n".join(f"{label:<11} {text}" for label, text in rows)


def _state(client: Client) -> str:
    if client.is_on:
        return "on (%progress off stops it)"
    return "off (%progress on begins it)" if client.settings.url else "off"


def _when(label: str, at: Optional[float]) -> str:
    return f"{label} {time.strftime('%H:%M:%S', time.localtime(at))}" if at else ""


def _next(at: Optional[float]) -> str:
    return f", the next attempt in {max(0, round(at - time.time()))} s" if at else ""


def _words(line: str) -> List[str]:
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()
