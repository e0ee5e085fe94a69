"""What the client does with faults of its own, and with what IPython reports oddly. The kernels
themselves are in the relay's integration tests."""

import json
import os
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from progress_relay.client import Client
from progress_relay.settings import Settings


class Events:
    def __init__(self):
        self.callbacks = {"pre_run_cell": [], "post_run_cell": []}

    def register(self, event, callback):
        self.callbacks[event].append(callback)

    def unregister(self, event, callback):
        if callback not in self.callbacks[event]:
            raise ValueError(event)
        self.callbacks[event].remove(callback)

    def trigger(self, event, *arguments):
        for callback in list(self.callbacks[event]):
            callback(*arguments)


class Record:
    def __init__(self, **members):
        vars(self).update(members)


class TheClient(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.shell = Record(events=Events(), user_ns={}, execution_count=5)
        settings = Settings(
            url="http://127.0.0.1:9", user="ada", spool_root=Path(temporary.name), longest_wait=60.0
        )
        self.client = Client(settings, self.shell)
        # Nothing is to be sent here.
        self.client.sender.start = self.client.sender.stop = lambda *_arguments: None
        self.client.start()
        self.addCleanup(self.client.stop)
        self.kept(clear=True)

    def kept(self, clear=False):
        batch = self.client.spool.take(1000, 1 << 20)
        events = [json.loads(line) for line in batch.lines] if batch else []
        if batch and clear:
            self.client.spool.done(batch)
        return [event for event in events if event["eventType"] == "cell_executed"]

    def run_cell(self, code="1", error=None, result=True):
        info = Record(raw_cell=code, store_history=True, silent=False, cell_id="c")
        self.shell.events.trigger("pre_run_cell", info)
        done = Record(info=info, execution_count=4, error_before_exec=None, error_in_exec=error)
        self.shell.events.trigger("post_run_cell", done if result else None)

    def test_an_interrupt_in_the_client_loses_no_run_and_disturbs_no_cell(self):
        for place in ("_append", "_bytes"):
            real = getattr(self.client.spool, place)
            calls = []

            def interrupted(*arguments):
                calls.append(arguments)
                if len(calls) == 1:
                    raise KeyboardInterrupt
                return real(*arguments)

            with mock.patch.object(self.client.spool, place, interrupted):
                self.run_cell()
            self.assertEqual(len(self.kept(clear=True)), 1, place)
        self.assertEqual(self.client.faults, 2)
        self.assertEqual(self.client.last_fault, "KeyboardInterrupt")

    def test_an_interrupt_after_the_run_was_kept_repeats_the_same_event(self):
        calls = []

        def wake():
            calls.append(1)
            if len(calls) == 1:
                raise KeyboardInterrupt

        with mock.patch.object(self.client.sender, "wake", wake):
            self.run_cell()
        events = self.kept()
        self.assertEqual(len(events), 2)
        self.assertEqual(events[0], events[1], "one event at the relay")

    def test_a_fault_of_the_client_is_counted_and_never_raised(self):
        with mock.patch.object(self.client.runs, "end", side_effect=ValueError("secret")):
            self.run_cell()
        self.assertEqual(self.client.last_fault, "ValueError")
        self.run_cell()
        self.assertEqual(len(self.kept()), 1)

    def test_a_forked_child_records_nothing(self):
        with mock.patch("os.getpid", return_value=os.getpid() + 1):
            self.run_cell()
            self.client.stop()
        self.assertEqual(self.kept(), [])
        self.assertTrue(self.client.is_on)

    def test_a_cancelled_run_that_ipython_reports_without_a_result_is_a_failure(self):
        self.run_cell("await forever()", result=False)
        (event,) = self.kept()
        self.assertEqual(event["code"], "await forever()")
        self.assertTrue(event["hasError"])
        self.assertEqual(event["errorMessage"], "KeyboardInterrupt")
        self.assertEqual(event["executionCount"], 4)

    def test_an_error_is_not_asked_for_its_text(self):
        class Hostile(Exception):
            def __str__(self):
                raise AssertionError("the client has called str")

            __repr__ = __str__

        self.run_cell(error=Hostile())
        self.assertEqual(self.kept()[0]["errorMessage"], "Hostile")
        self.assertEqual(self.client.faults, 0)


if __name__ == "__main__":
    unittest.main()
