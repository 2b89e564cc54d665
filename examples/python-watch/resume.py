"""Prints every change and remembers the last one, so that a later run goes on where this one ended.

    resume.py FILE [resume_after | start_after | start_at_operation_time]

FILE holds the position: a resume token, or a cluster time for start_at_operation_time.
"""

import pathlib
import sys

import bson.json_util
import pymongo

from place import URI

position = pathlib.Path(sys.argv[1])
option = sys.argv[2] if len(sys.argv) > 2 else "resume_after"

client = pymongo.MongoClient(URI)
options = {}
if position.exists():
    options[option] = bson.json_util.loads(position.read_text())

with client.changestream.collection.watch(**options) as stream:
    print("watching", file=sys.stderr, flush=True)
    for change in stream:
        print(bson.json_util.dumps(change), flush=True)
        # A cluster time is inclusive: the change it names comes again, and a consumer must expect it.
        here = change["clusterTime"] if option == "start_at_operation_time" else stream.resume_token
        position.write_text(bson.json_util.dumps(here))
