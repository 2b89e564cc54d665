"""Places orders. Each is written together with a message about it, or not at all.

    order.py [--empty]

With --empty it only makes the collections, as new.
"""

import sys

import pymongo

from place import URI

client = pymongo.MongoClient(URI)
shop = client.shop

if "--empty" in sys.argv:
    for name in ["orders", "outbox", "sent", "positions"]:
        shop.drop_collection(name)
        shop.create_collection(name)
    sys.exit()


class OutOfStock(Exception):
    pass


def place(number, item):
    def together(session):
        shop.orders.insert_one({"_id": number, "item": item}, session=session)
        shop.outbox.insert_one({"_id": number, "text": f"your {item} is on its way"}, session=session)
        if item == "unicorn":
            raise OutOfStock

    with client.start_session() as session:
        session.with_transaction(together)


for number, item in enumerate(["lamp", "desk", "unicorn", "chair", "shelf"], 1):
    try:
        place(number, item)
    except OutOfStock:
        # There is neither an order nor a message.
        pass
