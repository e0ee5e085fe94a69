"""Commands for administrators: python -m progress_relay COMMAND"""

from __future__ import annotations

import argparse
import sys
import time

from . import bench, install
from .sender import Sender
from .settings import read
from .spool import Spool
from .version import VERSION


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m progress_relay", description=__doc__)
    parser.add_argument("--version", action="version", version=VERSION)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("install", "write the start-up file by which kernels record"),
        ("uninstall", "remove it"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument(
            "--for",
            dest="where",
            choices=("system", "environment", "user"),
            default="environment",
            help="whose kernels (default: of this Python environment)",
        )
    commands.add_parser("status", help="where the settings lead to, and what waits on this disk")
    flush = commands.add_parser("flush", help="send what ended kernels have left")
    flush.add_argument("--seconds", type=float, default=60.0, help="give up after (default: 60)")
    measured = commands.add_parser("bench", help="measure what the client adds to a cell")
    measured.add_argument("--runs", type=int, default=10_000)
    measured.add_argument("--away", action="store_true", help="with a relay that is away")
    given = parser.parse_args()
    if given.command == "install":
        return install.install(given.where)
    if given.command == "uninstall":
        return install.uninstall(given.where)
    if given.command == "bench":
        return bench.run(given.runs, given.away)
    return _status() if given.command == "status" else _flush(given.seconds)


def _status() -> int:
    settings = read()
    print(f"relay     {settings.url}, class {settings.class_id or 'default'}")
    print(f"student   {settings.user} ({settings.source_of_identity})")
    print(f"capture   {settings.capture}")
    print(f"spool     {settings.spool_root}")
    for problem in settings.problems:
        print(f"problem   {problem}")
    folders = sorted(settings.spool_root.glob("*/")) if settings.spool_root.is_dir() else []
    for folder in folders:
        files = [path.stat().st_size for path in folder.glob("*.events")]
        mine = " (of these settings)" if folder == settings.spool else ""
        print(f"          {folder.name}: {len(files)} files, {sum(files)} bytes{mine}")
    return 0 if settings.url else 1


def _flush(seconds: float) -> int:
    settings = read()
    if not settings.url:
        print("RELAY_URL is not set", file=sys.stderr)
        return 2
    spool = Spool(settings.spool, settings.spool_bytes)
    sender = Sender(settings, spool)
    spool.scan(force=True)
    sender.start()
    sender.wake()
    until = time.monotonic() + seconds
    while time.monotonic() < until and (spool.waiting()[0] or not sender.is_idle):
        time.sleep(0.05)
    sender.stop(1.0)
    waiting, _ = spool.waiting()
    spool.close()
    print(f"{sender.sent + sender.duplicates} events sent, {waiting} wait")
    if sender.last_error:
        print(f"last error: {sender.last_error}", file=sys.stderr)
    return 1 if waiting else 0


if __name__ == "__main__":
    sys.exit(main())
