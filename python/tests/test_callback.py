"""Changes for a callback: what it gets, what becomes of it if it raises, in which threads and loops it runs."""

import asyncio
import datetime
import threading
import time
import uuid

import bson
import pymongo
import pytest
from bson.codec_options import CodecOptions
from conftest import until

from millstream import BadPipeline, CallbackFailed, MongoChangeStreams


def ids(changes):
    return [change["documentKey"]["_id"] for change in changes]


def test_it_gets_what_pymongo_would_give(db):
    seen = []
    with MongoChangeStreams(db, callback=seen.append) as streams:
        streams.watch_collection_async("orders", full_document="updateLookup")
        document = {
            "_id": bson.ObjectId(),
            "at": datetime.datetime(2025, 8, 17, 10, 45, 20, 123000),
            "price": bson.Decimal128("1.10"),
            "count": bson.Int64(7),
            "raw": b"\0\1",
            "tags": ["a", None, 1.5],
        }
        with db.orders.watch(full_document="updateLookup") as stream:
            db.orders.insert_one(document)
            db.orders.update_one({}, {"$set": {"count": 8}})
            theirs = [stream.next(), stream.next()]
        until("both changes", lambda: len(seen) == 2)
    assert seen == theirs
    assert seen[0]["fullDocument"] == document
    assert isinstance(seen[0]["clusterTime"], bson.Timestamp)


def test_values_are_decoded_as_the_database_says(db):
    options = CodecOptions(tz_aware=True, uuid_representation=4, document_class=dict)
    ours = db.with_options(codec_options=options)
    seen = []
    key = uuid.uuid4()
    with MongoChangeStreams(ours, callback=seen.append) as streams:
        streams.watch_collection_async("orders", pipeline=[{"$match": {"fullDocument.key": key}}])
        ours.orders.insert_one({"_id": 1, "key": uuid.uuid4()})
        ours.orders.insert_one({"_id": 2, "key": key, "at": datetime.datetime.now(datetime.timezone.utc)})
        until("the change", lambda: seen)
    assert ids(seen) == [2]
    assert seen[0]["fullDocument"]["key"] == key
    assert seen[0]["fullDocument"]["at"].tzinfo is not None


def test_a_blocking_watch_ends_when_its_callback_stops_it(db):
    seen = []

    def changed(change):
        seen.append(change)
        if len(seen) == 3:
            assert streams.stop() is False  # It waits for nobody here: the callback is still running.

    streams = MongoChangeStreams(db, callback=changed)
    writer = threading.Thread(target=lambda: (until("it runs", lambda: streams.running), db.orders.insert_many([{"_id": n} for n in range(9)])))
    writer.start()
    streams.watch_collection("orders", operation_types=["insert"])
    writer.join()
    assert ids(seen) == [0, 1, 2]
    assert not streams.running


def test_only_the_kinds_that_were_asked_for(db):
    seen = []
    with MongoChangeStreams(db, callback=seen.append) as streams:
        streams.watch_collection_async("orders", operation_types=["delete", "update"])
        db.orders.insert_one({"_id": 1})
        db.orders.update_one({"_id": 1}, {"$set": {"n": 1}})
        db.orders.delete_one({"_id": 1})
        until("two changes", lambda: len(seen) == 2)
        stats = streams.get_stats()
    assert [change["operationType"] for change in seen] == ["update", "delete"]
    assert stats["events"] == {"update": 1, "delete": 1}
    assert stats["total_changes"] == 2
    with pytest.raises(ValueError, match="there is no kind of change 'inserts'"):
        streams.watch_collection_async("orders", operation_types=["inserts"])


def test_collections_databases_and_everything(engine, db):
    def names(changes):
        return {f"{change['ns']['db']}.{change['ns']['coll']}" for change in changes if change["operationType"] == "insert"}

    several, whole, everything = [], [], []
    streams = [MongoChangeStreams(db, callback=seen.append) for seen in (several, whole, everything)]
    streams[0].watch_multiple_collections_async(["a", "b"])
    streams[1].watch_database_async()
    streams[2].watch_cluster_async()
    with pymongo.MongoClient(engine.uri) as client:
        other = client[db.name[:40] + "_other"]
        for collection in (other.a, db.a, db.b, db.c):
            collection.insert_one({})
    until("the last", lambda: len(several) == 2 and len(whole) == 3 and len(everything) >= 4)
    assert names(several) == {f"{db.name}.a", f"{db.name}.b"}
    assert names(whole) == {f"{db.name}.{name}" for name in "abc"}
    assert names(everything) >= names(whole) | {f"{other.name}.a"}
    for one in streams:
        assert one.stop()


def test_what_raises_is_tried_again_and_then_put_aside(db):
    tries = []

    def changed(change):
        key = change["documentKey"]["_id"]
        tries.append(key)
        if key % 2 == 1 or (key == 2 and tries.count(2) < 3):
            raise ValueError(f"no {key}")

    with MongoChangeStreams(
        db, callback=changed, retries=2, retry_pause=0.001, on_failure="go_on", dead_letters="dead", watcher="w"
    ) as streams:
        watching = streams.watch_collection_async("orders")
        db.orders.insert_many([{"_id": n} for n in range(4)])
        until("all of them", lambda: watching.get_stats()["delivered"] + watching.get_stats()["given_up"] == 4)
        stats = watching.get_stats()
    assert tries == [0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert (stats["delivered"], stats["given_up"], stats["failures"], stats["retries"]) == (2, 2, 8, 6)
    assert (stats["status"], stats["last_error"]) == ("running", "ValueError: no 3")
    letters = list(db.dead.find().sort("_id"))
    assert [(letter["watcher"], letter["error"], letter["attempts"]) for letter in letters] == [
        ("w", "ValueError: no 1", 3),
        ("w", "ValueError: no 3", 3),
    ]
    assert ids(letter["event"] for letter in letters) == [1, 3]


def test_a_watch_that_stops_at_a_failure_says_why(db):
    def changed(change):
        raise KeyError("status")

    streams = MongoChangeStreams(db, callback=changed, retries=1, retry_pause=0.001)
    watching = streams.watch_collection_async("orders")
    db.orders.insert_one({"_id": 1})
    with pytest.raises(CallbackFailed, match="an event failed 2 times: KeyError: 'status'") as failed:
        watching.join(40)
    assert isinstance(failed.value.__cause__, KeyError)
    assert not watching.running
    # It is told again to whoever asks, and stopping it is no error.
    with pytest.raises(CallbackFailed):
        streams.join()
    assert streams.stop()
    with pytest.raises(CallbackFailed):
        with streams:
            pass


def test_a_callback_that_ends_its_thread_ends_the_watch(db):
    def changed(change):
        raise SystemExit(3)

    streams = MongoChangeStreams(db, callback=changed, dead_letters="dead", watcher="w")
    watching = streams.watch_collection_async("orders")
    db.orders.insert_one({"_id": 1})
    with pytest.raises(CallbackFailed, match="ended its thread: SystemExit"):
        watching.join(40)
    # That was no failure of the event: it comes again.
    assert db.dead.count_documents({}) == 0
    again = MongoChangeStreams(db, use_queue=True, watcher="w")
    again.watch_collection_async("orders")
    assert again.get_changes_from_queue(40)["documentKey"] == {"_id": 1}
    again.stop()


def test_several_at_a_time_each_document_in_its_order(db):
    seen, together, most = {}, [], []

    def changed(change):
        together.append(1)
        most.append(len(together))
        time.sleep(0.001)
        seen.setdefault(change["documentKey"]["_id"], []).append(change["fullDocument"]["n"])
        together.pop()

    with MongoChangeStreams(db, callback=changed, concurrency=4) as streams:
        watching = streams.watch_collection_async("orders", operation_types=["replace"])
        db.orders.insert_many([{"_id": key} for key in range(5)])
        for n in range(20):
            for key in range(5):
                db.orders.replace_one({"_id": key}, {"n": n})
        until("all of them", lambda: watching.get_stats()["delivered"] == 100)
    assert seen == {key: list(range(20)) for key in range(5)}
    assert max(most) > 1, "never two at a time"


def test_a_coroutine_runs_in_the_loop_that_began_the_watch(db):
    async def main():
        loop = asyncio.get_running_loop()
        seen, loops = [], set()

        async def changed(change):
            await asyncio.sleep(0)
            loops.add(asyncio.get_running_loop())
            seen.append(change)
            if len(seen) == 3:
                streams.stop()

        streams = MongoChangeStreams(db, callback=changed)
        watching = streams.watch_collection_async("orders")
        await loop.run_in_executor(None, db.orders.insert_many, [{"_id": n} for n in range(3)])
        await asyncio.wait_for(watching, 40)
        with pytest.raises(RuntimeError, match="_async"):
            streams.watch_collection("orders")
        assert ids(seen) == [0, 1, 2]
        assert loops == {loop}

    asyncio.run(main())


def test_a_coroutine_has_a_loop_of_its_own_where_there_is_none(db):
    seen = []

    async def changed(change):
        await asyncio.sleep(0)
        seen.append(change)
        if len(seen) == 2:
            streams.stop()

    streams = MongoChangeStreams(db, callback=changed)
    watching = streams.watch_collection_async("orders")
    db.orders.insert_many([{"_id": n} for n in range(2)])
    assert watching.join(40)
    assert ids(seen) == [0, 1]


def test_a_loop_that_has_ended_ends_its_watch(db):
    seen = []

    async def changed(change):
        seen.append(change)
        await asyncio.sleep(3600)

    async def main():
        watching = streams.watch_collection_async("orders")
        await asyncio.get_running_loop().run_in_executor(None, db.orders.insert_one, {"_id": 1})
        while not seen:
            await asyncio.sleep(0.005)
        return watching

    streams = MongoChangeStreams(db, callback=changed, dead_letters="dead", retries=0, watcher="w")
    watching = asyncio.run(main())
    assert watching.join(40)
    assert db.dead.count_documents({}) == 0, "what was cut off has not failed"
    # And so it comes again.
    again = MongoChangeStreams(db, use_queue=True, watcher="w")
    again.watch_collection_async("orders")
    assert again.get_changes_from_queue(40)["documentKey"] == {"_id": 1}
    again.stop()


def test_it_is_held_up_and_goes_on(db):
    seen = []
    with MongoChangeStreams(db, callback=seen.append) as streams:
        watching = streams.watch_collection_async("orders")
        watching.pause()
        db.orders.insert_many([{"_id": n} for n in range(10)])
        time.sleep(0.2)
        assert len(seen) <= 1, "one may have been on its way"
        assert watching.get_stats()["status"] == "paused"
        watching.resume()
        until("all ten", lambda: len(seen) == 10)
        # One of two watches is stopped by its number.
        other = streams.watch_collection_async("others")
        assert streams.stop(other.id)
        assert (other.running, watching.running) == (False, True)
        assert [one.id for one in streams.watchings] == [watching.id]


def test_a_collection_that_is_dropped_ends_the_watch_or_not(db):
    db.orders.insert_one({"_id": 1})
    seen = []
    ending = MongoChangeStreams(db, callback=seen.append)
    going_on = MongoChangeStreams(db, callback=seen.append, on_invalidate="start_again")
    watchings = [streams.watch_collection_async("orders") for streams in (ending, going_on)]
    db.orders.drop()
    assert watchings[0].join(40)
    db.orders.insert_one({"_id": 2})
    until("the new collection", lambda: "insert" in [change["operationType"] for change in seen])
    assert watchings[1].running
    assert going_on.stop()


def test_what_cannot_begin_says_why(db):
    nobody = MongoChangeStreams(db)
    with pytest.raises(ValueError, match="give a callback, or use_queue=True"):
        nobody.watch_collection("orders")
    streams = MongoChangeStreams(db, callback=print)
    with pytest.raises(BadPipeline) as refused:
        streams.watch_collection("orders", pipeline=[{"$out": "x"}])
    assert refused.value.code is not None
    with pytest.raises(TypeError, match="there is no option full_documents"):
        streams.watch_collection("orders", full_documents=True)
    with pytest.raises(ValueError, match="begins in one place"):
        streams.watch_collection("orders", resume_after="82AA", snapshot=True)
    with pytest.raises(ValueError, match="which collections"):
        streams.watch_multiple_collections([])
    with pytest.raises(ValueError, match="queue_size"):
        MongoChangeStreams(db, queue_size=0)
    assert not streams.running
