"""What passes, and what does not: servers that go away, signals, forks, the end of the interpreter."""

import os
import signal
import subprocess
import sys
import threading

import pymongo
import pytest
from conftest import until

from millstream import BadUri, MongoChangeStreams, Unreachable


def test_a_server_that_restarts_costs_nothing(mortal):
    client = pymongo.MongoClient(mortal.uri)
    orders = client.shop.orders
    seen = []
    with MongoChangeStreams(client.shop, callback=seen.append, watcher="w", save_every=0.05) as streams:
        streams.watch_collection_async("orders")
        written = 0
        for _ in range(3):
            for _ in range(10):
                orders.insert_one({"_id": written})
                written += 1
            mortal.kill()
            mortal.start()
        orders.insert_one({"_id": written})
        until("all of them", lambda: len(seen) >= written + 1)
    assert [change["documentKey"]["_id"] for change in seen] == list(range(written + 1)), "each once, in their order"
    client.close()


def test_a_server_that_stays_away_is_an_error_in_the_end(mortal):
    uri = mortal.uri + "&serverSelectionTimeoutMS=1500"
    streams = MongoChangeStreams("shop", use_queue=True, uri=uri, give_up_after=0.3)
    watching = streams.watch_collection_async("orders")
    mortal.kill()
    with pytest.raises(Unreachable, match="nothing listens at 127.0.0.1"):
        streams.get_changes_from_queue(40)
    assert not watching.running
    with pytest.raises(Unreachable):
        streams.watch_collection("orders")


def test_a_wrong_uri_is_called_one(engine):
    for uri in ("127.0.0.1:1", "mongodb://", "http://a/"):
        with pytest.raises(BadUri):
            MongoChangeStreams("shop", callback=print, uri=uri).watch_collection("orders")
    with pytest.raises(TypeError, match="needs uri="):
        MongoChangeStreams("shop", callback=print)
    with pytest.raises(ValueError, match="which database"):
        MongoChangeStreams(engine.uri, callback=print).watch_collection("orders")


BLOCKED = """
import sys, pymongo
from millstream import MongoChangeStreams
print("begins", flush=True)
streams = MongoChangeStreams(pymongo.MongoClient(sys.argv[1]).shop, {what}, concurrency={concurrency})
try:
    streams.watch_collection("orders")
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize("what, concurrency", [("callback=print", 1), ("callback=print", 3), ("use_queue=True", 1)])
def test_ctrl_c_ends_a_blocking_watch(engine, program, what, concurrency):
    process = program(BLOCKED.format(what=what, concurrency=concurrency), engine.uri)
    assert process.stdout.readline() == "begins\n"
    # It may be anywhere, from connecting to waiting.
    try:
        process.wait(0.5)
    except subprocess.TimeoutExpired:
        pass
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=40)
    assert out == "interrupted\n", errors
    assert process.returncode == 0, errors


TERMINATED = """
import signal, sys, pymongo
from millstream import MongoChangeStreams
streams = MongoChangeStreams(pymongo.MongoClient(sys.argv[1]).shop, callback=lambda change: print("got", flush=True))
signal.signal(signal.SIGTERM, lambda *_: streams.stop())
streams.watch_collection("orders")
print("stopped", flush=True)
"""


def test_a_signal_handler_may_stop_it(engine, program):
    orders = pymongo.MongoClient(engine.uri).shop.orders
    process = program(TERMINATED, engine.uri)
    got = threading.Thread(target=process.stdout.readline)
    got.start()
    # It prints once it watches.
    while got.is_alive():
        orders.insert_one({})
        got.join(0.05)
    process.send_signal(signal.SIGTERM)
    out, errors = process.communicate(timeout=40)
    assert out.splitlines()[-1] == "stopped", errors
    assert process.returncode == 0
    orders.database.client.close()


FORGOTTEN = """
import sys, threading, time, pymongo
from millstream import MongoChangeStreams
db = pymongo.MongoClient(sys.argv[1]).forgotten
db.orders.drop()
calls = MongoChangeStreams(db, callback=lambda change: time.sleep(0.01), watcher="calls", concurrency=2)
calls.watch_collection_async("orders")
waits = MongoChangeStreams(db, use_queue=True, watcher="waits")
waits.watch_collection_async("orders")
threading.Thread(target=lambda: [None for change in waits], daemon=True).start()
db.orders.insert_many([{"_id": n} for n in range(50)])
time.sleep(0.2)
print("ends", flush=True)
"""


def test_the_interpreter_ends_with_watches_that_nobody_stopped(engine, program):
    process = program(FORGOTTEN, engine.uri)
    out, errors = process.communicate(timeout=40)
    assert (out, errors, process.returncode) == ("ends\n", "", 0)
    tokens = pymongo.MongoClient(engine.uri).forgotten.change_stream_tokens
    assert {saved["_id"] for saved in tokens.find()} == {"calls", "waits"}, "their positions are saved"
    tokens.database.client.close()


FORKED = """
import os, sys, pymongo
from millstream import MongoChangeStreams
uri = sys.argv[1]
seen = []
parent = MongoChangeStreams("forked", callback=seen.append, uri=uri)
parent.watch_collection_async("orders")
child = os.fork()
if child == 0:
    streams = MongoChangeStreams("forked", use_queue=True, uri=uri)
    streams.watch_collection_async("orders")
    # An object of the parent's works too, with a connection of this process.
    parent.watch_collection_async("others")
    pymongo.MongoClient(uri).forked.orders.insert_one({"_id": 1})
    print("child", streams.get_changes_from_queue(30)["documentKey"], flush=True)
    sys.exit(0)
print("ended with", os.waitpid(child, 0)[1], flush=True)
while not seen:
    pass
print("parent", seen[0]["documentKey"], flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_watches_for_itself(engine, program):
    process = program(FORKED, engine.uri)
    out, errors = process.communicate(timeout=40)
    assert out.splitlines() == ["child {'_id': 1}", "ended with 0", "parent {'_id': 1}"], errors
    assert process.returncode == 0


def test_other_threads_run_while_one_waits(db):
    """The interpreter's lock is not held: a thread that waits for changes lets this one go on."""
    with MongoChangeStreams(db, use_queue=True) as streams:
        streams.watch_collection_async("orders")
        got = []
        waiting = threading.Thread(target=lambda: got.append(streams.get_changes_from_queue(None)))
        waiting.start()
        assert sum(range(100_000)) > 0
        db.orders.insert_one({"_id": 1})
        waiting.join(40)
        assert got[0]["documentKey"] == {"_id": 1}


def test_log_goes_to_standard_error_when_asked_for():
    run = subprocess.run(
        [sys.executable, "-c", "import millstream, millstream._native"],
        env={**os.environ, "MILLSTREAM_LOG": "debug"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
