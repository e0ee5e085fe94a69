"""HTTP to the relay: one connection that is kept, with a bound on time and size of every answer.

http.client rather than urllib: urllib opens a connection for each request, and follows redirects,
which would carry the token to another host.
"""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import threading
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from datetime import datetime, timezone
from typing import Iterator, NamedTuple, Optional, Tuple
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from .settings import Settings
from .version import VERSION

# For each read and write.
SOCKET_TIMEOUT = 10.0
# For a whole request: a peer that sends a byte now and then must not hold the sender.
REQUEST_TIMEOUT = 30.0
MAX_ANSWER = 1024 * 1024
MAX_LINE = 1024 * 1024
# The relay sends something at least every 25 s.
STREAM_TIMEOUT = 75.0
LONGEST_RETRY_AFTER = 600.0
AGENT = f"progress-relay-python/{VERSION}"


class Answer(NamedTuple):
    status: int
    retry_after: Optional[float]
    location: Optional[str]
    body: bytes

    def json(self) -> object:
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def problem(self) -> Optional[dict]:
        """The relay's own error answer. Any proxy can answer 400; such an answer names no event."""
        body = self.json()
        if isinstance(body, dict) and str(body.get("type")).startswith("urn:progress-relay:"):
            return body
        return None


class Unreachable(Exception):
    """There is no answer. The text is for people and names no secret."""


class Connection:
    """A connection of one thread's. It is opened when it is needed, and again after a failure."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._connection: Optional[http.client.HTTPConnection] = None
        self._context: Optional[ssl.SSLContext] = None
        # Of the environment, for an http URL: it is asked for the whole address.
        self._proxy: Optional[SplitResult] = None

    def post(self, body: bytes) -> Answer:
        headers = {"Content-Type": "application/json"}
        return self._request("POST", "/student-progress", body, headers)

    def get(self, path: str) -> Answer:
        return self._request("GET", path, None, {})

    def _request(self, method: str, path: str, body: Optional[bytes], headers: dict) -> Answer:
        # A kept connection may have been closed by the peer: that is worth one more attempt.
        attempts = 2 if self._connection is not None else 1
        for attempt in range(attempts):
            with self._failures(), self._deadline(REQUEST_TIMEOUT) as late:
                try:
                    return self._exchange(method, path, body, headers)
                except (http.client.RemoteDisconnected, ConnectionError, BrokenPipeError):
                    self.close()
                    if late.is_set() or attempt + 1 == attempts:
                        raise
        raise AssertionError("the last attempt returns or raises")

    def _exchange(self, method: str, path: str, body: Optional[bytes], headers: dict) -> Answer:
        # First: what is wrong with the credential is not the network's fault.
        headers = {**self._headers(), **headers}
        connection = self._open(SOCKET_TIMEOUT)
        headers.update(_proxy_headers(self._proxy))
        connection.request(method, self._target(path), body, headers)
        response = connection.getresponse()
        data = response.read(MAX_ANSWER)
        if not response.isclosed() and response.read(1):
            # Longer than any answer of the relay's: the connection cannot be used again.
            self.close()
        elif response.will_close:
            self.close()
        return Answer(
            response.status,
            _retry_after(response.getheader("Retry-After")),
            response.getheader("Location"),
            data,
        )

    def stream(self, path: str, last_id: Optional[str]) -> Iterator[Tuple[Optional[str], str]]:
        """Server-Sent Events: the id and the data of each. Ends when the relay ends it."""
        with self._failures():
            self.close()
            with self._deadline(REQUEST_TIMEOUT):
                connection = self._open(STREAM_TIMEOUT)
                headers = {**self._headers(), "Accept": "text/event-stream"}
                headers.update(_proxy_headers(self._proxy))
                if last_id:
                    headers["Last-Event-ID"] = last_id
                connection.request("GET", self._target(path), None, headers)
                response = connection.getresponse()
            if response.status != 200:
                raise Refused(response.status)
            yield from _server_sent_events(response)

    def _open(self, timeout: float) -> http.client.HTTPConnection:
        if self._connection is not None:
            return self._connection
        url = urlsplit(self.settings.url or "")
        host, port, secure = url.hostname or "", url.port, url.scheme == "https"
        proxy = _proxy_for(url.scheme, host)
        if secure and self._context is None:
            self._context = ssl.create_default_context()
            if self.settings.ca_file:
                self._context.load_verify_locations(self.settings.ca_file)
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        given = {"context": self._context} if secure else {}
        self._proxy = None if secure else proxy
        if proxy is None:
            connection = kind(host, port, timeout=timeout, **given)
        else:
            connection = kind(proxy.hostname or "", proxy.port or 80, timeout=timeout, **given)
            if secure:
                connection.set_tunnel(host, port or 443, _proxy_headers(proxy))
        # Known before it connects, so that a deadline can close it.
        self._connection = connection
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _target(self, path: str) -> str:
        if self._proxy is not None:
            # A tunnel, as for https, is what most proxies refuse for this.
            return (self.settings.url or "") + path
        return urlsplit(self.settings.url or "").path + path

    def _headers(self) -> dict:
        headers = {"User-Agent": AGENT, "Accept": "application/json"}
        authorization = self.settings.authorization()
        if authorization:
            headers["Authorization"] = authorization
        return headers

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Every failure is Unreachable, with what failed; the connection is then given up."""
        try:
            yield
        except Refused:
            self.close()
            raise
        except ssl.SSLCertVerificationError as error:
            self.close()
            raise Unreachable(
                f"the relay's certificate is not trusted ({error.verify_message}): "
                "RELAY_CA_FILE names an authority"
            ) from None
        except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
            # AttributeError: http.client has lost its socket to the deadline.
            self.close()
            text = getattr(error, "strerror", None) or str(error) or type(error).__name__
            if getattr(error, "filename", None):
                raise Unreachable(f"{error.filename}: {text}") from None
            raise Unreachable(f"no answer from {self.settings.url}: {text}") from None

    @contextmanager
    def _deadline(self, seconds: float) -> Iterator[threading.Event]:
        late = threading.Event()

        def end() -> None:
            late.set()
            connection = self._connection
            sock = connection.sock if connection is not None else None
            if sock is not None:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        try:
            timer.start()
        except RuntimeError:
            pass  # At the interpreter's end no thread can start. The process ends soon.
        try:
            yield late
        finally:
            timer.cancel()

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except OSError:
                pass


def _proxy_for(scheme: str, host: str) -> Optional[SplitResult]:
    proxy = None if proxy_bypass(host) else getproxies().get(scheme)
    return urlsplit(proxy if "//" in proxy else f"//{proxy}") if proxy else None


def _proxy_headers(proxy: Optional[SplitResult]) -> dict:
    if proxy is None or proxy.username is None:
        return {}
    name = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(name.encode()).decode("ascii")}


class Refused(Exception):
    """A stream was answered with this status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def _server_sent_events(response) -> Iterator[Tuple[Optional[str], str]]:
    last_id: Optional[str] = None
    data: list = []
    while True:
        line = response.readline(MAX_LINE)
        if not line:
            return
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if not text:
            if data:
                yield last_id, "\n".join(data)
            data = []
        elif text.startswith("data:"):
            data.append(text[5:].lstrip(" "))
        elif text.startswith("id:"):
            last_id = text[3:].strip()


def _retry_after(text: Optional[str]) -> Optional[float]:
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            due = parsedate_to_datetime(text)
        except (TypeError, ValueError):
            return None
        if due.tzinfo is None:
            due = due.replace(tzinfo=timezone.utc)
        seconds = (due - datetime.now(timezone.utc)).total_seconds()
    # NaN compares as false.
    return min(seconds, LONGEST_RETRY_AFTER) if seconds > 0 else 0.0
