"""Follows a class and resumes: python3 subscriber.py URL CLASS CURSOR_FILE

Prints each event as a line of JSON. The cursor file says how far it came: after a lost connection,
a restart of the relay or of this program it continues there, without a gap and without a repeat.
Without the file it starts with the events that come from now on. It needs Python 3.9 and nothing
else.
"""

import http.client
import json
import os
import random
import sys
import time
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

SILENCE = 60  # The relay sends something every 25 s: after so many seconds without, it is gone.


def frames(url, parameters):
    """Yields the frames of one connection, until it is lost."""
    with urlopen(f"{url}/api/class/stream?{urlencode(parameters)}", timeout=SILENCE) as stream:
        for line in stream:
            # A line that was cut off has no end.
            if line.startswith(b"data: ") and line.endswith(b"\n"):
                yield json.loads(line[len("data: ") :])


def follow(url, parameters, path):
    for frame in frames(url, parameters):
        if frame["type"] == "progress":
            for event in frame["events"]:
                print(json.dumps(event), flush=True)
        elif frame["type"] == "reset":
            # A program that keeps state reads /api/class/summary here, and goes on from its cursor.
            print(f"reset ({frame['reason']}): events may be missing", file=sys.stderr, flush=True)
        if "cursor" in frame:
            # Renamed into place: a crash leaves the old cursor or the new one. A program that must
            # not repeat the last frame after a crash stores cursor and results in one transaction.
            with open(f"{path}.new", "w") as file:
                file.write(frame["cursor"])
            os.replace(f"{path}.new", path)


def main(url, class_name, path):
    while True:
        parameters = {"class": class_name}
        if os.path.exists(path):
            with open(path) as file:
                parameters["cursor"] = file.read().strip()
        try:
            follow(url, parameters, path)
        except HTTPError as error:
            if error.code < 500:  # The relay will not change its mind.
                sys.exit(f"{error}: {error.read().decode()}")
        except (OSError, http.client.HTTPException) as error:
            print(f"connecting again: {error}", file=sys.stderr, flush=True)
        time.sleep(random.uniform(0.1, 2))  # So that not all subscribers come back at once.


if __name__ == "__main__":
    main(*sys.argv[1:])
