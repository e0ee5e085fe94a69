"""The start-up file by which every kernel of an environment, a machine or a user records.

pip puts such a file into the environment that the package is installed in. These commands are for
where pip cannot: for all environments of a machine, and for one user.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

NAME = "50-progress-relay.py"
TEXT = """\
# Written by: python -m progress_relay install
# IPython runs this file when a kernel starts. It does nothing unless RELAY_URL is set. It binds no
# name, since a name would appear among the student's variables.
try:
    __import__("progress_relay").autoload()
except ImportError:
    # This kernel's environment has not the package: it starts all the same.
    pass
"""


def folder(where: str) -> Path:
    if where == "system":
        if sys.platform == "win32":
            return Path(os.environ.get("PROGRAMDATA", r"C:\ProgramData")) / "ipython" / "startup"
        return Path("/etc/ipython/startup")
    if where == "environment":
        return Path(sys.prefix) / "etc" / "ipython" / "startup"
    home = os.environ.get("IPYTHONDIR") or str(Path.home() / ".ipython")
    return Path(home) / "profile_default" / "startup"


def install(where: str) -> int:
    path = folder(where) / NAME
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TEXT, encoding="utf-8")
    except OSError as error:
        print(f"cannot write {path}: {error.strerror}", file=sys.stderr)
        return 1
    print(f"{path} is written: kernels that start with RELAY_URL in their environment record")
    return 0


def uninstall(where: str) -> int:
    path = folder(where) / NAME
    try:
        path.unlink()
    except FileNotFoundError:
        print(f"{path} is not there")
        return 0
    except OSError as error:
        print(f"cannot remove {path}: {error.strerror}", file=sys.stderr)
        return 1
    print(f"{path} is removed")
    return 0
