"""Transactions as the Python driver makes them. Prints the name of every case that holds.

The server has to run with --test-commands.
"""

import contextlib
import os

import pymongo
from pymongo import monitoring
from pymongo.errors import BulkWriteError, ConfigurationError, DuplicateKeyError, InvalidOperation
from pymongo.errors import OperationFailure, PyMongoError, WriteConcernError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern


class Observed(monitoring.CommandListener):
    """Every command and its reply, newest last."""

    sent = []
    replies = []

    def started(self, event):
        self.sent.append((event.command_name, event.command))

    def succeeded(self, event):
        self.replies.append((event.command_name, event.reply))

    def failed(self, event):
        pass

    def last(self, name):
        return next(command for sent, command in reversed(self.sent) if sent == name)

    def last_reply(self, name):
        return next(reply for sent, reply in reversed(self.replies) if sent == name)

    def count(self, name):
        return sum(sent == name for sent, _ in self.sent)


observed = Observed()
client = pymongo.MongoClient(os.environ["CHANGE_STREAM_DB"], event_listeners=[observed])
CASES = []


def case(function):
    CASES.append(function)
    return function


def fresh(*documents, name="things"):
    """A collection with these documents and no others."""
    collection = client.cases[name]
    collection.drop()
    if documents:
        collection.insert_many(documents)
    else:
        client.cases.create_collection(name)
    return collection


def all_of(collection, session=None):
    return list(collection.find(sort=[("_id", 1)], session=session))


@contextlib.contextmanager
def refused(code, *labels, kind=OperationFailure):
    """The block has to fail with this code and with exactly these labels."""
    try:
        yield
    except kind as error:
        assert error.code == code, error
        found = [
            label
            for label in ["TransientTransactionError", "UnknownTransactionCommitResult", "RetryableWriteError"]
            if error.has_error_label(label)
        ]
        assert found == list(labels), (found, error)
    else:
        raise AssertionError(f"no error {code}")


TRANSIENT = "TransientTransactionError"


@case
def with_transaction_commits_and_returns_what_the_callback_does():
    things = fresh({"_id": 1, "n": 0})

    def callback(session):
        things.update_one({"_id": 1}, {"$inc": {"n": 1}}, session=session)
        things.insert_one({"_id": 2}, session=session)
        return "done"

    with client.start_session() as session:
        assert session.with_transaction(callback) == "done"
        # A session has one transaction after the other.
        session.with_transaction(lambda session: things.insert_one({"_id": 3}, session=session))
    assert all_of(things) == [{"_id": 1, "n": 1}, {"_id": 2}, {"_id": 3}]


@case
def an_exception_leaves_nothing():
    things = fresh({"_id": 1, "n": 0})

    class Mine(Exception):
        pass

    def callback(session):
        things.update_one({"_id": 1}, {"$inc": {"n": 1}}, session=session)
        things.insert_one({"_id": 2}, session=session)
        raise Mine

    with client.start_session() as session:
        try:
            session.with_transaction(callback)
        except Mine:
            pass
        else:
            raise AssertionError("the exception was swallowed")
    assert observed.sent[-1][0] == "abortTransaction"
    assert all_of(things) == [{"_id": 1, "n": 0}]
    # What it had touched is free again.
    things.update_one({"_id": 1}, {"$inc": {"n": 5}})
    things.insert_one({"_id": 2})


@case
def a_callback_runs_again_after_a_conflict_and_sees_fresh_data():
    things = fresh({"_id": 1, "n": 0})
    seen = []

    def callback(session):
        n = things.find_one({"_id": 1}, session=session)["n"]
        seen.append(n)
        if len(seen) == 1:
            with client.start_session() as other:
                other.with_transaction(
                    lambda other: things.update_one({"_id": 1}, {"$inc": {"n": 10}}, session=other)
                )
        things.update_one({"_id": 1}, {"$set": {"n": n + 1}}, session=session)

    with client.start_session() as session:
        session.with_transaction(callback)
    assert seen == [0, 10]
    assert all_of(things) == [{"_id": 1, "n": 11}]


@case
def a_conflict_is_told_at_the_statement():
    things = fresh({"_id": 1, "n": 0}, {"_id": 2})
    with client.start_session() as one, client.start_session() as two:
        one.start_transaction()
        two.start_transaction()
        things.find_one({"_id": 2}, session=two)
        things.update_one({"_id": 1}, {"$inc": {"n": 1}}, session=one)
        with refused(112, TRANSIENT):
            things.update_one({"_id": 1}, {"$inc": {"n": 1}}, session=two)
        # The server has aborted the loser, and the driver may do so again.
        with refused(251, TRANSIENT):
            things.find_one({"_id": 2}, session=two)
        two.abort_transaction()
        one.commit_transaction()
    assert all_of(things) == [{"_id": 1, "n": 1}, {"_id": 2}]


@case
def reads_see_one_state_and_the_writes_of_their_own_transaction():
    things = fresh({"_id": 1, "n": 0})
    with client.start_session() as session:
        session.start_transaction()
        assert all_of(things, session) == [{"_id": 1, "n": 0}]
        things.insert_one({"_id": 9})
        things.insert_one({"_id": 2}, session=session)
        things.update_one({"_id": 1}, {"$set": {"n": 7}}, session=session)
        assert all_of(things, session) == [{"_id": 1, "n": 7}, {"_id": 2}]
        assert all_of(things) == [{"_id": 1, "n": 0}, {"_id": 9}]
        things.delete_one({"_id": 2}, session=session)
        assert all_of(things, session) == [{"_id": 1, "n": 7}]
        session.commit_transaction()
    assert all_of(things) == [{"_id": 1, "n": 7}, {"_id": 9}]


@case
def one_transaction_spans_collections_and_databases():
    things, others = fresh(), client.elsewhere.others
    others.drop()
    with client.start_session() as session:
        for commit in [False, True]:
            session.start_transaction()
            things.insert_one({"_id": 1}, session=session)
            others.insert_one({"_id": 1}, session=session)
            client.third["new one"].insert_one({"_id": commit}, session=session)
            if commit:
                session.commit_transaction()
            else:
                session.abort_transaction()
                assert "new one" not in client.third.list_collection_names()
    assert len(all_of(things)) == len(all_of(others)) == 1
    assert all_of(client.third["new one"]) == [{"_id": True}]


@case
def collections_and_indexes_are_made_inside():
    client.cases.drop_collection("made")
    with client.start_session() as session:
        session.start_transaction()
        client.cases.create_collection("made", session=session)
        client.cases.made.create_index("sku", unique=True, session=session)
        client.cases.made.insert_one({"_id": 1, "sku": "a"}, session=session)
        assert "made" not in client.cases.list_collection_names()
        session.commit_transaction()
        assert sorted(client.cases.made.index_information()) == ["_id_", "sku_1"]
        session.start_transaction()
        try:
            client.cases.made.insert_one({"_id": 2, "sku": "a"}, session=session)
        except DuplicateKeyError as error:
            assert not error.has_error_label(TRANSIENT)
        else:
            raise AssertionError("the index is not unique")
        session.abort_transaction()
    assert len(all_of(client.cases.made)) == 1


@case
def a_cursor_lives_inside_of_its_transaction():
    things = fresh(*({"_id": n} for n in range(30)))
    with client.start_session() as session:
        session.start_transaction()
        things.insert_one({"_id": 30}, session=session)
        cursor = things.find(sort=[("_id", 1)], batch_size=5, session=session)
        first = next(cursor)
        things.delete_many({})
        assert [first, *cursor] == [{"_id": n} for n in range(31)]
        cursor = things.find(batch_size=5, session=session)
        next(cursor)
        session.abort_transaction()
        with refused(43):
            list(cursor)
    assert all_of(things) == []


@case
def bulk_writes_run_inside():
    things, others = fresh({"_id": 1, "n": 0}), fresh(name="others")
    with client.start_session() as session:
        session.start_transaction()
        result = things.bulk_write(
            [
                pymongo.InsertOne({"_id": 2}),
                pymongo.UpdateOne({"_id": 1}, {"$inc": {"n": 1}}),
                pymongo.UpdateMany({}, {"$set": {"all": True}}),
                pymongo.DeleteOne({"_id": 2}),
                pymongo.UpdateOne({"_id": 3}, {"$set": {"new": True}}, upsert=True),
            ],
            session=session,
        )
        assert (result.inserted_count, result.modified_count, result.deleted_count) == (1, 3, 1)
        assert result.upserted_ids == {4: 3}
        result = client.bulk_write(
            [
                pymongo.InsertOne({"_id": 1}, namespace="cases.others"),
                pymongo.UpdateOne({"_id": 1}, {"$inc": {"n": 1}}, namespace="cases.things"),
            ],
            session=session,
        )
        assert (result.inserted_count, result.modified_count) == (1, 1)
        assert all_of(others) == []
        session.commit_transaction()
        assert all_of(things) == [{"_id": 1, "n": 2, "all": True}, {"_id": 3, "new": True}]
        assert all_of(others) == [{"_id": 1}]

        # Inside a transaction the first error ends it, also where the order of the rest does not matter.
        session.start_transaction()
        try:
            things.insert_many([{"_id": 4}, {"_id": 1}, {"_id": 5}], ordered=False, session=session)
        except BulkWriteError as error:
            assert [failed["code"] for failed in error.details["writeErrors"]] == [11000], error.details
        else:
            raise AssertionError("a key twice")
        session.abort_transaction()
    assert len(all_of(things)) == 2


@case
def find_and_modify_aggregate_and_distinct_run_inside():
    things = fresh({"_id": 1, "n": 1}, {"_id": 2, "n": 2})
    with client.start_session() as session:
        session.start_transaction()
        changed = things.find_one_and_update({"_id": 1}, {"$inc": {"n": 4}}, return_document=True, session=session)
        assert changed == {"_id": 1, "n": 5}
        assert things.find_one_and_delete({"_id": 2}, session=session) == {"_id": 2, "n": 2}
        things.find_one_and_replace({"_id": 3}, {"n": 6}, upsert=True, session=session)
        assert sorted(things.distinct("n", session=session)) == [5, 6]
        assert things.count_documents({}, session=session) == 2
        total = things.aggregate([{"$group": {"_id": None, "n": {"$sum": "$n"}}}], session=session)
        assert list(total) == [{"_id": None, "n": 11}]
        assert sorted(things.distinct("n")) == [1, 2]
        session.commit_transaction()
    assert all_of(things) == [{"_id": 1, "n": 5}, {"_id": 3, "n": 6}]


@case
def what_is_not_allowed_inside_is_refused():
    things = fresh({"_id": 1})
    with client.start_session() as session:
        for run in [
            lambda: client.cases.command("count", "things", session=session),
            lambda: things.drop(session=session),
            lambda: things.watch(session=session),
            lambda: client.cases.list_collection_names(session=session),
        ]:
            session.start_transaction()
            things.insert_one({"_id": 2}, session=session)
            with refused(263):
                run()
            session.abort_transaction()
    assert all_of(things) == [{"_id": 1}]


@case
def a_commit_without_an_answer_is_asked_for_again():
    things = fresh()
    before = observed.count("commitTransaction")
    fail(["commitTransaction"], times=1, closeConnection=True)
    with client.start_session() as session:
        session.with_transaction(lambda session: things.insert_one({"_id": 1}, session=session))
    assert observed.count("commitTransaction") == before + 2
    # A repeated commit waits for the majority, whatever was asked for at first.
    assert observed.last("commitTransaction")["writeConcern"]["w"] == "majority"
    with client.start_session() as session:
        session.start_transaction()
        things.insert_one({"_id": 2}, session=session)
        session.commit_transaction()
        # By hand, as often as one likes.
        session.commit_transaction()
        session.commit_transaction()
    assert all_of(things) == [{"_id": 1}, {"_id": 2}]


@case
def an_error_that_passes_runs_the_callback_again():
    things = fresh()
    runs = []

    def callback(session):
        runs.append(1)
        things.insert_one({"_id": 1}, session=session)

    fail(["insert"], times=1, errorCode=251, errorLabels=[TRANSIENT])
    with client.start_session() as session:
        session.with_transaction(callback)
        assert len(runs) == 2
        # The connection breaks inside of the transaction: the driver labels that itself.
        fail(["insert"], times=1, closeConnection=True)
        session.with_transaction(lambda session: things.insert_one({"_id": 2}, session=session))
    assert all_of(things) == [{"_id": 1}, {"_id": 2}]


@case
def concerns_belong_to_the_transaction():
    things = fresh({"_id": 1})
    with client.start_session() as session:
        for level in ["local", "majority", "snapshot"]:
            session.start_transaction(read_concern=ReadConcern(level))
            assert all_of(things, session) == [{"_id": 1}]
            assert observed.last("find")["readConcern"]["level"] == level
            session.commit_transaction()
        for level in ["available", "linearizable"]:
            session.start_transaction(read_concern=ReadConcern(level))
            with refused(72):
                all_of(things, session)
            session.abort_transaction()

        # What cannot be had of one server is told, and the transaction is committed all the same.
        session.start_transaction(write_concern=WriteConcern(2))
        things.insert_one({"_id": 2}, session=session)
        with refused(100, kind=WriteConcernError):
            session.commit_transaction()
        assert all_of(things) == [{"_id": 1}, {"_id": 2}]
        try:
            session.start_transaction(write_concern=WriteConcern(0))
        except ConfigurationError:
            pass
        else:
            raise AssertionError("a transaction nobody hears of")


@case
def causal_sessions_read_what_they_wrote():
    things = fresh()
    other = pymongo.MongoClient(os.environ["CHANGE_STREAM_DB"], event_listeners=[observed])
    with client.start_session(causal_consistency=True) as session:
        for n in range(5):
            things.insert_one({"_id": n}, session=session)
            reply = observed.last_reply("insert")
            assert session.operation_time == reply["operationTime"]
            assert session.cluster_time["clusterTime"] >= reply["operationTime"]
            with other.start_session(causal_consistency=True) as reader:
                reader.advance_cluster_time(session.cluster_time)
                reader.advance_operation_time(session.operation_time)
                assert len(all_of(other.cases.things, reader)) == n + 1
            assert observed.last("find")["readConcern"]["afterClusterTime"] == session.operation_time
        # The time of a transaction counts as well.
        session.with_transaction(lambda session: things.insert_one({"_id": "t"}, session=session))
        assert session.operation_time == observed.last_reply("commitTransaction")["operationTime"]
        session.start_transaction()
        assert len(all_of(things, session)) == 6
        assert "afterClusterTime" in observed.last("find")["readConcern"]
        session.commit_transaction()
    other.close()


@case
def snapshot_sessions_read_one_time():
    things, others = fresh({"_id": 1, "n": 1}), fresh({"_id": 1}, name="others")
    with client.start_session(snapshot=True) as session:
        assert len(all_of(things, session)) == 1
        time = observed.last_reply("find")["cursor"]["atClusterTime"]
        things.insert_many({"_id": n, "n": n} for n in range(2, 40))
        others.delete_many({})
        assert len(all_of(others, session)) == 1
        assert observed.last("find")["readConcern"] == {"level": "snapshot", "atClusterTime": time}
        assert things.distinct("n", session=session) == [1]
        assert observed.last_reply("distinct")["atClusterTime"] == time
        assert things.count_documents({}, session=session) == 1
        assert observed.last_reply("aggregate")["cursor"]["atClusterTime"] == time
        try:
            session.start_transaction()
        except InvalidOperation:
            pass
        else:
            raise AssertionError("a transaction in a snapshot session")
    with client.start_session(snapshot=True) as session:
        cursor = things.find(batch_size=4, session=session)
        next(cursor)
        things.delete_many({})
        assert len(list(cursor)) == 38
        assert len(all_of(things, session)) == 39


@case
def what_fails_in_the_callback_and_is_not_transient_comes_out():
    things = fresh({"_id": 1})
    runs = []

    def callback(session):
        runs.append(1)
        things.insert_one({"_id": 2}, session=session)
        things.insert_one({"_id": 1}, session=session)

    with client.start_session() as session:
        try:
            session.with_transaction(callback)
        except DuplicateKeyError:
            pass
        else:
            raise AssertionError("a key twice")
    assert len(runs) == 1
    assert all_of(things) == [{"_id": 1}]


@case
def ending_a_session_aborts():
    things = fresh({"_id": 1, "n": 0})
    with client.start_session() as session:
        session.start_transaction()
        things.update_one({"_id": 1}, {"$inc": {"n": 1}}, session=session)
    # The driver aborts what is open when a session ends.
    assert observed.sent[-1][0] == "abortTransaction"
    things.update_one({"_id": 1}, {"$inc": {"n": 10}})
    assert all_of(things) == [{"_id": 1, "n": 10}]


def fail(commands, times, **data):
    """Makes the next so many of these commands fail."""
    client.admin.command("configureFailPoint", "failCommand", mode={"times": times}, data={"failCommands": commands, **data})


# So that no case is the one that has to create the database.
fresh()
for each in CASES:
    try:
        each()
    except (AssertionError, PyMongoError):
        print("failed:", each.__name__, flush=True)
        raise
    print(each.__name__, flush=True)
