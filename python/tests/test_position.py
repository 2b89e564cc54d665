"""Where a watch begins, and where its position is kept."""

import json
import threading

import pymongo
import pytest
from conftest import until

from millstream import CheckpointError, MongoChangeStreams, TokenNotFound


def take(streams, count):
    return [streams.get_changes_from_queue(40)["documentKey"]["_id"] for _ in range(count)]


def queue(db, collection="orders", **options):
    names = ("checkpoint", "watcher")
    streams = MongoChangeStreams(db, use_queue=True, **{name: options.pop(name) for name in names if name in options})
    streams.watch_collection_async(collection, **options)
    return streams


def test_it_begins_where_it_is_told(db):
    streams = queue(db)
    db.orders.insert_many([{"_id": n} for n in range(5)])
    changes = [streams.get_changes_from_queue(40) for _ in range(5)]
    streams.stop()
    token = changes[1]["_id"]
    # A token as it came, as text, and as the event that it is of.
    for place in (token, token["_data"], changes[1]):
        for option in ("resume_after", "start_after"):
            streams = queue(db, **{option: place})
            assert take(streams, 3) == [2, 3, 4]
            streams.stop()
    streams = queue(db, start_at_operation_time=changes[3]["clusterTime"])
    assert take(streams, 1) == [3]
    streams.stop()
    streams = queue(db, snapshot=True)
    assert sorted(take(streams, 5)) == [0, 1, 2, 3, 4]
    db.orders.insert_one({"_id": 5})
    assert take(streams, 1) == [5]
    streams.stop()
    with pytest.raises(TokenNotFound):
        queue(db, resume_after=end(db))


def end(db):
    """The token of an `invalidate`, behind which only start_after goes on."""
    streams = queue(db, collection="short")
    db.short.insert_one({})
    db.short.drop()
    (token,) = [change["_id"] for change in streams if change["operationType"] == "invalidate"]
    again = queue(db, collection="short", start_after=token)
    db.short.insert_one({"_id": "again"})
    assert take(again, 1) == ["again"]
    again.stop()
    return token


@pytest.mark.parametrize("kept", ["checkpoint", "watcher"])
def test_a_position_is_kept_and_taken_up_again(db, tmp_path, kept):
    place = {kept: str(tmp_path / "place.json") if kept == "checkpoint" else "printer"}
    streams = queue(db, **place)
    db.orders.insert_many([{"_id": n} for n in range(6)])
    assert take(streams, 3) == [0, 1, 2]
    streams.done()
    assert streams.stop()
    # While nobody watches, more happens.
    db.orders.insert_one({"_id": 6})
    streams = queue(db, **place)
    assert take(streams, 4) == [3, 4, 5, 6]
    assert streams.stop()
    if kept == "watcher":
        saved = db.change_stream_tokens.find_one({"_id": "printer"})
        assert saved["resumeToken"]["_data"] and saved["updatedAt"]
    # It belongs to what was watched.
    with pytest.raises(CheckpointError, match="another scope"):
        queue(db, collection="others", **place)


def test_two_watches_do_not_share_a_place(db, tmp_path):
    with MongoChangeStreams(db, callback=print, checkpoint=tmp_path / "place.json") as streams:
        streams.watch_collection_async("orders")
        with pytest.raises(ValueError, match="keeps the position of collection"):
            streams.watch_collection_async("others")
        streams.watch_collection_async("others", watcher="others")
        with pytest.raises(ValueError, match="not both"):
            streams.watch_collection_async("more", checkpoint="x", watcher="y")
    # Once it has ended, its place is free.
    streams.watch_collection_async("orders")
    streams.stop()


KILLED = """
import sys, time, pymongo
from millstream import MongoChangeStreams
uri, place = sys.argv[1:]
def changed(change):
    print(change["documentKey"]["_id"], flush=True)
streams = MongoChangeStreams(pymongo.MongoClient(uri).shop, callback=changed, checkpoint=place, save_events=1, save_every=0.02)
streams.watch_collection("orders")
"""


def test_a_program_that_is_killed_goes_on_where_it_was(engine, program, tmp_path):
    place = tmp_path / "place.json"
    orders = pymongo.MongoClient(engine.uri).shop.orders
    seen, written = [], 0
    for round in range(3):
        process = program(KILLED, engine.uri, place)
        if round == 0:
            until("a position", place.exists)
        for _ in range(5):
            orders.insert_one({"_id": written})
            written += 1
        # Two of them at least, and whatever else it got to.
        for _ in range(2):
            seen.append(int(process.stdout.readline()))
        process.kill()
        seen += [int(line) for line in process.stdout.read().split()]
        orders.insert_one({"_id": written})
        written += 1
    process = program(KILLED, engine.uri, place)
    while seen[-1] != written - 1:
        seen.append(int(process.stdout.readline()))
    assert sorted(set(seen)) == list(range(written)), "none is missing"
    again = sum(1 for a, b in zip(seen, seen[1:]) if b != a + 1)
    assert again <= 3, f"it went back without a reason: {seen}"
    orders.database.client.close()


def test_the_position_is_told(db):
    with MongoChangeStreams(db, callback=lambda change: None, save_every=0.01, watcher="w") as streams:
        watching = streams.watch_collection_async("orders")
        db.orders.insert_one({"_id": 1})
        until("it is dealt with", lambda: watching.get_stats()["delivered"] == 1)
        until("it is saved", lambda: (db.change_stream_tokens.find_one({"_id": "w"}) or {}).get("resumeToken") == watching.position)
    json.dumps(watching.position)
    assert threading.active_count() < 20


def test_what_is_kept_in_a_watched_database_is_not_shown(db):
    """A saved position would be a change, which would have a position saved, and so on."""
    seen = []

    def changed(change):
        seen.append(change["ns"]["coll"])
        raise ValueError("no")

    with MongoChangeStreams(db, callback=changed, watcher="w", dead_letters="dead", retries=0, save_every=0.01) as streams:
        streams.watch_database_async(operation_types=["insert", "replace", "update"])
        db.orders.insert_one({"_id": 1})
        until("the dead letter", lambda: db.dead.count_documents({}) == 1)
        until("the position", lambda: db.change_stream_tokens.count_documents({}) == 1)
        db.others.insert_one({"_id": 2})
        until("the next", lambda: len(seen) == 2)
    assert seen == ["orders", "others"]
