"""Change streams of MongoDB that resume, retry and keep their place.

    from pymongo import MongoClient
    from millstream import MongoChangeStreams

    def changed(change):
        print(change["operationType"], change.get("fullDocument"))

    db = MongoClient("mongodb://127.0.0.1:27017/?replicaSet=rs0").shop
    with MongoChangeStreams(db, callback=changed, watcher="printer") as streams:
        streams.watch_collection("orders", operation_types=["insert", "update"])
"""

from .errors import (
    AuthenticationFailed,
    BadPipeline,
    BadToken,
    BadUri,
    CallbackFailed,
    CheckpointError,
    EventTooLarge,
    HistoryLost,
    ImageMissing,
    MillstreamError,
    NotAReplicaSet,
    NotAuthorized,
    PositionLost,
    TokenNotFound,
    Unreachable,
)
from .streams import MongoChangeStreams
from .watching import Watching

__all__ = [
    "AuthenticationFailed",
    "BadPipeline",
    "BadToken",
    "BadUri",
    "CallbackFailed",
    "CheckpointError",
    "EventTooLarge",
    "HistoryLost",
    "ImageMissing",
    "MillstreamError",
    "MongoChangeStreams",
    "NotAReplicaSet",
    "NotAuthorized",
    "PositionLost",
    "TokenNotFound",
    "Unreachable",
    "Watching",
]
