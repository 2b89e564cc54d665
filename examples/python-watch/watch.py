"""Prints every change as one line of Extended JSON, until the stream ends."""

import sys

import bson.json_util
import pymongo

from place import URI

client = pymongo.MongoClient(URI)

pipeline = []
if "--inserts" in sys.argv:
    pipeline = [{"$match": {"operationType": {"$in": ["insert"]}}}]
options = {}
if "--lookup" in sys.argv:
    options["full_document"] = "updateLookup"

source = client.changestream.collection
if "--database" in sys.argv:
    source = client.changestream
if "--cluster" in sys.argv:
    source = client

with source.watch(pipeline, **options) as stream:
    print("watching", file=sys.stderr, flush=True)
    for change in stream:
        print(bson.json_util.dumps(change), flush=True)
