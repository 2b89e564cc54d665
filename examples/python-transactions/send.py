"""Sends the messages of the outbox, each once, and goes on where it ended the last time.

    send.py [COUNT]

Ends after so many messages. What it sends goes into a collection, and so does its position: both in one transaction, so that
no crash comes in between. Whoever sends to somewhere else sends first, saves after, and gives the message's `_id` to the
receiver, who can tell by it what has come before.
"""

import sys

import pymongo

from place import URI

count = int(sys.argv[1]) if len(sys.argv) > 1 else None
client = pymongo.MongoClient(URI)
shop = client.shop


def save(token, session=None):
    shop.positions.replace_one({"_id": "sender"}, {"token": token}, upsert=True, session=session)


position = shop.positions.find_one({"_id": "sender"})
options = {"resume_after": position["token"]} if position else {}
with shop.outbox.watch([{"$match": {"operationType": "insert"}}], **options) as stream:
    if position is None:
        # Whatever comes from now on is after this place, also if the program ends before the first message.
        save(stream.resume_token)
    print("watching", file=sys.stderr, flush=True)
    for change in stream:
        message = change["fullDocument"]

        def send(session):
            shop.sent.insert_one({"message": message["_id"], "text": message["text"]}, session=session)
            save(change["_id"], session)

        with client.start_session() as session:
            session.with_transaction(send)
        print("sent", message["_id"], message["text"], flush=True)
        if count is not None:
            count -= 1
            if count == 0:
                break
