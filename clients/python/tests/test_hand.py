"""A raised hand against a peer that speaks as the relay does: by its stream, or by its summary."""

import json
import threading
import time
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest import mock

from progress_relay import hand as hand_module
from progress_relay.hand import Hand
from progress_relay.settings import Settings

PATIENCE = 20.0


class Relay:
    """The summary with `state`, and, if it has one, a stream of what `say` says."""

    def __init__(self, has_stream):
        self.state = {}
        self.frames = []
        self.said = threading.Condition()
        self.paths = []
        self.resumed = []
        relay = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                relay.paths.append(self.path)
                if self.path.startswith("/api/class/stream") and has_stream:
                    relay.resumed.append(self.headers.get("Last-Event-ID"))
                    self.send_response(200)
                    self.send_header("Content-Type", "text/event-stream")
                    self.end_headers()
                    relay.stream(self.wfile)
                    return
                students = [{"studentId": "isaac", "helpSince": "x"}, relay.state]
                body = json.dumps({"students": students, "cursor": "e.7"}).encode()
                self.send_response(403 if "stream" in self.path else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def stream(self, out):
        sent = 0
        while True:
            with self.said:
                while len(self.frames) == sent:
                    self.said.wait()
                frame = self.frames[sent]
            if frame is None:
                return
            sent += 1
            out.write(f"id: e.{sent}\ndata: {json.dumps(frame)}\n\n".encode())
            out.flush()

    def say(self, **event):
        frame = {"type": "progress", "events": [{"studentId": "ada", **event}]}
        with self.said:
            self.frames.append(frame)
            self.said.notify_all()

    def stop(self):
        with self.said:
            self.frames.append(None)
            self.said.notify_all()
        self.server.shutdown()
        self.server.server_close()


class Sender:
    next_attempt = None
    caller = None
    class_id = "代数"


class TheHand(unittest.TestCase):
    def hand(self, has_stream):
        relay = Relay(has_stream)
        self.addCleanup(relay.stop)
        # As on a Japanese system, and as on an English one.
        environment = mock.patch.dict("os.environ", {"RELAY_LANG": "en"})
        environment.start()
        self.addCleanup(environment.stop)
        for name in ("POLL_EVERY", "SHORTEST_PAUSE"):
            patch = mock.patch.object(hand_module, name, 0.02)
            patch.start()
            self.addCleanup(patch.stop)
        self.recorded = []
        self.repeats = []
        settings = Settings(url=relay.url, user="ada")
        record = lambda kind, more: self.recorded.append((kind, more))  # noqa: E731
        hand = Hand(settings, Sender(), record, self.repeats.append)
        self.addCleanup(hand.take_down)
        return relay, hand

    def until(self, done, what):
        ends = time.monotonic() + PATIENCE
        while not done():
            self.assertLess(time.monotonic(), ends, what)
            time.sleep(0.005)

    def shows(self, hand, text):
        self.until(lambda: hand.status() == text, f"{text}: {hand.status()}")

    def test_follows_the_stream(self):
        relay, hand = self.hand(has_stream=True)
        told = []
        hand.listen("cell", lambda: told.append(hand.status()))
        hand.put_up("問題3")
        up = "Your hand is up in class 代数. %hand_down takes it down."
        self.assertEqual(hand.status(), up)
        relay.say(eventType="help_claimed", studentId="isaac", by="Newton")
        relay.say(eventType="help_claimed", by="Ito", actor="Ito")
        self.shows(hand, "Seen: Ito is on the way.")
        relay.say(eventType="help_claimed", by="Ito", actor="Ito", released=True)
        self.shows(hand, up)
        relay.say(eventType="help_claimed", by=7)
        self.shows(hand, "Seen: someone is on the way.")
        with relay.said:
            relay.frames.append(["no frame"])
            relay.frames.append({"type": "progress", "events": ["no event"]})
            relay.said.notify_all()
        relay.say(eventType="help_resolved", actor="Ito")
        self.shows(hand, "Your hand was taken down: resolved.")
        # So that the next `help` is another hand.
        self.assertEqual(self.recorded, [("help", {"message": "問題3"}), ("help_stop", {})])
        self.assertIn("Seen: Ito is on the way.", told)
        self.assertIn("class=%E4%BB%A3%E6%95%B0", relay.paths[0])

    def test_a_known_student_follows_from_where_the_own_state_ends(self):
        relay, hand = self.hand(has_stream=True)
        subject = " Ada@Example.com "
        hand._sender.caller = {"role": "student", "subject": subject}
        me = "ada@example.com"
        # Somebody was on the way before the stream began.
        relay.state = {"studentId": me, "helpSince": "now", "helpClaimedBy": "Ito"}
        hand.put_up("")
        self.shows(hand, "Seen: Ito is on the way.")
        self.assertTrue(hand.is_shown)
        relay.say(eventType="help_claimed", studentId=me, by="Ito", released=True)
        self.shows(hand, "Your hand is up in class 代数. %hand_down takes it down.")
        relay.say(eventType="help_resolved", studentId=me, actor="Ito")
        self.shows(hand, "Your hand was taken down: resolved.")
        self.assertEqual(relay.resumed, ["e.7"])
        self.assertEqual(len([path for path in relay.paths if "summary" in path]), 1)

    def test_asks_for_the_own_state_where_the_stream_is_refused(self):
        relay, hand = self.hand(has_stream=False)
        relay.state = {"studentId": "ada"}
        hand.put_up("")
        relay.state = {"studentId": "ada", "helpSince": "now"}
        self.until(lambda: len(relay.paths) > 8, "polls")
        self.assertTrue(hand.is_up)
        relay.state = {"studentId": "ada", "helpSince": "now", "helpClaimedBy": "Ito"}
        self.shows(hand, "Seen: Ito is on the way.")
        relay.state = {"studentId": "ada", "helpSince": "now"}
        self.shows(hand, "Your hand is up in class 代数. %hand_down takes it down.")
        relay.state = {"studentId": "ada"}
        self.shows(hand, "Your hand was taken down: resolved.")
        self.assertEqual(self.recorded, [("help", {}), ("help_stop", {})])

    def test_is_repeated_while_it_is_up(self):
        _, hand = self.hand(has_stream=True)
        with mock.patch.object(hand_module, "REPEAT_EVERY", 0.01):
            hand.put_up("")
            self.until(lambda: len(self.repeats) > 5, "repeats")
            hand.take_down()
        count = len(self.repeats)
        time.sleep(0.1)
        self.assertLessEqual(len(self.repeats), count + 1)
        self.assertEqual(hand.status(), "Your hand is down.")
        hand.take_down()
        self.assertEqual(self.recorded, [("help", {}), ("help_stop", {})], "once")

    def test_says_when_the_relay_is_away_and_speaks_japanese(self):
        _, hand = self.hand(has_stream=True)
        hand.put_up("")
        hand._sender.next_attempt = time.time() + 9
        self.assertIn("the relay is away", hand.status())
        with mock.patch.dict("os.environ", {"RELAY_LANG": "ja"}):
            self.assertIn("サーバーに接続できません", hand.status())


if __name__ == "__main__":
    unittest.main()
