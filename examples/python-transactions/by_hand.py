"""What `with_transaction` does, by hand: books the first free seat, and starts over when somebody was faster."""

import pymongo
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from place import URI

client = pymongo.MongoClient(URI)
seats = client.theatre.seats


def run(work):
    """Runs `work` in a transaction until it is committed."""
    with client.start_session() as session:
        while True:
            session.start_transaction(read_concern=ReadConcern("snapshot"), write_concern=WriteConcern("majority"))
            try:
                result = work(session)
                commit(session)
                return result
            except BaseException as error:
                # Without effect if the server or the commit has ended it already.
                if session.in_transaction:
                    session.abort_transaction()
                if isinstance(error, PyMongoError) and error.has_error_label("TransientTransactionError"):
                    print("somebody was faster: starting over")
                    continue
                raise


def commit(session):
    """Commits. Where it is not known whether the server did, it is asked again: it commits only once."""
    while True:
        try:
            return session.commit_transaction()
        except PyMongoError as error:
            if not error.has_error_label("UnknownTransactionCommitResult"):
                raise
            print("the commit's answer is missing: asking again")


seats.drop()
seats.insert_many({"_id": number, "guest": None} for number in range(1, 4))
others = ["Ben"]


def book(session):
    seat = seats.find_one({"guest": None}, sort=[("_id", 1)], session=session)
    print("seat", seat["_id"], "is free")
    if others:
        # Meanwhile, and not in this transaction:
        seats.update_one({"_id": seat["_id"]}, {"$set": {"guest": others.pop()}})
    seats.update_one({"_id": seat["_id"]}, {"$set": {"guest": "Ada"}}, session=session)
    return seat["_id"]


print("booked seat", run(book))
for seat in seats.find(sort=[("_id", 1)]):
    print("seat", seat["_id"], seat["guest"] or "free")
