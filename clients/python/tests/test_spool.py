"""The spool: what it keeps, what it bounds, and what it survives."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from progress_relay import spool as spool_module
from progress_relay.segment import HEADER, Segment
from progress_relay.spool import Spool

SOURCE = str(Path(__file__).resolve().parent.parent / "src")


def line(number, size=0):
    return json.dumps({"n": number, "pad": "x" * size}).encode() + b"\n"


def numbers(batch):
    return [json.loads(text)["n"] for text in batch.lines]


def everything(spool):
    """Takes and acknowledges until nothing is left."""
    found = []
    while True:
        batch = spool.take(10, 1 << 20)
        if batch is None:
            return found
        found += numbers(batch)
        spool.done(batch)


class InFolder(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name) / "spool"

    def spool(self, max_bytes=1 << 20):
        spool = Spool(self.folder, max_bytes)
        self.addCleanup(spool.close)
        return spool

    def files(self):
        return sorted(self.folder.glob("*.events"))


class TheSpool(InFolder):
    def test_gives_events_in_order_until_they_are_done(self):
        spool = self.spool()
        for number in range(25):
            spool.append(line(number))
        first = spool.take(10, 1 << 20)
        self.assertEqual(numbers(first), list(range(10)))
        self.assertEqual(numbers(spool.take(10, 1 << 20)), list(range(10)), "not done yet")
        spool.done(first)
        self.assertEqual(everything(spool), list(range(10, 25)))
        self.assertEqual(spool.waiting(), (0, 0))

    def test_a_batch_is_bounded_in_bytes_but_has_one_event_at_least(self):
        spool = self.spool()
        for number in range(4):
            spool.append(line(number, 1000))
        self.assertEqual(numbers(spool.take(10, 2100)), [0, 1])
        self.assertEqual(numbers(spool.take(10, 10)), [0])

    def test_is_private_to_its_user(self):
        spool = self.spool()
        spool.append(line(0))
        self.assertEqual(self.folder.stat().st_mode & 0o777, 0o700)
        self.assertEqual(self.files()[0].stat().st_mode & 0o777, 0o600)

    def test_a_folder_of_another_user_is_not_used(self):
        self.folder.mkdir(parents=True)
        with mock.patch("os.geteuid", return_value=os.geteuid() + 1):
            spool = self.spool()
            spool.append(line(0))
            self.assertIn("belongs to another user", spool.problem)
            self.assertEqual(self.files(), [])
        self.assertEqual(everything(spool), [0], "from memory")

    def test_deletes_segments_that_are_done(self):
        with mock.patch.object(spool_module, "SEGMENT_BYTES", 2000):
            spool = self.spool()
            for number in range(50):
                spool.append(line(number, 100))
            self.assertGreater(len(self.files()), 2)
            self.assertEqual(everything(spool), list(range(50)))
            self.assertEqual(len(self.files()), 1)
        spool.close()
        self.assertEqual(self.files(), [])

    def test_when_it_is_full_the_oldest_go_and_are_counted(self):
        with mock.patch.object(spool_module, "SEGMENT_BYTES", 2000):
            spool = self.spool(max_bytes=10_000)
            for number in range(500):
                spool.append(line(number, 100))
                self.assertLessEqual(sum(file.stat().st_size for file in self.files()), 10_000)
            kept = everything(spool)
        self.assertEqual(kept, list(range(500 - len(kept), 500)), "the newest, without a gap")
        self.assertGreater(len(kept), 40)
        self.assertEqual(spool.lost, 500 - len(kept))
        entries = (self.folder / "lost.jsonl").read_text().splitlines()
        self.assertEqual(sum(json.loads(entry)["events"] for entry in entries), spool.lost)

    def test_refused_events_are_kept_aside_and_bounded(self):
        spool = self.spool()
        spool.append(line(0))
        with mock.patch.object(spool_module, "REFUSED_BYTES", 5000):
            for number in range(200):
                spool.set_aside(line(number, 50), "eventTime: is no time")
        file = self.folder / "refused.jsonl"
        self.assertLess(file.stat().st_size, 6000)
        last = json.loads(file.read_text().splitlines()[-1])
        self.assertEqual(json.loads(last["event"])["n"], 199)
        self.assertEqual(last["reason"], "eventTime: is no time")
        self.assertEqual(spool.refused, 200)

    def test_a_folder_that_is_deleted_is_made_again(self):
        spool = self.spool()
        spool.append(line(0))
        for file in self.files():
            file.unlink()
        self.folder.rmdir()
        spool.sync()
        spool.append(line(1))
        self.assertEqual(len(self.files()), 1)
        self.assertEqual(everything(spool), [0, 1], "what was deleted is still open")


class AfterTheEnd(InFolder):
    def killed(self, code):
        """Runs code with a spool in another process, which then kills itself."""
        text = (
            "import os, signal, sys\n"
            "from pathlib import Path\n"
            "from progress_relay.spool import Spool\n"
            "spool = Spool(Path(sys.argv[1]), 1 << 20)\n"
            f"{code}\n"
            "os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        environment = dict(os.environ, PYTHONPATH=SOURCE)
        process = subprocess.run([sys.executable, "-c", text, self.folder], env=environment)
        self.assertEqual(process.returncode, -signal.SIGKILL)

    def test_the_next_kernel_has_what_a_killed_one_left(self):
        self.killed("for n in range(30): spool.append(b'{\"n\":%d}\\n' % n)")
        spool = self.spool()
        spool.append(line(100))
        spool.scan(force=True)
        self.assertEqual(everything(spool), [*range(30), 100])
        self.assertEqual(len(self.files()), 1)

    def test_what_killed_kernels_left_goes_before_what_is_recorded_since(self):
        segments = 3 * spool_module.MAX_ADOPTED
        self.killed(
            f"for n in range({segments}):\n"
            "    spool.append(b'{\"n\":%d}\\n' % n)\n"
            "    spool._rotate()"
        )
        spool = self.spool()
        with mock.patch.object(spool_module, "SEGMENT_BYTES", 200):
            for number in range(segments, 2 * segments):
                spool.append(line(number, 100))
            found = []
            while True:
                spool.scan()
                adopted = [segment for segment in spool._own() if segment.is_adopted]
                self.assertLessEqual(len(adopted), spool_module.MAX_ADOPTED)
                batch = spool.take(10, 1 << 20)
                if batch is None:
                    break
                found += numbers(batch)
                spool.done(batch)
        self.assertEqual(found, list(range(2 * segments)), "in order")

    def test_what_was_acknowledged_is_not_taken_again(self):
        self.killed(
            "for n in range(30): spool.append(b'{\"n\":%d}\\n' % n)\n"
            "spool.done(spool.take(20, 1 << 20))"
        )
        spool = self.spool()
        spool.scan(force=True)
        self.assertEqual(everything(spool), list(range(20, 30)))

    def test_a_torn_event_at_the_end_is_left_out(self):
        self.killed("for n in range(3): spool.append(b'{\"n\":%d}\\n' % n)")
        with open(self.files()[0], "ab") as file:
            file.write(b'{"n":3,"co')
        spool = self.spool()
        spool.scan(force=True)
        self.assertEqual(everything(spool), [0, 1, 2])

    def test_the_segment_of_a_living_kernel_stays_its_own(self):
        other = self.spool()
        other.append(line(0))
        spool = self.spool()
        spool.scan(force=True)
        self.assertIsNone(spool.take(10, 1 << 20))
        self.assertGreater(spool.bytes(), HEADER, "it counts against the bound")
        self.assertEqual(everything(other), [0])

    def test_a_forked_child_holds_no_lock(self):
        text = (
            "import os, sys, time\n"
            "from pathlib import Path\n"
            "from progress_relay.spool import Spool\n"
            "spool = Spool(Path(sys.argv[1]), 1 << 20)\n"
            "spool.append(b'{\"n\":1}\\n')\n"
            "if os.fork() == 0:\n"
            "    spool.abandon_in_child()\n"
            "    print('forked', flush=True)\n"
            "    sys.stdin.read()\n"
            "    os._exit(0)\n"
            "os.kill(os.getpid(), 9)\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", text, self.folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=dict(os.environ, PYTHONPATH=SOURCE),
        )
        self.assertEqual(process.stdout.readline(), b"forked\n")
        process.wait()
        spool = self.spool()
        spool.scan(force=True)
        self.assertEqual(everything(spool), [1])
        process.stdin.close()
        process.stdout.close()

    def test_a_file_that_is_no_segment_costs_nothing(self):
        self.folder.mkdir(parents=True)
        (self.folder / "a.events").write_bytes(b"")
        (self.folder / "b.events").write_bytes(b"\x00" * 100)
        (self.folder / "c.events").write_bytes(b"progress-relay 1 99999999999999\n{}\n")
        spool = self.spool()
        spool.scan(force=True)
        spool.append(line(7))
        found = []
        while True:
            batch = spool.take(10, 1 << 20)
            if batch is None:
                break
            found += batch.lines
            spool.done(batch)
        self.assertIn(line(7), found)


    def test_a_kernel_that_is_killed_at_any_moment_leaves_what_it_had_kept(self):
        text = (
            "import sys\n"
            "from pathlib import Path\n"
            "from progress_relay import spool as spool_module\n"
            "spool_module.SEGMENT_BYTES = 20_000\n"
            "spool = spool_module.Spool(Path(sys.argv[1]), 1 << 24)\n"
            "for n in range(10 ** 9):\n"
            "    spool.append(b'{\"n\":%d,\"pad\":\"%s\"}\\n' % (n, b'x' * (n % 4000)))\n"
            "    sys.stdout.write(f'{n}\\n')\n"
            "    sys.stdout.flush()\n"
        )
        for round_number in range(10):
            process = subprocess.Popen(
                [sys.executable, "-c", text, self.folder],
                stdout=subprocess.PIPE,
                env=dict(os.environ, PYTHONPATH=SOURCE),
            )
            for _ in range(5 + 37 * round_number):
                process.stdout.readline()
            process.kill()
            kept = process.stdout.read().splitlines()
            kept = int(kept[-1]) if kept else 4 + 37 * round_number
            process.wait()
            process.stdout.close()
            spool = self.spool()
            found = []
            while True:
                spool.scan(force=True)
                batch = spool.take(100, 1 << 20)
                if batch is None:
                    break
                found += numbers(batch)
                spool.done(batch)
            self.assertEqual(found, list(range(len(found))), "in order, each once")
            # The last one may have been kept, and not been told.
            self.assertIn(len(found) - 1 - kept, (0, 1))
            spool.close()
            self.assertEqual(self.files(), [])


class AFullDisk(InFolder):
    def test_a_place_that_is_no_folder_is_a_full_disk(self):
        self.folder.write_text("a file")
        for folder in (self.folder, self.folder / "below", Path("/proc/nowhere")):
            spool = Spool(folder, 1 << 20)
            spool.open()
            for number in range(3):
                spool.append(line(number))
            spool.sync()
            spool.set_aside(line(9), "eventTime: is no time")
            self.assertIsNotNone(spool.problem)
            self.assertEqual(spool.waiting(), (3, 3))
            self.assertEqual(everything(spool), [0, 1, 2])
            spool.close()

    def test_runs_wait_in_a_bounded_memory_and_go_to_the_disk_later(self):
        spool = self.spool()
        spool.append(line(0))
        full = OSError(28, "No space left on device")
        with mock.patch.object(Segment, "_write", side_effect=full):
            for number in range(1, 6):
                spool.append(line(number))
        self.assertIn("No space left", spool.problem)
        self.assertEqual(spool.waiting(), (6, 5))
        spool.append(line(6))
        self.assertIsNone(spool.problem)
        self.assertEqual(sorted(everything(spool)), list(range(7)))

    def test_the_memory_is_bounded(self):
        spool = self.spool()
        with mock.patch.object(Segment, "create", side_effect=OSError(30, "read-only")):
            with mock.patch.object(spool_module, "MEMORY_BYTES", 10_000):
                for number in range(1000):
                    spool.append(line(number, 100))
        waiting, memory = spool.waiting()
        self.assertEqual(waiting, memory)
        self.assertLess(memory, 100)
        self.assertEqual(spool.lost, 1000 - memory)
        self.assertEqual(everything(spool)[-1], 999)

    def test_a_limit_of_the_process_is_a_full_disk(self):
        text = (
            "import resource, sys\n"
            "from pathlib import Path\n"
            "from progress_relay.spool import Spool\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
            "spool = Spool(Path(sys.argv[1]), 1 << 20)\n"
            "for n in range(100): spool.append(b'{\"n\":%d,\"pad\":\"%s\"}\\n' % (n, b'x' * 100))\n"
            "found = 0\n"
            "while True:\n"
            "    batch = spool.take(10, 1 << 20)\n"
            "    if batch is None: break\n"
            "    found += len(batch.lines)\n"
            "    spool.done(batch)\n"
            "print(found, spool.problem)\n"
        )
        environment = dict(os.environ, PYTHONPATH=SOURCE)
        process = subprocess.run(
            [sys.executable, "-c", text, self.folder], env=environment, capture_output=True
        )
        self.assertEqual(process.stderr, b"")
        self.assertTrue(process.stdout.startswith(b"100 "), process.stdout)


class TheClock(InFolder):
    def test_a_clock_that_goes_back_changes_no_order(self):
        clock = iter(range(2_000, 0, -1))
        with mock.patch.object(spool_module, "SEGMENT_BYTES", 200):
            with mock.patch("time.time_ns", lambda: next(clock)):
                spool = self.spool()
                for number in range(50):
                    spool.append(line(number, 100))
                spool.scan(force=True)
                self.assertGreater(len(self.files()), 20)
                self.assertEqual(everything(spool), list(range(50)))


class Windows:
    """What the system's calls are on Windows, for `segment` and `spool`: no pread and no pwrite, no
    owner, no deletion of a file that is open, and locks of ranges."""

    LK_NBLCK = 2
    absent = ("pread", "pwrite", "fdatasync", "geteuid", "getuid", "register_at_fork")

    def __init__(self):
        self.opened = {}
        self.locked = {}

    def __getattr__(self, name):
        if name in self.absent:
            raise AttributeError(name)
        return getattr(os, name)

    def open(self, path, *arguments):
        fd = os.open(path, *arguments)
        self.opened[fd] = str(path)
        return fd

    def close(self, fd):
        os.close(fd)
        del self.opened[fd]
        self.locked = {path: owner for path, owner in self.locked.items() if owner != fd}

    def unlink(self, path):
        if str(path) in self.opened.values():
            raise PermissionError(13, "The process cannot access the file")
        os.unlink(path)

    def locking(self, fd, _mode, _length):
        if self.locked.setdefault(self.opened[fd], fd) != fd:
            raise PermissionError(13, "Permission denied")


class OnWindows(InFolder):
    def setUp(self):
        super().setUp()
        self.windows = windows = Windows()
        for change in (
            mock.patch("progress_relay.segment.os", windows),
            mock.patch("progress_relay.spool.os", windows),
            mock.patch("progress_relay.segment.fcntl", None),
            mock.patch("progress_relay.segment.msvcrt", windows, create=True),
        ):
            change.start()
            self.addCleanup(change.stop)

    def test_files_are_deleted_when_they_are_done(self):
        with mock.patch.object(spool_module, "SEGMENT_BYTES", 2000):
            spool, other = self.spool(), self.spool()
            for number in range(50):
                spool.append(line(number, 100))
            other.scan(force=True)
            self.assertIsNone(other.take(10, 1 << 20), "they have an owner")
            spool.sync()
            self.assertEqual(everything(spool), list(range(50)))
            self.assertEqual(len(self.files()), 1)
        spool.close()
        self.assertEqual(self.files(), [])

    def test_the_next_kernel_has_what_one_left(self):
        spool = self.spool()
        for number in range(5):
            spool.append(line(number))
        spool.close()
        spool = self.spool()
        spool.scan(force=True)
        self.assertEqual(everything(spool), list(range(5)))
        spool.close()
        self.assertEqual(self.files(), [])

    def test_what_was_forgotten_is_sent_by_no_kernel(self):
        spool = self.spool()
        for number in range(5):
            spool.append(line(number))
        self.assertEqual(spool.forget(), 5)
        other = self.spool()
        # The first kernel ends at once, before it could delete the file.
        for segment in spool._condemned:
            self.windows.close(segment.fd)
            segment.fd = -1
        spool._condemned = []
        other.scan(force=True)
        self.assertIsNone(other.take(10, 1 << 20))
        self.assertEqual(self.files(), [])

    def test_when_it_is_full_the_oldest_go(self):
        with mock.patch.object(spool_module, "SEGMENT_BYTES", 2000):
            spool = self.spool(max_bytes=10_000)
            for number in range(500):
                spool.append(line(number, 100))
                # The sender closes what has gone.
                spool.take(1, 1 << 20)
                self.assertLessEqual(sum(file.stat().st_size for file in self.files()), 12_000)
            kept = everything(spool)
        self.assertEqual(kept, list(range(500 - len(kept), 500)))
        self.assertEqual(spool.lost, 500 - len(kept))


class WithoutLocks(InFolder):
    def test_a_segment_is_adopted_when_its_owner_has_not_touched_it_for_long(self):
        spool = self.spool()
        no_locks = OSError(37, "No locks available")
        with mock.patch("progress_relay.segment._lock", side_effect=no_locks):
            other = self.spool()
            other.append(line(1))
            spool.scan(force=True)
            self.assertIsNone(spool.take(10, 1 << 20), "it is new")
            os.utime(self.files()[0], (0, 0))
            spool.scan(force=True)
            self.assertEqual(everything(spool), [1])


if __name__ == "__main__":
    unittest.main()
