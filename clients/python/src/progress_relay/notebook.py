"""Which notebook a kernel belongs to, and where a cell stands in it.

The kernel protocol does not say it. What is known: Jupyter Server puts the notebook's path into
JPY_SESSION_NAME when it starts the kernel (so a rename is not seen until a restart), and VS Code
puts it into the variable `__vsc_ipynb_file__`. The path is made relative to the server's folder, so
that one notebook has one name for all students, as in clients that run in the browser.

VS Code gives no id of a cell but the address of its editor, in whose fragment is the cell's number:
cells are numbered in their order when the notebook is opened, and a cell that is added later gets
the next number. So a number is the same cell for all students until someone saves another order.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from pathlib import Path
from typing import Dict, Mapping, Optional, Tuple
from urllib.parse import urlsplit

VSCODE_VARIABLE = "__vsc_ipynb_file__"
VSCODE_CELL = "vscode-notebook-cell"
# A letter for the number's length, the number to the base 7, and the kind of file system, which
# differs between students.
VSCODE_FRAGMENT = re.compile(r"[W-Za-fz]([0-6]{1,12})s")
# VS Code's addition to a notebook's name, where it works with a Jupyter server.
VSCODE_SUFFIX = re.compile(r"-jvsc-[0-9A-Fa-f-]+(?=\.ipynb$)")
# Reading a larger notebook would hold the interpreter's lock for too long.
MAX_NOTEBOOK = 4 * 1024 * 1024
REREAD_AFTER = 10.0


class Notebook:
    def __init__(self, named: Optional[str], environment: Mapping[str, str]) -> None:
        self._named = named
        self._session = environment.get("JPY_SESSION_NAME") or None
        self._root = _server_root(environment)
        self._indices: Dict[str, int] = {}
        self._file: Optional[str] = None
        self._read_at = float("-inf")
        self._modified: Optional[int] = None
        self._lock = threading.Lock()

    def path(self, names: Mapping[str, object]) -> Optional[str]:
        """The path for the relay; `names` are the student's variables."""
        if self._named:
            return self._named
        file = names.get(VSCODE_VARIABLE)
        # A student may bind the name to anything: only a plain text counts.
        if type(file) is not str:
            file = self._session
        if not file:
            return None
        if file.endswith(".ipynb"):
            self._file = file
            file = VSCODE_SUFFIX.sub("", file)
        # Else a console, whose session has a name and no notebook, or a program with cells.
        return self._relative(file)

    def _relative(self, file: str) -> str:
        if not os.path.isabs(file):
            return file.replace(os.sep, "/")
        for root in (self._root, os.path.expanduser("~")):
            # VS Code writes the letter of a Windows disk small, the system large.
            start = os.path.normcase(root or "").rstrip(os.sep) + os.sep
            if root and os.path.normcase(file).startswith(start):
                return file[len(start) :].replace(os.sep, "/")
        return os.path.basename(file)

    def index(self, cell_id: Optional[str]) -> Optional[int]:
        """Where the cell stands in the notebook as it was last saved, counted from 0."""
        return self._indices.get(cell_id) if cell_id else None

    def refresh(self, cell_id: Optional[str]) -> None:
        """Reads the notebook if it may say where this cell stands. Called by a thread."""
        file = self._file
        if file is None or cell_id in self._indices:
            return
        if not self._lock.acquire(blocking=False):
            return
        try:
            now = time.monotonic()
            status = os.stat(file)
            if now - self._read_at < REREAD_AFTER or status.st_mtime_ns == self._modified:
                return
            self._read_at, self._modified = now, status.st_mtime_ns
            if status.st_size <= MAX_NOTEBOOK:
                cells = json.loads(Path(file).read_bytes())["cells"]
                ids = [cell.get("id") for cell in cells]
                self._indices = {name: at for at, name in enumerate(ids) if isinstance(name, str)}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            pass  # Being written, or no notebook: the index is left out.
        finally:
            self._lock.release()


def cell_place(raw: object) -> Tuple[Optional[str], Optional[int]]:
    """The id of a cell by what its front end gives, and the index, if that says it."""
    if type(raw) is not str or not raw:
        return None, None
    if not raw.startswith(VSCODE_CELL):
        return raw, None
    try:
        address = urlsplit(raw)
    except ValueError:
        return None, None
    found = VSCODE_FRAGMENT.match(address.fragment)
    if found is None or not address.path.endswith(".ipynb"):
        # In the window for programs with cells, each run is a new cell.
        return address.fragment or None, None
    number = int(found.group(1), 7)
    return f"vscode-{number}", number


def _server_root(environment: Mapping[str, str]) -> Optional[str]:
    """The folder that Jupyter Server shows, by the file in which a running server describes itself.
    Of that file only this member is used: it has a token too."""
    server = environment.get("JPY_PARENT_PID", "")
    runtime = environment.get("JUPYTER_RUNTIME_DIR")
    if not runtime:
        data = environment.get("XDG_DATA_HOME")
        home = Path(data) if data else Path(os.path.expanduser("~")) / ".local" / "share"
        runtime = str(home / "jupyter" / "runtime")
    if server.isdigit():
        try:
            described = json.loads((Path(runtime) / f"jpserver-{server}.json").read_bytes())
            root = described.get("root_dir")
            if isinstance(root, str) and root:
                return os.path.expanduser(root)
        except (OSError, ValueError, AttributeError):
            pass
    return environment.get("JUPYTERHUB_ROOT_DIR") or None
