"""``python -m millstream``: prints changes as they come."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from typing import Any, Dict, List, Optional

from bson import json_util

from . import errors
from .streams import MongoChangeStreams

_EXAMPLES = """\
examples:
  python -m millstream --collection predictions --operations insert update
  python -m millstream --db shop                              every change in the database `shop`
  python -m millstream --db shop --collection orders items    two collections, in one order
  python -m millstream --all --operations delete              everything, but only this kind
  python -m millstream --db shop --full-document updateLookup --before whenAvailable
  python -m millstream --db shop --pipeline '[{"$match": {"fullDocument.qty": {"$gt": 5}}}]'
  python -m millstream --db shop --checkpoint place.json      goes on where it ended the last time
  python -m millstream --db shop --format json | jq .fullDocument

The URI is that of --uri, else of MONGO_URL, else of CHANGE_STREAM_DB, else mongodb://127.0.0.1:27017.
The database is that of --db, else of the URI, else `test`. Ctrl-C and SIGTERM end it and tell what it saw.

exit codes:
  0  done, or asked to stop      3  no server was reached
  1  something else went wrong   4  the server refuses (standalone, no rights, pipeline)
  2  the flags make no sense     5  the position is gone (history lost, token, checkpoint)
"""

_OPERATIONS = [
    "create", "createIndexes", "delete", "drop", "dropDatabase", "dropIndexes", "insert", "invalidate", "modify",
    "refineCollectionShardKey", "rename", "replace", "reshardCollection", "shardCollection", "update",
]  # fmt: skip

_EXIT = [
    (errors.BadUri, 2),
    (errors.Unreachable, 3),
    (errors.AuthenticationFailed, 4),
    (errors.NotAuthorized, 4),
    (errors.NotAReplicaSet, 4),
    (errors.BadPipeline, 4),
    (errors.PositionLost, 5),
    (errors.BadToken, 5),
    (errors.CheckpointError, 5),
]


def main(arguments: Optional[List[str]] = None) -> int:
    """Runs the command, and gives its exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.all and (given.db or given.collection):
        parser.error("--all is everything: leave --db and --collection out")
    printer = _Printer(given)
    streams = MongoChangeStreams(
        given.db or _database(given.uri),
        callback=printer,
        uri=given.uri,
        checkpoint=given.checkpoint,
        watcher=given.watcher,
        # What was printed is not printed again.
        save_events=1,
        retries=0,
        on_invalidate="start_again" if given.follow else "stop",
    )
    printer.streams = streams
    options: Dict[str, Any] = {
        "operation_types": given.operations,
        "pipeline": given.pipeline,
        "full_document": given.full_document,
        "full_document_before_change": given.before,
        "resume_after": given.resume_after,
        "start_after": given.start_after,
        "snapshot": given.snapshot,
        "show_expanded_events": given.expanded,
    }
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: streams.stop())
    try:
        if given.all:
            watching = streams.watch_cluster_async(**options)
        elif given.collection:
            watching = streams.watch_multiple_collections_async(given.collection, **options)
        else:
            watching = streams.watch_database_async(**options)
        if not given.quiet:
            print(f"watching {watching.what} (Ctrl-C ends)", file=sys.stderr, flush=True)
        watching.join()
    except errors.CallbackFailed as error:
        if isinstance(error.__cause__, BrokenPipeError):
            # The reader has seen enough. Nothing is left to write, also not at the end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        return _fail(error)
    except (errors.MillstreamError, ValueError) as error:
        return _fail(error)
    if not given.quiet:
        print(printer.summary(), file=sys.stderr)
    return 0


class _Printer:
    """Prints each change, and counts them."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.streams: Optional[MongoChangeStreams] = None
        self._limit = given.limit
        self._pretty = given.format == "pretty" or given.format is None and sys.stdout.isatty()
        self._options = json_util.CANONICAL_JSON_OPTIONS if given.canonical else json_util.RELAXED_JSON_OPTIONS
        self._kinds: Dict[str, int] = {}

    def __call__(self, change: Any) -> None:
        kind = change.get("operationType", "?")
        text = json_util.dumps(change, json_options=self._options, indent=2 if self._pretty else None)
        if self._pretty:
            name = ".".join(change.get("ns", {}).values())
            text = f"{kind}  {name}  {change.get('wallTime', '')}".rstrip() + f"\n{text}\n"
        print(text, flush=True)
        self._kinds[kind] = self._kinds.get(kind, 0) + 1
        if self.streams is not None and self._limit is not None and sum(self._kinds.values()) >= self._limit:
            self.streams.stop()

    def summary(self) -> str:
        """``3 changes: insert 2, delete 1``."""
        total = sum(self._kinds.values())
        kinds = sorted(self._kinds.items(), key=lambda kind: (-kind[1], kind[0]))
        text = f"{total} change{'' if total == 1 else 's'}"
        return text + (": " + ", ".join(f"{name} {count}" for name, count in kinds) if kinds else "")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m millstream",
        description="Prints the changes of a MongoDB or a Millstream as they come.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    uri = os.environ.get("MONGO_URL") or os.environ.get("CHANGE_STREAM_DB") or "mongodb://127.0.0.1:27017"
    add = parser.add_argument
    add("--uri", default=uri, help="the server; else MONGO_URL, else CHANGE_STREAM_DB, else the local default")
    add("--db", metavar="NAME", help="the database; else that of the URI, else `test`")
    add("-c", "--collection", metavar="NAME", nargs="+", help="one collection or more; else the whole database")
    add("--all", action="store_true", help="all databases")
    add("--operations", metavar="KIND", nargs="+", choices=_OPERATIONS, help="only these kinds of changes: " + ", ".join(_OPERATIONS))
    add("--pipeline", metavar="JSON", type=_stages, help="stages that the server applies: a JSON array, or one stage")
    add("--full-document", metavar="MODE", choices=["default", "updateLookup", "whenAvailable", "required"],
        help="what an update shows of the document after it: updateLookup, whenAvailable, required")  # fmt: skip
    add("--before", metavar="MODE", choices=["off", "whenAvailable", "required"],
        help="what a change shows of the document before it: whenAvailable, required")  # fmt: skip
    add("--expanded", action="store_true", help="also creations, indexes and changed options")
    add("--resume-after", metavar="TOKEN", help="begin behind this token: the text of its _data")
    add("--start-after", metavar="TOKEN", help="the same, also behind an invalidate")
    add("--snapshot", action="store_true", help="begin with the documents that are there (Millstream only)")
    add("--checkpoint", metavar="FILE", help="keep the position in this file, and go on from it")
    add("--watcher", metavar="NAME", help="the same, in the collection change_stream_tokens")
    add("--format", choices=["json", "pretty"], help="a line each, or several [default: pretty on a terminal, else json]")
    add("--canonical", action="store_true", help="Extended JSON with the exact type of every value")
    add("--limit", metavar="N", type=int, help="end after so many changes")
    add("--follow", action="store_true", help="after a drop or rename, go on with a collection of the same name")
    add("-q", "--quiet", action="store_true", help="say nothing but changes and errors")
    return parser


def _stages(text: str) -> Any:
    try:
        return json_util.loads(text)
    except (ValueError, TypeError) as error:
        raise argparse.ArgumentTypeError(f"this is no JSON: {error}") from None


def _database(uri: str) -> str:
    """The URI itself if it names a database; else the shell's default."""
    path = uri.partition("://")[2].partition("/")[2]
    return uri if path.partition("?")[0] else "test"


def _fail(error: Exception) -> int:
    print(f"error: {error}", file=sys.stderr)
    return next((code for kind, code in _EXIT if isinstance(error, kind)), 1)


if __name__ == "__main__":
    sys.exit(main())
