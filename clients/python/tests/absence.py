"""make absence: a student works for a real hour while the relay is away, and for ten minutes on a
computer whose network is dead.

A real kernel runs cells all the time, with the client's own waits. In the hour it is restarted once
and killed once. After it, the table holds each run exactly once, in order. ABSENCE_MINUTES and
ASLEEP_MINUTES are other lengths; 0 leaves a part out.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from jupyter_client.manager import KernelManager

PACKAGE = Path(__file__).resolve().parent.parent
# Between the cells.
PAUSE = 0.2
# Before the relay goes away.
BEFORE = 20.0
PATIENCE = 60.0
# IPython keeps 1,000 results, and says when it forgets some.
OF_IPYTHON = "Output cache limit"
# How long the table may take to have everything: the client's longest wait is a minute.
RETURN = 300.0
# The client's bound of the spool, and of what a kernel may grow by, IPython's own history included.
SPOOL = 64 << 20
GROWTH = 100 << 20


class Relay:
    """A relay with a PostgreSQL of its own, which goes away with it."""

    def __init__(self, program, folder, address):
        self.program, self.folder, self.bind = program, folder, f"{address}:{free_port(address)}"
        self.url = f"http://{self.bind}"
        self.process = None

    def start(self):
        flags = ["--bind", self.bind, "--data-dir", self.folder, "--insecure", "--log", "warn"]
        self.process = subprocess.Popen([self.program, "serve", *flags], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return self.get("/readyz")
            except OSError:
                assert time.monotonic() < deadline, "the relay is not ready"
                time.sleep(0.1)

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait()

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=PATIENCE) as answer:
            return answer.read()

    def runs(self):
        lines = self.get("/api/class/export?class=algebra&format=ndjson").splitlines()
        events = [json.loads(line) for line in lines if line.strip()]
        return [event for event in events if event.get("eventType") == "cell_executed"]


class Student:
    """A student at work, in a kernel that a command of `by` starts."""

    def __init__(self, folder, url, by):
        self.home, self.url, self.by = folder, url, by
        startup = folder / "ipython" / "profile_default" / "startup"
        startup.mkdir(parents=True)
        shutil.copy(PACKAGE / "startup" / "50-progress-relay.py", startup)
        # A copy, so that the sources may be edited meanwhile.
        shutil.copytree(PACKAGE / "src", folder / "src")
        self.codes, self.times = [], []
        self.largest = self.growth = 0
        self.manager = None

    def start(self):
        removed = ("RELAY_", "PROGRESS_RELAY", "JUPYTER", "JPY_")
        env = {name: value for name, value in os.environ.items() if not name.startswith(removed)}
        env.update(
            HOME=str(self.home),
            IPYTHONDIR=str(self.home / "ipython"),
            PYTHONPATH=str(self.home / "src"),
            JPY_SESSION_NAME="unit1.ipynb",
            RELAY_URL=self.url,
            RELAY_CLASS="algebra",
            RELAY_USER="ada",
            RELAY_SPOOL_DIR=str(self.home / "spool"),
        )
        # Not TCP: the kernel may be in another network.
        self.manager = KernelManager(
            kernel_name="python3", transport="ipc", ip=str(self.home / "kernel")
        )
        self.manager.kernel_spec.argv[:1] = [*self.by, sys.executable]
        self.manager.start_kernel(env=env)
        self.connect()

    def connect(self):
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE)
        self.run("import os; print(os.getpid())")
        self.pid = int(self.outputs[0]["text"])
        self.before = self.resident()

    def run(self, code):
        began = time.monotonic()
        self.codes.append(code)
        self.outputs = []
        request = self.client.execute(code, stop_on_error=False, allow_stdin=False)
        while True:
            message = self.client.get_iopub_msg(timeout=PATIENCE)
            mine = message["parent_header"].get("msg_id") == request
            kind, content = message["msg_type"], message["content"]
            if OF_IPYTHON in content.get("text", ""):
                continue
            if kind in ("stream", "error", "execute_result"):
                self.outputs.append(content)
            if mine and kind == "status" and content["execution_state"] == "idle":
                break
        self.times.append(time.monotonic() - began)
        # Its own, and nothing of the client's.
        assert len(self.outputs) == 1, (code[-20:], self.outputs)

    def work(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.run(cell(len(self.codes)))
            if len(self.codes) % 50 == 0:
                self.largest = max(self.largest, self.spooled())
            time.sleep(PAUSE)
        self.growth = max(self.growth, self.resident() - self.before)

    def restart(self):
        self.client.stop_channels()
        self.manager.restart_kernel()
        self.connect()

    def crash(self):
        """SIGKILL, and another kernel."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.start()

    def vanish(self):
        if self.manager is not None and self.manager.has_kernel:
            self.manager.shutdown_kernel(now=True)

    def end(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel()

    def resident(self):
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * 4096

    def spooled(self):
        return sum(file.stat().st_size for file in (self.home / "spool").glob("*/*.events"))

    def finish(self, what, relay):
        """Waits for the table to have every run, and asserts what it has."""
        returned = time.monotonic()
        while len(rows := relay.runs()) < len(self.codes):
            assert time.monotonic() - returned < RETURN, f"{len(rows)} of {len(self.codes)}"
            time.sleep(1)
        took = time.monotonic() - returned
        # One that came twice would come now.
        time.sleep(5)
        rows = relay.runs()
        assert [row["code"] for row in rows] == self.codes, "each once, and in order"
        assert len({row["eventId"] for row in rows}) == len(self.codes)
        for name in ("lost.jsonl", "refused.jsonl"):
            assert not list((self.home / "spool").glob(f"*/{name}")), name
        self.times.sort()
        share = [self.times[int(len(self.times) * part)] * 1000 for part in (0.5, 0.99)]
        print(
            f"{what}: {len(rows)} rows for {len(self.codes)} runs, each once, in order, within "
            f"{took:.0f} s of its return; at most {self.largest / 2**20:.1f} MiB in the spool; a "
            f"kernel grew by at most {self.growth / 2**20:.1f} MiB; a cell and its messages took "
            f"{share[0]:.1f} ms, p99 {share[1]:.1f} ms",
            flush=True,
        )
        assert self.largest < SPOOL and self.growth < GROWTH
        self.end()
        assert not list((self.home / "spool").glob("*/*")), "nothing is left"


def cell(number):
    """What a student types. Each cell has one output."""
    return (
        f"print('こんにちは {number}')",
        f"1 / 0  # {number}",
        f"'あ' * 2000 + '{number}'",
        f"x = = {number}",
        f"# {'a comment ' * 150}\n{number}",
        f"'run {number}'",
    )[number % 6]


def free_port(address):
    with socket.create_server((address, 0)) as server:
        return server.getsockname()[1]


def the_relay_is_away(folder, program, minutes):
    relay = Relay(program, folder / "away-data", "127.0.0.1")
    student = Student(folder / "away", relay.url, [])
    try:
        relay.start()
        student.start()
        student.work(BEFORE)
        relay.stop()
        began = time.monotonic()
        student.work(minutes * 20)
        student.restart()
        student.work(minutes * 20)
        student.crash()
        student.work(minutes * 60 - (time.monotonic() - began))
        relay.start()
        passed = (time.monotonic() - began) / 60
        student.finish(f"the relay away for {passed:.1f} min", relay)
    finally:
        student.vanish()
        relay.stop()


def the_network_is_dead(folder, program, minutes):
    if os.geteuid() != 0:
        print("SKIPPED: a computer whose network is dead (a network namespace) takes root")
        return
    name, cable = f"absence-{os.getpid()}", f"abs{os.getpid()}"
    outside, inside = "10.211.7.1", "10.211.7.2"
    ip("netns", "add", name)
    try:
        ip("link", "add", cable, "type", "veth", "peer", "name", f"{cable}p", "netns", name)
        ip("addr", "add", f"{outside}/30", "dev", cable)
        ip("link", "set", cable, "up")
        ip("-n", name, "link", "set", "lo", "up")
        ip("-n", name, "addr", "add", f"{inside}/30", "dev", f"{cable}p")
        ip("-n", name, "link", "set", f"{cable}p", "up")
        relay = Relay(program, folder / "dead-data", outside)
        student = Student(folder / "dead", relay.url, ["ip", "netns", "exec", name])
        try:
            relay.start()
            student.start()
            student.work(BEFORE)
            ip("-n", name, "link", "set", f"{cable}p", "down")
            began = time.monotonic()
            student.work(minutes * 60)
            ip("-n", name, "link", "set", f"{cable}p", "up")
            passed = (time.monotonic() - began) / 60
            student.finish(f"the network dead for {passed:.1f} min", relay)
        finally:
            student.vanish()
            relay.stop()
    finally:
        ip("netns", "del", name)
        subprocess.run(["ip", "link", "del", cable], stderr=subprocess.DEVNULL, check=False)


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


def main():
    program = os.path.abspath(sys.argv[1])
    failures = []

    def guarded(part, *arguments):
        try:
            part(*arguments)
        except BaseException as error:
            failures.append(part.__name__)
            print(f"{part.__name__} FAILED: {type(error).__name__}: {error}", flush=True)

    with tempfile.TemporaryDirectory(prefix="absence-") as name:
        # PostgreSQL is another user where root starts the relay.
        os.chmod(name, 0o755)
        threads = []
        for part, variable, default in (
            (the_relay_is_away, "ABSENCE_MINUTES", 60),
            (the_network_is_dead, "ASLEEP_MINUTES", 10),
        ):
            minutes = float(os.environ.get(variable, default))
            if minutes > 0:
                arguments = (part, Path(name), program, minutes)
                threads.append(threading.Thread(target=guarded, args=arguments))
                threads[-1].start()
        for thread in threads:
            thread.join()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
