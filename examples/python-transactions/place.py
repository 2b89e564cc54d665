"""Where the database is: CHANGE_STREAM_DB, MONGO_URL, or the local default."""

import os

URI = (
    os.environ.get("CHANGE_STREAM_DB")
    or os.environ.get("MONGO_URL")
    or "mongodb://127.0.0.1:27017/?replicaSet=rs0"
)
