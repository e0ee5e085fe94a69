"""What the client adds to a cell: `python -m progress_relay bench`.

It runs cells in a real IPython shell, against a stand-in for the relay in another process, and
times the two calls that IPython makes into this package, which is all that a cell waits for. The
runs follow each other without a pause, so the sender is at work all the time: the worst case.

On a busy machine a call of any kind is now and then interrupted for milliseconds. So a control is
timed beside it in every cell: a call of the same length that does nothing of use. The processor's
time is the client's own share.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import tempfile
import time
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import List

CELLS = (
    "x = 6 * 7",
    "x",
    "print('一二三' * 20)",
    "[n ** 2 for n in range(200)]",
    "# " + "a comment of two thousand characters " * 54 + "\nx",
)


class _Sink(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        events = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({"accepted": len(events), "duplicates": 0, "rejected": []}).encode()
        self._answer(body)

    def do_GET(self) -> None:
        self._answer(b"null")

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        pass


def _serve(ready) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Sink)
    ready.send(server.server_address[1])
    server.serve_forever()


def _resident() -> int:
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def run(runs: int, is_away: bool) -> int:
    """Prints the figures; the exit code is 1 where the 99th percentile is over a millisecond."""
    try:
        from IPython.core.interactiveshell import InteractiveShell
    except ImportError:
        print("IPython is not installed here", file=sys.stderr)
        return 2
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    sink = context.Process(target=_serve, args=(theirs,), daemon=True)
    sink.start()
    port = ours.recv()
    with tempfile.TemporaryDirectory() as folder:
        # A port at which nothing listens: every run stays in the spool.
        url = "http://127.0.0.1:9" if is_away else f"http://127.0.0.1:{port}"
        os.environ.update(RELAY_URL=url, RELAY_SPOOL_DIR=folder, RELAY_USER="bench")
        os.environ.pop("PROGRESS_RELAY", None)
        shell = InteractiveShell.instance()
        warnings.simplefilter("ignore")
        # What the cells print is no part of the figures.
        console, sys.stdout = sys.stdout, open(os.devnull, "w", encoding="utf-8")
        try:
            figures = _measure(shell, runs)
        finally:
            sys.stdout.close()
            sys.stdout = console
    sink.terminate()
    for name, text in figures.items():
        print(f"{name:<28} {text}")
    return 0 if float(figures["added to a cell, p99"].split()[0]) < 1.0 else 1


def _measure(shell, runs: int) -> dict:
    import progress_relay

    progress_relay.load_ipython_extension(shell)
    client = progress_relay._client
    assert client is not None
    added: List[float] = []
    before, after = client._before, client._after
    shell.events.unregister("pre_run_cell", before)
    shell.events.unregister("post_run_cell", after)
    own: List[float] = []
    control: List[float] = []
    spent = [0.0, 0.0]

    def timed_before(info) -> None:
        began, own_began = time.perf_counter(), time.thread_time()
        before(info)
        spent[:] = time.perf_counter() - began, time.thread_time() - own_began

    def timed_after(result) -> None:
        began, own_began = time.perf_counter(), time.thread_time()
        after(result)
        own.append(spent[1] + time.thread_time() - own_began)
        added.append(spent[0] + time.perf_counter() - began)
        began, until = time.perf_counter(), time.thread_time() + own[-1]
        while time.thread_time() < until:
            pass
        control.append(time.perf_counter() - began)

    shell.events.register("pre_run_cell", timed_before)
    shell.events.register("post_run_cell", timed_after)
    resident = _resident()
    largest = 0
    for number in range(runs):
        shell.run_cell(CELLS[number % len(CELLS)], store_history=True)
        if number % 500 == 0:
            largest = max(largest, client.spool.bytes())
    shell.events.unregister("pre_run_cell", timed_before)
    shell.events.unregister("post_run_cell", timed_after)
    grown = _resident() - resident
    client.stop()

    def at(share: float, times: List[float] = added) -> str:
        times.sort()
        return f"{times[min(int(len(times) * share), len(times) - 1)] * 1000:.3f} ms"

    return {
        "runs": str(len(added)),
        "added to a cell, p50": at(0.5),
        "added to a cell, p99": at(0.99),
        "added to a cell, p99.9": at(0.999),
        "added to a cell, most": at(1.0),
        "of the processor, p50": at(0.5, own),
        "of the processor, p99": at(0.99, own),
        "the control, p50": at(0.5, control),
        "the control, p99": at(0.99, control),
        "sent meanwhile": str(client.sender.sent),
        "largest spool": f"{largest // 1024} KiB",
        "memory grown by": f"{grown // 1024} KiB (IPython's own history is most of it)",
    }
