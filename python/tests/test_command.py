"""`python -m millstream`."""

import json
import os
import signal
import subprocess
import sys

import pymongo
import pytest


def run(program, uri, *arguments):
    process = program("", "--uri", uri, *arguments, module="millstream")
    # It says what it watches once it does.
    said = process.stderr.readline()
    assert said.startswith("watching "), said + process.stderr.read()
    return process


def test_changes_are_printed_as_they_come(engine, program):
    with pymongo.MongoClient(engine.uri) as client:
        predictions = client.command.predictions
        process = run(program, engine.uri, "--db", "command", "--collection", "predictions", "--operations", "insert", "update")
        predictions.insert_one({"_id": 1, "score": 0.5})
        predictions.update_one({"_id": 1}, {"$set": {"score": 0.7}})
        predictions.delete_one({"_id": 1})
        predictions.insert_one({"_id": 2})
        lines = [json.loads(process.stdout.readline()) for _ in range(3)]
        assert [line["operationType"] for line in lines] == ["insert", "update", "insert"]
        assert lines[0]["fullDocument"] == {"_id": 1, "score": 0.5}
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=40)
        assert (out, process.returncode) == ("", 0), errors
        assert "3 changes: insert 2, update 1" in errors


def test_a_checkpoint_is_kept_after_each(engine, program, tmp_path):
    with pymongo.MongoClient(engine.uri) as client:
        orders = client.command_checkpoint.orders
        uri = f"mongodb://127.0.0.1:{engine.port}/command_checkpoint?replicaSet=rs0"
        place = tmp_path / "place.json"
        arguments = ("--collection", "orders", "--checkpoint", place, "--limit", "3", "--format", "json")
        process = run(program, uri, *arguments)
        orders.insert_many([{"_id": n} for n in range(8)])
        out, errors = process.communicate(timeout=40)
        assert [json.loads(line)["documentKey"]["_id"] for line in out.splitlines()] == [0, 1, 2], errors
        process = run(program, uri, *arguments, "--canonical")
        out, _ = process.communicate(timeout=40)
        keys = [json.loads(line)["documentKey"]["_id"] for line in out.splitlines()]
        assert keys == [{"$numberInt": str(n)} for n in (3, 4, 5)]
        process = run(program, uri, *arguments[:4], "--limit", "1", "--format", "pretty")
        out, _ = process.communicate(timeout=40)
        assert out.startswith("insert  command_checkpoint.orders")
        assert json.loads(out[out.index("{") :])["documentKey"] == {"_id": 6}


def test_a_reader_that_has_seen_enough_is_no_error(engine, program):
    with pymongo.MongoClient(engine.uri) as client:
        process = run(program, engine.uri, "--db", "command_pipe")
        process.stdout.close()
        while process.poll() is None:
            client.command_pipe.orders.insert_one({})
        assert process.returncode == 0, process.stderr.read()


@pytest.mark.parametrize(
    "arguments, code, text",
    [
        (["--uri", "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=200", "--db", "x"], 3, "nothing listens"),
        (["--uri", "nonsense", "--db", "x"], 2, "the URI cannot be used"),
        (["--db", "x", "--operations", "inserts"], 2, "invalid choice: 'inserts'"),
        (["--db", "x", "--pipeline", "{"], 2, "--pipeline"),
        (["--all", "--collection", "x"], 2, "--all"),
    ],
)
def test_mistakes_are_told_in_a_sentence(arguments, code, text):
    ended = subprocess.run(
        [sys.executable, "-m", "millstream", *arguments], capture_output=True, text=True, timeout=40
    )
    assert ended.returncode == code, ended.stderr
    assert text in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_uri_comes_from_the_environment(engine):
    environment = {**os.environ, "CHANGE_STREAM_DB": "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=200"}
    environment.pop("MONGO_URL", None)
    ended = subprocess.run(
        [sys.executable, "-m", "millstream", "--db", "x"], capture_output=True, text=True, timeout=40, env=environment
    )
    assert ended.returncode == 3, ended.stderr
    usage = subprocess.run([sys.executable, "-m", "millstream", "--help"], capture_output=True, text=True, timeout=40)
    assert "python -m millstream --collection predictions --operations insert update" in usage.stdout
