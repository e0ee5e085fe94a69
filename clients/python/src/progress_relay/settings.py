"""Who sends what to where: environment variables, JupyterHub's variables, and one URL.

Nothing here raises for a wrong value: an exception would appear in a student's notebook. What is
wrong is named in `problems`, which `%progress` shows.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import sys
import tempfile
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Mapping, Optional
from urllib.parse import parse_qs, urlsplit, urlunsplit

CAPTURES = ("all", "no-output", "no-code", "metadata")
# The paths to which other clients post. Their URLs are accepted as they are.
INGEST_PATHS = ("/student-progress", "/api/v1/events")
# A token file holds one line.
MAX_TOKEN = 16 * 1024
DEFAULT_SPOOL_BYTES = 64 * 1024 * 1024
SMALLEST_SPOOL_BYTES = 64 * 1024
DEFAULT_LONGEST_WAIT = 60.0


@dataclass
class Settings:
    url: Optional[str] = None
    class_id: Optional[str] = None
    user: str = ""
    user_name: Optional[str] = None
    team: Optional[str] = None
    notebook: Optional[str] = None
    capture: str = "all"
    ca_file: Optional[str] = None
    spool_root: Path = Path()
    spool_bytes: int = DEFAULT_SPOOL_BYTES
    longest_wait: float = DEFAULT_LONGEST_WAIT
    enabled: bool = True
    problems: list = field(default_factory=list)
    token: Optional[str] = field(default=None, repr=False)
    token_file: Optional[str] = None
    hub_token: Optional[str] = field(default=None, repr=False)

    @property
    def spool(self) -> Path:
        """The folder of the runs that wait. Runs for another relay, class or student lie in another
        folder, so that they are never sent with a credential that is not theirs."""
        key = "\n".join((self.url or "", self.class_id or "", self.user))
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
        return self.spool_root / digest[:16]

    def authorization(self) -> Optional[str]:
        """The header's value. The file is read each time, so that a new token counts at once."""
        token = self.token
        if self.token_file:
            with open(self.token_file, encoding="utf-8") as file:
                token = file.read(MAX_TOKEN).strip()
        if not token and not self.hub_token:
            return None
        if token == "none":
            return None
        header = f"Bearer {token}" if token else f"token {self.hub_token}"
        if not header.isascii() or not header.isprintable():
            # http.client would name the header's value in its error.
            raise OSError("the token has characters that no header can carry")
        return header

    @property
    def source_of_identity(self) -> str:
        if self.token_file:
            return "RELAY_TOKEN_FILE"
        if self.token:
            return "no token" if self.token == "none" else "RELAY_TOKEN"
        return "JUPYTERHUB_API_TOKEN" if self.hub_token else "no token"


def read(environment: Optional[Mapping[str, str]] = None, **given: Optional[str]) -> Settings:
    """Reads the settings. `given` has what was typed in the notebook: url, class_id, user."""
    environment = os.environ if environment is None else environment

    def value(*names: str) -> Optional[str]:
        return next((environment[name].strip() for name in names if environment.get(name)), None)

    settings = Settings(problems=[])
    _set_url(settings, given.get("url") or value("RELAY_URL", "PROGRESS_RELAY_URL"))
    settings.class_id = given.get("class_id") or settings.class_id or value("RELAY_CLASS")
    user = given.get("user") or value("RELAY_USER", "JUPYTERHUB_USER") or _login_name()
    settings.user = unicodedata.normalize("NFC", user.strip())
    settings.user_name = value("RELAY_USER_NAME")
    settings.team = value("RELAY_TEAM")
    settings.notebook = value("RELAY_NOTEBOOK")
    settings.ca_file = value("RELAY_CA_FILE")
    settings.token = settings.token or value("RELAY_TOKEN")
    settings.token_file = None if settings.token else value("RELAY_TOKEN_FILE")
    if not settings.token and not settings.token_file:
        settings.hub_token = value("JUPYTERHUB_API_TOKEN")
    settings.spool_root = Path(value("RELAY_SPOOL_DIR") or default_spool(environment))
    settings.spool_bytes = int(
        _number(settings, value("RELAY_SPOOL_BYTES"), "RELAY_SPOOL_BYTES", DEFAULT_SPOOL_BYTES)
    )
    settings.spool_bytes = max(settings.spool_bytes, SMALLEST_SPOOL_BYTES)
    settings.longest_wait = _number(
        settings, value("RELAY_LONGEST_WAIT"), "RELAY_LONGEST_WAIT", DEFAULT_LONGEST_WAIT
    )
    switch = (value("PROGRESS_RELAY") or "on").lower()
    settings.enabled = switch not in ("off", "0", "false", "no")
    _set_capture(settings, value("RELAY_CAPTURE"))
    return settings


def _set_url(settings: Settings, text: Optional[str]) -> None:
    if not text:
        settings.problems.append("RELAY_URL is not set: nothing is sent")
        return
    try:
        parts = urlsplit(text.strip())
        # `port` raises for what is no number.
        host, _port = parts.hostname, parts.port
    except ValueError:
        host = None
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not host:
        # The text itself may hold a token.
        settings.problems.append("RELAY_URL is no http or https URL: nothing is sent")
        return
    path = parts.path.rstrip("/")
    for ingest in INGEST_PATHS:
        if path.endswith(ingest):
            path = path[: -len(ingest)]
    query = parse_qs(parts.query)
    settings.token = query.get("token", [None])[0]
    settings.class_id = query.get("class", [None])[0]
    netloc = parts.netloc.rpartition("@")[2]
    settings.url = urlunsplit((parts.scheme, netloc, path.rstrip("/"), "", ""))
    local = host in ("localhost", "::1") or host.startswith("127.")
    if parts.scheme == "http" and settings.token and not local:
        settings.problems.append("the token travels in clear: use an https URL")


def _set_capture(settings: Settings, text: Optional[str]) -> None:
    capture = (text or "all").lower()
    if capture not in CAPTURES:
        # A misspelt policy must not send more than was meant.
        settings.problems.append(
            f"RELAY_CAPTURE={capture} is none of {', '.join(CAPTURES)}: metadata is used"
        )
        capture = "metadata"
    settings.capture = capture


def _number(settings: Settings, text: Optional[str], name: str, default: float) -> float:
    if text is None:
        return default
    try:
        number = float(text)
        if number > 0:
            return number
    except ValueError:
        pass
    settings.problems.append(f"{name} is no positive number: {default:g} is used")
    return default


def _login_name() -> str:
    try:
        return getpass.getuser()
    except Exception:  # No variable and no entry in the system's list: containers have such users.
        return f"uid-{os.getuid()}" if hasattr(os, "getuid") else "unknown"


def default_spool(environment: Mapping[str, str]) -> Path:
    """The folder where programs keep their state, or a private one where no home is writable."""
    if sys.platform == "win32":
        base = environment.get("LOCALAPPDATA")
        return (Path(base) if base else Path.home()) / "progress-relay"
    state = environment.get("XDG_STATE_HOME")
    try:
        home = Path(state) if state else Path.home() / ".local" / "state"
    except RuntimeError:
        home = Path("/nonexistent")
    existing = next((folder for folder in (home, *home.parents) if folder.exists()), None)
    if existing is not None and os.access(existing, os.W_OK | os.X_OK):
        return home / "progress-relay"
    return Path(tempfile.gettempdir()) / f"progress-relay-{os.getuid()}"
