"""The sender: which answers let an event go, and which keep it."""

import base64
import gzip
import json
import os
import socket
import tempfile
import threading
import time
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest import mock

from progress_relay import transport
from progress_relay.sender import Backoff, Sender
from progress_relay.settings import Settings
from progress_relay.spool import Spool

PATIENCE = 20.0


class Peer:
    """A peer that answers as the test says: `answers` are called with the events, one a request;
    the last one stays."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []
        self.headers = []
        self.targets = []
        peer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                events = json.loads(body)
                peer.requests.append((time.monotonic(), [event["n"] for event in events]))
                peer.headers.append(dict(self.headers))
                peer.targets.append(self.path)
                answer = peer.answers.pop(0) if len(peer.answers) > 1 else peer.answers[0]
                self.reply(*answer(events))

            def do_GET(self):
                self.reply(200, b"null", {})

            def reply(self, status, body, headers):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        # A client that has given up is no fault of the peer's.
        self.server.handle_error = lambda *_arguments: None
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        serve = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        serve.start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def taken(events):
    return 200, answer(accepted=len(events)), {}


def answer(accepted=0, duplicates=0, rejected=()):
    body = {"accepted": accepted, "duplicates": duplicates, "rejected": list(rejected)}
    return json.dumps(body).encode()


def status(code, body=b"", headers=None):
    return lambda events: (code, body, headers or {})


def problem(code, name, **more):
    body = {"type": f"urn:progress-relay:problem:{name}", "title": name, "status": code, **more}
    return status(code, json.dumps(body).encode())


class TheSender(unittest.TestCase):
    def send(self, *answers, events=5, longest_wait=0.05, **more):
        """Sends events to a peer until none waits."""
        peer = Peer(*answers)
        self.addCleanup(peer.stop)
        sender, spool = self.sender(peer.url, longest_wait, **more)
        for number in range(events):
            spool.append(b'{"n":%d}\n' % number)
        sender.start()
        sender.wake()
        self.until(lambda: spool.waiting()[0] == 0, lambda: sender.last_error)
        sender.stop(PATIENCE)
        self.assertFalse(sender._thread.is_alive())
        return peer, sender, spool

    def sender(self, url, longest_wait=0.05, **more):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        spool = Spool(Path(temporary.name), 1 << 20)
        self.addCleanup(spool.close)
        settings = Settings(url=url, user="ada", longest_wait=longest_wait, **more)
        return Sender(settings, spool), spool

    def until(self, done, explain):
        ends = time.monotonic() + PATIENCE
        while not done():
            self.assertLess(time.monotonic(), ends, explain())
            time.sleep(0.005)

    def test_sends_a_batch_and_counts_it(self):
        peer, sender, _ = self.send(taken, token="secret")
        self.assertEqual([sent for _, sent in peer.requests], [[0, 1, 2, 3, 4]])
        self.assertEqual(sender.sent, 5)
        self.assertEqual(peer.headers[0]["Authorization"], "Bearer secret")

    def test_the_hubs_token_travels_as_the_hub_wants_it(self):
        peer, _, _ = self.send(taken, hub_token="of-the-server")
        self.assertEqual(peer.headers[0]["Authorization"], "token of-the-server")

    def test_duplicates_are_there_already(self):
        _, sender, _ = self.send(lambda events: (200, answer(2, len(events) - 2), {}))
        self.assertEqual((sender.sent, sender.duplicates), (2, 3))

    def test_an_answer_that_is_not_the_relays_keeps_every_event(self):
        for odd in (
            status(200, b"<html>sign in to the network</html>"),
            status(200, b"{}"),
            status(200, answer(accepted=99)),
            status(200, answer(accepted=-1, duplicates=6)),
            status(200, answer(accepted=4, rejected=[{"index": 77}])),
            status(200, b"[" * 100_000),
            status(200, b" " * (2 << 20) + answer(accepted=5)),
            status(200, gzip.compress(answer(accepted=5)), {"Content-Encoding": "gzip"}),
            status(204),
            status(302, headers={"Location": "https://elsewhere.example/?secret=1"}),
            status(400, b"<html>plain HTTP was sent to an HTTPS port</html>"),
            status(422, b"{}"),
            problem(401, "unauthorized"),
            problem(403, "class-not-allowed"),
            status(404),
            status(407),
            status(408),
            status(429, headers={"Retry-After": "0"}),
            status(500),
            problem(503, "queue-full"),
        ):
            # The odd answer several times, then a relay's.
            peer, sender, spool = self.send(odd, odd, odd, odd, taken)
            with self.subTest(sender.last_error):
                self.assertEqual(sender.sent, 5)
                self.assertEqual(spool.refused, 0)
                self.assertGreaterEqual(len(peer.requests), 5)
                self.assertNotIn("secret", sender.last_error)

    def test_a_peer_that_hangs_up_or_sends_garbage_keeps_every_event(self):
        server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.close)
        garbage = [
            b"",
            b"\x00\xff" * 50,
            b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}",
            b"220 ftp\r\n",
        ]

        def serve():
            for words in garbage * 3:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                with peer:
                    peer.recv(65536)
                    peer.sendall(words)

        threading.Thread(target=serve, daemon=True).start()
        sender, spool = self.sender(f"http://127.0.0.1:{server.getsockname()[1]}")
        spool.append(b'{"n":0}\n')
        sender.start()
        sender.wake()
        self.until(lambda: sender._backoff.failures >= 6, lambda: "no attempts")
        self.assertEqual(spool.waiting(), (1, 0))
        self.assertIn("no answer from", sender.last_error)
        sender.stop(PATIENCE)

    def test_an_answer_that_never_ends_is_given_up_and_the_event_kept(self):
        for head in (
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX-Long: ",
            b"",
        ):
            server = socket.create_server(("127.0.0.1", 0))
            self.addCleanup(server.close)

            def serve(server=server, head=head):
                piece = b"1\r\n \r\n" if b"chunked" in head else b" "
                with server.accept()[0] as peer:
                    peer.recv(65536)
                    try:
                        peer.sendall(head or b"HTTP/1.1 100 Continue\r\n\r\n")
                        while True:
                            peer.sendall(piece if head else b"HTTP/1.1 100 Continue\r\n\r\n")
                            time.sleep(0.02)
                    except OSError:
                        return

            threading.Thread(target=serve, daemon=True).start()
            sender, spool = self.sender(f"http://127.0.0.1:{server.getsockname()[1]}")
            spool.append(b'{"n":0}\n')
            with mock.patch.object(transport, "REQUEST_TIMEOUT", 0.3):
                sender.start()
                sender.wake()
                self.until(lambda: sender.last_error, lambda: "no end")
                server.close()
            self.assertEqual(spool.waiting(), (1, 0), head)
            sender.stop(PATIENCE)

    def test_a_proxy_of_the_environment_is_asked_for_the_whole_address(self):
        proxy = Peer(status(502, b"<html>the proxy is ill</html>"), taken)
        self.addCleanup(proxy.stop)
        address = proxy.url.replace("http://", "http://ada:p%40ss@")
        clean = {name: "" for name in os.environ if name.lower().endswith("_proxy")}
        with mock.patch.dict(os.environ, {**clean, "http_proxy": address}):
            sender, spool = self.sender("http://relay.example:8000/at", token="secret")
            spool.append(b'{"n":0}\n')
            sender.start()
            sender.wake()
            self.until(lambda: spool.waiting()[0] == 0, lambda: sender.last_error)
            sender.stop(PATIENCE)
        self.assertEqual(proxy.targets, ["http://relay.example:8000/at/student-progress"] * 2)
        self.assertEqual(proxy.headers[1]["Host"], "relay.example:8000")
        credential = base64.b64decode(proxy.headers[1]["Proxy-Authorization"].split()[1])
        self.assertEqual(credential, b"ada:p@ss")
        self.assertNotIn("p@ss", str(sender.last_error))

    def test_a_relay_of_this_machine_is_reached_without_the_proxy_where_that_is_said(self):
        with mock.patch.dict(
            os.environ, {"http_proxy": "http://127.0.0.1:9", "no_proxy": "127.0.0.1"}
        ):
            _, sender, _ = self.send(taken)
        self.assertEqual(sender.sent, 5)

    def test_an_event_that_the_relay_rejects_is_set_aside_and_the_others_are_sent(self):
        rejected = [{"index": 1, "field": "eventTime", "reason": "is no time"}]
        _, sender, spool = self.send(
            lambda events: (200, answer(len(events) - 1, rejected=rejected), {})
        )
        self.assertEqual((sender.sent, spool.refused), (4, 1))
        entry = json.loads((spool.folder / "refused.jsonl").read_text())
        self.assertEqual(entry["reason"], "eventTime: is no time")
        self.assertEqual(json.loads(entry["event"]), {"n": 1})
        self.assertIn("eventTime: is no time", sender.last_error)

    def test_a_batch_of_which_every_event_is_rejected_is_set_aside(self):
        every = [{"index": n, "field": "userId", "reason": "is missing"} for n in range(5)]
        _, sender, spool = self.send(problem(422, "rejected", rejected=every))
        self.assertEqual((sender.sent, spool.refused), (0, 5))

    def test_one_event_that_cannot_be_read_is_found_by_halves(self):
        def picky(events):
            if any(event["n"] == 3 for event in events):
                return problem(400, "body-not-json")(events)
            return taken(events)

        peer, sender, spool = self.send(picky, events=8)
        self.assertEqual((sender.sent, spool.refused), (7, 1))
        sent = [n for _, numbers in peer.requests for n in numbers if numbers != [3]]
        self.assertEqual(set(sent), set(range(8)))

    def test_one_event_for_which_a_whole_batch_is_refused_keeps_no_other(self):
        def strict(events):
            if any(event["n"] == 3 for event in events):
                at = [event["n"] for event in events].index(3)
                rejected = [{"index": at, "field": "code", "reason": "is odd"}]
                return problem(422, "rejected", rejected=rejected)(events)
            return taken(events)

        _, sender, spool = self.send(strict, events=8)
        self.assertEqual((sender.sent, spool.refused), (7, 1))
        entry = json.loads((spool.folder / "refused.jsonl").read_text())
        self.assertEqual(json.loads(entry["event"]), {"n": 3})

    def test_a_token_that_has_expired_keeps_every_event_until_it_is_renewed(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "token"
            file.write_text("expired")

            def judge(events):
                good = peer.headers[-1].get("Authorization") == "Bearer renewed"
                return taken(events) if good else problem(401, "unauthorized")(events)

            peer = Peer(judge)
            self.addCleanup(peer.stop)
            sender, spool = self.sender(peer.url, token_file=str(file))
            for number in range(5):
                spool.append(b'{"n":%d}\n' % number)
            sender.start()
            sender.wake()
            self.until(lambda: len(peer.requests) >= 3, lambda: sender.last_error)
            self.assertEqual(spool.waiting(), (5, 0))
            # A file that is written anew is not there for a moment.
            file.unlink()
            self.until(lambda: str(file) in sender.last_error, lambda: sender.last_error)
            file.write_text("renewed")
            self.until(lambda: spool.waiting()[0] == 0, lambda: sender.last_error)
            self.assertEqual((sender.sent, spool.refused), (5, 0))
            sender.stop(PATIENCE)

    def test_a_batch_that_is_too_large_is_sent_in_parts(self):
        peer, sender, spool = self.send(
            lambda events: taken(events) if len(events) <= 2 else (413, b"too large", {}), events=9
        )
        self.assertEqual((sender.sent, spool.refused), (9, 0))

    def test_retry_after_is_honoured(self):
        peer, _, _ = self.send(status(503, headers={"Retry-After": "1"}), taken)
        (first, _), (second, _) = peer.requests
        self.assertGreaterEqual(second - first, 1.0)
        self.assertLess(second - first, 3.0)

    def test_a_token_that_no_header_can_carry_is_in_no_error(self):
        sender, spool = self.sender("http://127.0.0.1:9", token="sec\nret-é")
        spool.append(b'{"n":0}\n')
        sender.start()
        sender.wake()
        self.until(lambda: sender.last_error, lambda: "no error")
        self.assertIn("the token has characters", sender.last_error)
        self.assertNotIn("ret-", sender.last_error)
        sender.stop(PATIENCE)

    def test_a_token_file_is_read_each_time(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "token"
            file.write_text("first\n")
            settings = Settings(token_file=str(file))
            self.assertEqual(settings.authorization(), "Bearer first")
            file.write_text("second\n")
            self.assertEqual(settings.authorization(), "Bearer second")


class TheBackoff(unittest.TestCase):
    def test_waits_grow_to_the_longest_and_are_never_none(self):
        backoff = Backoff(8.0)
        for bound in (0.5, 1, 2, 4, 8, 8, 8):
            self.assertTrue(bound * 0.1 <= backoff.next_wait(None) <= bound)
        backoff.reset()
        self.assertLessEqual(backoff.next_wait(None), 0.5)

    def test_students_do_not_return_at_once(self):
        waits = sorted(Backoff(60.0).next_wait(10.0) for _ in range(200))
        self.assertGreaterEqual(waits[0], 10.0)
        self.assertGreater(waits[-1] - waits[0], 1.0)


if __name__ == "__main__":
    unittest.main()
