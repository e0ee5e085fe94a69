"""Sends each run of a notebook's cell to a progress-relay, and loses none.

    %load_ext progress_relay

in a notebook, or RELAY_URL in the environment of the kernel: README.md says the rest.
"""

from __future__ import annotations

from typing import Optional

from .client import Client
from .settings import read
from .version import VERSION

__version__ = VERSION
__all__ = ["autoload", "load_ipython_extension", "unload_ipython_extension"]

_client: Optional[Client] = None
_magics = None


def load_ipython_extension(shell) -> None:
    """`%load_ext progress_relay`. It says something only where nothing could be sent."""
    if _client is None:
        _start(shell)
        if _client and not _client.settings.url:
            print(
                "progress-relay is loaded and sends nothing yet: RELAY_URL is not set, "
                "or: %progress to URL [class=NAME] [user=NAME]"
            )
            return
        for problem in _client.settings.problems if _client else ():
            print(f"progress-relay: {problem}")


def unload_ipython_extension(shell) -> None:
    global _client
    if _client is not None:
        _client.stop()
        _client = None


def autoload() -> None:
    """For start-up files: begins if RELAY_URL is set, without a word in the notebook."""
    from IPython import get_ipython

    shell = get_ipython()
    if shell is not None and _client is None and read().url:
        _start(shell)


def _start(shell) -> None:
    _begin(shell)
    global _magics
    from .magics import Magics

    if _magics is None:
        _magics = Magics(_client, lambda **given: _begin(shell, **given))
        _magics.register(shell)
    else:
        _magics.client = _client


def _begin(shell, **given: Optional[str]) -> Client:
    global _client
    if _client is not None:
        _client.stop()
    _client = Client(read(**given), shell)
    _client.start()
    return _client
