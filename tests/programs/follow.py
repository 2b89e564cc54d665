"""Prints the number of every document that is inserted, whatever happens to the connection and the server.

Waits after a document with a `gate` until that file exists, and ends after one that is the `last`. Then it tells how
often it opened a stream, and which errors it met.
"""

import json
import os
import sys
import time

import pymongo
from pymongo import monitoring


class Observed(monitoring.CommandListener):
    opened = 0
    codes = []

    def started(self, event):
        self.opened += event.command_name == "aggregate"

    def succeeded(self, event):
        pass

    def failed(self, event):
        if event.command_name == "getMore":
            self.codes.append(event.failure.get("code"))


observed = Observed()
client = pymongo.MongoClient(os.environ["CHANGE_STREAM_DB"], event_listeners=[observed])
with client.follow.numbers.watch() as stream:
    # There is nothing yet, and no waiting for it (CS-13.28, CS-13.29).
    assert stream.try_next() is None
    print("watching", file=sys.stderr, flush=True)
    for change in stream:
        document = change["fullDocument"]
        print(document["_id"], flush=True)
        while "gate" in document and not os.path.exists(document["gate"]):
            time.sleep(0.01)
        if "last" in document:
            break
print(json.dumps({"opened": observed.opened, "codes": observed.codes}))
