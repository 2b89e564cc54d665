"""Several clients move money between accounts at the same time. None of it appears or disappears.

    transfer.py [CLIENTS] [TRANSFERS OF EACH]
"""

import random
import sys
import threading

import pymongo

from place import URI

CLIENTS = int(sys.argv[1]) if len(sys.argv) > 1 else 4
TRANSFERS = int(sys.argv[2]) if len(sys.argv) > 2 else 25
NAMES = ["Ada", "Ben", "Cleo", "Dan", "Eva"]
OPENING = 200


class NotEnough(Exception):
    """The account does not hold so much."""


def move(session, source, target, amount):
    """One transfer. It may run more than once, so whatever it does, it does through the session."""
    bank = session.client.bank
    taken = bank.accounts.update_one(
        {"_id": source, "balance": {"$gte": amount}}, {"$inc": {"balance": -amount}}, session=session
    )
    if taken.modified_count == 0:
        raise NotEnough
    bank.accounts.update_one({"_id": target}, {"$inc": {"balance": amount}}, session=session)
    bank.transfers.insert_one({"from": source, "to": target, "amount": amount}, session=session)


class Clerk(threading.Thread):
    """A client that makes transfers."""

    def __init__(self):
        super().__init__()
        self.done = self.refused = self.runs = 0

    def run(self):
        with pymongo.MongoClient(URI) as client, client.start_session() as session:
            for _ in range(TRANSFERS):
                source, target = random.sample(NAMES, 2)
                amount = random.randint(1, 150)

                def once(session):
                    self.runs += 1
                    move(session, source, target, amount)

                try:
                    session.with_transaction(once)
                    self.done += 1
                except NotEnough:
                    self.refused += 1


class Auditor(threading.Thread):
    """A client that looks at all accounts and all transfers, at one time."""

    def __init__(self):
        super().__init__()
        self.closed = threading.Event()
        self.looks = 0
        self.wrong = []

    def run(self):
        with pymongo.MongoClient(URI) as client:
            while not self.closed.is_set():
                # Everything that is read in a snapshot session shows the same moment.
                with client.start_session(snapshot=True) as session:
                    balances = {a["_id"]: a["balance"] for a in client.bank.accounts.find(session=session)}
                    expected = dict.fromkeys(NAMES, OPENING)
                    for transfer in client.bank.transfers.find(session=session):
                        expected[transfer["from"]] -= transfer["amount"]
                        expected[transfer["to"]] += transfer["amount"]
                self.looks += 1
                if balances != expected:
                    self.wrong.append((balances, expected))


def total(client):
    return sum(account["balance"] for account in client.bank.accounts.find())


client = pymongo.MongoClient(URI)
for name in ["accounts", "transfers"]:
    client.bank.drop_collection(name)
    client.bank.create_collection(name)
client.bank.accounts.insert_many({"_id": name, "balance": OPENING} for name in NAMES)
print("total", total(client))

auditor = Auditor()
clerks = [Clerk() for _ in range(CLIENTS)]
for thread in [auditor, *clerks]:
    thread.start()
for clerk in clerks:
    clerk.join()
auditor.closed.set()
auditor.join()

done = sum(clerk.done for clerk in clerks)
refused = sum(clerk.refused for clerk in clerks)
again = sum(clerk.runs for clerk in clerks) - done - refused
print(f"{done} transfers done, {refused} refused, {again} runs repeated after a conflict")
print(f"{auditor.looks} looks in between, {len(auditor.wrong)} of them wrong")
print("total", total(client))
if auditor.wrong or done + refused != CLIENTS * TRANSFERS:
    sys.exit(1)
