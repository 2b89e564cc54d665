"""Writes a little of everything, then drops the collection."""

import pymongo

from place import URI

client = pymongo.MongoClient(URI)
collection = client.changestream.collection

collection.insert_one({"_id": 1, "hello": "world"})
collection.update_one({"_id": 1}, {"$set": {"hello": "change streams"}})
collection.replace_one({"_id": 1}, {"bye": "world"})
collection.delete_one({"_id": 1})
collection.drop()
