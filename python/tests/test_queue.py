"""Changes in a queue: taking them, and what counts as dealt with."""

import asyncio
import threading

import pytest
from conftest import until

from millstream import BadToken, MongoChangeStreams


def key(change):
    return change["documentKey"]["_id"]


def test_one_at_a_time_or_none(db):
    with MongoChangeStreams(db, use_queue=True, queue_size=10) as streams:
        streams.watch_collection_async("orders")
        assert streams.get_changes_from_queue(timeout=0) is None
        assert streams.get_changes_from_queue(timeout=0.01) is None
        db.orders.insert_many([{"_id": n} for n in range(3)])
        assert [key(streams.get_changes_from_queue(timeout=40)) for _ in range(3)] == [0, 1, 2]
        assert streams.get_changes_from_queue(timeout=0) is None
        until("all dealt with", lambda: streams.get_stats()["delivered"] == 3)


def test_it_is_filled_by_a_watch_that_blocks(db):
    streams = MongoChangeStreams(db, use_queue=True)
    watcher = threading.Thread(target=streams.watch_collection, args=("orders",))
    watcher.start()
    until("it runs", lambda: streams.running)
    db.orders.insert_one({"_id": 1})
    assert key(streams.get_changes_from_queue(40)) == 1
    assert streams.stop()
    watcher.join(40)
    assert not watcher.is_alive()


def test_no_more_is_read_than_there_is_room_for(db):
    with MongoChangeStreams(db, use_queue=True, queue_size=4) as streams:
        streams.watch_collection_async("orders")
        db.orders.insert_many([{"_id": n} for n in range(20)])
        until("a full queue", lambda: streams.get_stats()["queue_size"] == 4)
        assert streams.get_stats()["under_way"] == 4
        assert [key(streams.get_changes_from_queue(40)) for _ in range(20)] == list(range(20))


def test_several_watches_fill_one_queue(db):
    with MongoChangeStreams(db, use_queue=True) as streams:
        for name in ("a", "b"):
            streams.watch_collection_async(name)
            db[name].insert_many([{"_id": n} for n in range(5)])
        seen = [streams.get_changes_from_queue(40) for _ in range(10)]
    for name in ("a", "b"):
        assert [key(change) for change in seen if change["ns"]["coll"] == name] == list(range(5))


def test_what_was_not_dealt_with_comes_again(db):
    def begin():
        streams = MongoChangeStreams(db, use_queue=True, watcher="w")
        streams.watch_collection_async("orders")
        return streams

    streams = begin()
    db.orders.insert_many([{"_id": n} for n in range(10)])
    taken = [key(streams.get_changes_from_queue(40)) for _ in range(3)]
    assert taken == [0, 1, 2]
    # Another thread takes one and never says that it is done with it.
    other = threading.Thread(target=lambda: taken.append(key(streams.get_changes_from_queue(40))))
    other.start()
    other.join()
    assert taken.pop() == 3
    # What this thread took is dealt with when it stops the watch.
    assert streams.stop(timeout=1)

    streams = begin()
    assert key(streams.get_changes_from_queue(40)) == 3
    streams.done()
    assert key(streams.get_changes_from_queue(40)) == 4
    streams.stop()
    streams = begin()
    assert key(streams.get_changes_from_queue(40)) == 5
    streams.stop()


def test_iteration_goes_on_until_the_watch_ends(db):
    with MongoChangeStreams(db, use_queue=True) as streams:
        streams.watch_collection_async("orders")
        db.orders.insert_many([{"_id": n} for n in range(5)])
        for change in streams:
            if key(change) == 2:
                break
        # It goes on behind the one at which it was left.
        db.orders.drop()
        kinds = [change["operationType"] for change in streams]
        assert kinds == ["insert", "insert", "drop", "invalidate"]
        assert streams.get_changes_from_queue() is None
        assert not streams.running


def test_a_coroutine_iterates_too(db):
    async def main():
        loop = asyncio.get_running_loop()
        streams = MongoChangeStreams(db, use_queue=True)
        streams.watch_collection_async("orders")
        seen = []
        # A wait that is cut off takes nothing with it.
        for _ in range(3):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(streams.__anext__(), 0.01)
        await loop.run_in_executor(None, db.orders.insert_many, [{"_id": n} for n in range(6)])
        async for change in streams:
            seen.append(key(change))
            if len(seen) == 6:
                break
        assert sorted(seen) == list(range(6))
        await loop.run_in_executor(None, db.orders.drop)
        kinds = [change["operationType"] async for change in streams]
        assert kinds == ["drop", "invalidate"]

    asyncio.run(main())


def test_many_threads_take_each_change_once(db):
    with MongoChangeStreams(db, use_queue=True, queue_size=50) as streams:
        streams.watch_collection_async("orders")
        seen = []

        def take():
            while len(seen) < 200:
                change = streams.get_changes_from_queue(timeout=0.05)
                if change is not None:
                    seen.append(key(change))
            streams.done()

        threads = [threading.Thread(target=take) for _ in range(4)]
        for thread in threads:
            thread.start()
        db.orders.insert_many([{"_id": n} for n in range(200)])
        for thread in threads:
            thread.join(40)
        assert sorted(seen) == list(range(200))
        until("all dealt with", lambda: streams.get_stats()["delivered"] == 200)


def test_with_a_callback_the_queue_has_copies_of_what_it_dealt_with(db):
    seen = []

    def changed(change):
        if key(change) == 1:
            raise ValueError("one")
        seen.append(key(change))

    with MongoChangeStreams(db, callback=changed, use_queue=True, queue_size=2, retries=0, on_failure="go_on") as streams:
        streams.watch_collection_async("orders")
        db.orders.insert_many([{"_id": n} for n in range(6)])
        copies = [key(streams.get_changes_from_queue(40)) for _ in range(5)]
        assert copies == seen == [0, 2, 3, 4, 5]
        assert streams.get_changes_from_queue(0) is None


def test_the_error_of_a_watch_is_told_to_who_takes(db):
    streams = MongoChangeStreams(db, use_queue=True)
    with pytest.raises(BadToken):
        streams.watch_collection_async("orders", resume_after="not a token")
    # An event without its _id cannot be resumed after: the server or the watcher ends such a stream.
    streams.watch_collection_async("orders", pipeline=[{"$project": {"_id": 0}}])
    db.orders.insert_one({"_id": 1})
    with pytest.raises(Exception, match="_id"):
        streams.get_changes_from_queue(40)
    with pytest.raises(Exception, match="_id"):
        for _ in streams:
            pass
