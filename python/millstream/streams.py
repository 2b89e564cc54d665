"""``MongoChangeStreams``: the change streams of one database, for callbacks or in a queue."""

from __future__ import annotations

import asyncio
import atexit
import collections
import os
import queue
import threading
import weakref
from typing import (
    TYPE_CHECKING,
    Any,
    AsyncIterator,
    Awaitable,
    Callable,
    Deque,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    MutableMapping,
    Optional,
    Sequence,
    Union,
)

import bson
from bson.codec_options import CodecOptions

from . import uri as _uri
from ._native import Connection, Inbox
from .watching import Watching, in_main_thread, is_async, log, running_loop

if TYPE_CHECKING:
    from typing import TypedDict

    from bson.timestamp import Timestamp
    from typing_extensions import Unpack

    from ._native import Delivery

Change = MutableMapping[str, Any]
Callback = Callable[[Any], Union[None, Any, Awaitable[Any]]]
Token = Union[Mapping[str, Any], str]

if TYPE_CHECKING:

    class WatchOptions(TypedDict, total=False):
        """The options that all ways to watch have; `MongoChangeStreams.watch_collection` says what they mean."""

        full_document: Optional[str]
        full_document_before_change: Optional[str]
        pipeline: Union[None, Mapping[str, Any], Sequence[Mapping[str, Any]]]
        batch_size: Optional[int]
        resume_after: Optional[Token]
        start_after: Optional[Token]
        start_at_operation_time: Optional[Timestamp]
        snapshot: bool
        show_expanded_events: bool
        callback: Optional[Callback]
        checkpoint: Union[None, str, "os.PathLike[str]"]
        watcher: Optional[str]


# How long the end of the program waits for callbacks to end and positions to be saved.
_EXIT_MAX = 5.0
# How often a wait inside of a coroutine looks whether it is still wanted.
_LOOK_EVERY = 0.5

# Where positions and dead letters are kept of watches of everything.
_OWN_DATABASE = "millstream"

_open: "weakref.WeakSet[MongoChangeStreams]" = weakref.WeakSet()


class MongoChangeStreams:
    """The change streams of a database, which resume, retry and keep their place.

    :param db: a pymongo ``Database`` (or ``AsyncDatabase``), whose servers, user and codec options are used; or the name of
        a database, together with ``uri``; or a URI that names one.
    :param callback: is called with every change, a ``dict`` as pymongo gives it; may be ``async def``. If it raises, the
        change is tried again, as the options below say. Without one, the changes go into a queue (``use_queue``).
    :param use_queue: put changes into a queue, from which ``get_changes_from_queue`` and iteration take them. What was
        taken counts as dealt with when the same thread or task takes the next, or calls ``done``. With a callback too, the
        queue gets a copy of what the callback has dealt with.
    :param queue_size: how many changes may be under way; then reading waits.
    :param uri: the connection string; needed if ``db`` is a name, or a client whose options no URI can hold.
    :param checkpoint: a file to keep the position in, so that a later start goes on from there.
    :param watcher: a name to keep the position under, in the collection ``change_stream_tokens`` of the database.
    :param dead_letters: a collection for changes whose callback failed however often it was tried:
        ``{watcher, event, error, attempts, at}``.
    :param concurrency: how many callbacks may run at a time, in threads; those of one document stay in their order.
    :param retries: how often a change whose callback raised is tried again.
    :param retry_pause: seconds before the first such try; the pauses double.
    :param on_failure: when that did not help: ``"stop"`` before the change, which is the default without dead letters, or
        ``"go_on"`` behind it, which is the default with them.
    :param on_history_lost: when the server has forgotten what comes next: ``"stop"``, or ``"start_now"``.
    :param on_invalidate: when what was watched is dropped or renamed: ``"stop"``, or ``"start_again"`` behind that.
    :param save_events: the position is saved after so many changes,
    :param save_every: and after so many seconds, on quiet streams too.
    :param give_up_after: for how many seconds to look for a server that has gone away.
    :param deduplicate: leave out changes that came before, by their tokens, of which so many are remembered.
    :param codec_options: how changes are decoded; those of the database if it is one.

    Changes come at least once, those of one document in their order. A position that is kept is one before which everything
    was dealt with.
    """

    def __init__(
        self,
        db: Any,
        callback: Optional[Callback] = None,
        use_queue: bool = False,
        queue_size: int = 1000,
        *,
        uri: Optional[str] = None,
        checkpoint: Union[None, str, "os.PathLike[str]"] = None,
        watcher: Optional[str] = None,
        dead_letters: Optional[str] = None,
        concurrency: int = 1,
        retries: int = 3,
        retry_pause: float = 0.1,
        on_failure: Optional[str] = None,
        on_history_lost: str = "stop",
        on_invalidate: str = "stop",
        save_events: int = 1000,
        save_every: float = 1.0,
        give_up_after: float = 300.0,
        deduplicate: Optional[int] = None,
        codec_options: Optional["CodecOptions[Any]"] = None,
    ) -> None:
        self._callback = callback
        self._use_queue = use_queue
        if queue_size < 1 or concurrency < 1:
            raise ValueError("queue_size and concurrency are 1 or more")
        self._queue_size = queue_size
        self._database: Optional[str]
        if isinstance(db, str):
            if "://" in db:
                self._uri, self._database = db, None
            elif uri is None:
                raise TypeError("a database that is given by its name needs uri= too")
            else:
                self._uri, self._database = uri, db
            self._codec_options = codec_options or CodecOptions()
        else:
            self._database = db.name
            self._uri = uri if uri is not None else _uri.of_client(db.client)
            self._codec_options = codec_options or db.codec_options
        self._delivery: Dict[str, Any] = {
            "concurrency": concurrency,
            "queue_size": queue_size,
            "retries": retries,
            "retry_pause": float(retry_pause),
            "on_failure": on_failure or ("stop" if dead_letters is None else "go_on"),
            "on_history_lost": on_history_lost,
            "on_invalidate": on_invalidate,
            "save_events": save_events,
            "save_every": float(save_every),
            "give_up_after": float(give_up_after),
            "dead_letters": dead_letters,
            "deduplicate": deduplicate,
        }
        self._checkpoint = None if checkpoint is None else os.fspath(checkpoint)
        self._watcher = watcher

        self._lock = threading.Lock()
        self._connection: Optional[Connection] = None
        self._watchings: Dict[int, Watching] = {}
        self._places: Dict[str, int] = {}
        self._count = 0
        # The queue: what comes from the native half, or copies of what a callback has dealt with.
        self._inbox = Inbox()
        self._copies: "queue.Queue[Change]" = queue.Queue(queue_size)
        # Taken and not known to be dealt with, by the task or thread that took it.
        self._taken: "weakref.WeakKeyDictionary[Any, Delivery]" = weakref.WeakKeyDictionary()
        # Taken for a coroutine that was cancelled meanwhile.
        self._returned: "Deque[Delivery]" = collections.deque()
        self._out: "weakref.WeakSet[Delivery]" = weakref.WeakSet()
        _open.add(self)

    # What to watch.

    def watch_collection(self, name: str, operation_types: Optional[Sequence[str]] = None, **options: "Unpack[WatchOptions]") -> None:
        """Watches one collection until it ends or is stopped, calling the callback or filling the queue.

        :param name: the collection.
        :param operation_types: only these kinds of changes, such as ``["insert", "update", "replace", "delete"]``.
        :param full_document: what an update shows of the document after it: ``"updateLookup"``, ``"whenAvailable"``,
            ``"required"``.
        :param full_document_before_change: what a change shows of the document before it: ``"whenAvailable"``,
            ``"required"``.
        :param pipeline: stages that the server applies to the changes; ``_id`` has to stay.
        :param batch_size: how many changes a reply of the server holds at most.
        :param resume_after: begin behind this token: a change's ``_id``, or its text.
        :param start_after: the same, also behind an ``invalidate``.
        :param start_at_operation_time: begin at this ``bson.Timestamp``.
        :param snapshot: begin with the documents that are there (Millstream only).
        :param show_expanded_events: also creations, indexes and changed options.
        :param callback: another one than that of the object; its changes do not go into the queue.
        :param checkpoint: another file than that of the object.
        :param watcher: another name than that of the object.

        A position that is kept counts more than where to begin. Raises :class:`millstream.MillstreamError` and what is
        derived from it; Ctrl-C ends it, and what the callback was working on comes again at the next start.
        """
        self._block(_names([name]), operation_types, options)

    def watch_collection_async(
        self, name: str, operation_types: Optional[Sequence[str]] = None, **options: "Unpack[WatchOptions]"
    ) -> Watching:
        """The same in the background. Returns as soon as the stream is open, so that every change from then on is seen.

        The threads are daemons: the end of the program ends them, after their positions were saved. An ``async def``
        callback runs in the loop of the coroutine that calls this, else in a loop of its own.
        """
        return self._start(_names([name]), operation_types, options)

    def watch_multiple_collections(
        self, names: Iterable[str], operation_types: Optional[Sequence[str]] = None, **options: "Unpack[WatchOptions]"
    ) -> None:
        """Watches several collections in one order; else like :meth:`watch_collection`."""
        self._block(_names(names), operation_types, options)

    def watch_multiple_collections_async(
        self, names: Iterable[str], operation_types: Optional[Sequence[str]] = None, **options: "Unpack[WatchOptions]"
    ) -> Watching:
        """Watches several collections in one order, in the background."""
        return self._start(_names(names), operation_types, options)

    def watch_database(self, operation_types: Optional[Sequence[str]] = None, **options: "Unpack[WatchOptions]") -> None:
        """Watches all collections of the database; else like :meth:`watch_collection`."""
        self._block(None, operation_types, options)

    def watch_database_async(self, operation_types: Optional[Sequence[str]] = None, **options: "Unpack[WatchOptions]") -> Watching:
        """Watches all collections of the database, in the background."""
        return self._start(None, operation_types, options)

    def watch_cluster(self, operation_types: Optional[Sequence[str]] = None, **options: "Unpack[WatchOptions]") -> None:
        """Watches all databases; else like :meth:`watch_collection`."""
        self._block([], operation_types, options)

    def watch_cluster_async(self, operation_types: Optional[Sequence[str]] = None, **options: "Unpack[WatchOptions]") -> Watching:
        """Watches all databases, in the background."""
        return self._start([], operation_types, options)

    # The queue.

    def get_changes_from_queue(self, timeout: Optional[float] = 1.0) -> Optional[Change]:
        """One change, or ``None`` if none comes in ``timeout`` seconds (``None``: as long as a watch runs; 0: what is
        there). When all watches have ended and the queue is empty, it raises the error of one that ended with one.

        What this thread (or task) took before counts as dealt with now.
        """
        if self._callback is not None:
            return self._copy(timeout)
        self.done()
        delivery = self._take(timeout, in_main_thread())
        return None if delivery is None else self._hold(delivery)

    def done(self) -> None:
        """What this thread (or task) took from the queue is dealt with."""
        delivery = self._taken.pop(_taker(), None)
        if delivery is not None:
            delivery.done()

    def __iter__(self) -> Iterator[Change]:
        """Changes from the queue, until all watches have ended."""
        return self

    def __next__(self) -> Change:
        while self._is_fed():
            change = self.get_changes_from_queue(_LOOK_EVERY if self._callback is not None else None)
            if change is not None:
                return change
        change = self.get_changes_from_queue(0)
        if change is None:
            raise StopIteration
        return change

    def __aiter__(self) -> AsyncIterator[Change]:
        """The same for a coroutine."""
        return self

    async def __anext__(self) -> Change:
        loop = asyncio.get_running_loop()
        if self._callback is not None:
            raise TypeError("`async for` takes changes from the queue, which has no more than copies where there is a callback")
        self.done()
        while True:
            fed = self._is_fed()
            getting = loop.run_in_executor(None, self._take, _LOOK_EVERY, False)
            try:
                delivery = await asyncio.shield(getting)
            except asyncio.CancelledError:
                getting.add_done_callback(self._give_back)
                raise
            if delivery is not None:
                return self._hold(delivery)
            if not fed:
                raise StopAsyncIteration

    # All watches.

    @property
    def watchings(self) -> List[Watching]:
        """The watches that run."""
        with self._lock:
            return [watching for watching in self._watchings.values() if watching.running]

    @property
    def running(self) -> bool:
        """Whether a watch runs."""
        return bool(self.watchings)

    def pause(self) -> None:
        """Reads nothing more until ``resume``."""
        for watching in self.watchings:
            watching.pause()

    def resume(self) -> None:
        """Goes on after ``pause``."""
        for watching in self.watchings:
            watching.resume()

    def stop(self, which: Union[None, int, Watching] = None, timeout: Optional[float] = 10.0) -> bool:
        """Ends one watch (by its number), or all. :meth:`Watching.stop` says how. Says whether they have ended."""
        if which is None:
            chosen = self.watchings
        else:
            number = which.id if isinstance(which, Watching) else which
            with self._lock:
                chosen = [self._watchings[number]]
        for watching in chosen:
            watching._native.stop()
        return all([watching.stop(timeout) for watching in chosen])

    def join(self, timeout: Optional[float] = None) -> bool:
        """Waits until all watches have ended (each for ``timeout`` seconds at most), and raises the error of one that
        ended with one. Says whether all have ended."""
        with self._lock:
            all_of_them = list(self._watchings.values())
        return all([watching.join(timeout) for watching in all_of_them])

    def get_stats(self) -> Dict[str, Any]:
        """Numbers since the beginning, of all watches together::

            {
                "running": 1,             # watches
                "total_changes": 42,
                "events": {"insert": 40, "update": 2},
                "delivered": 42,          # dealt with
                "failures": 0,            # tries that failed
                "retries": 0,             # tries that were made again
                "given_up": 0,            # changes that were given up
                "under_way": 0,           # read, and not yet dealt with
                "queue_size": 0,          # of these, waiting in the queue
                "saves": 3,               # of positions
                "reconnects": 0,          # how often a stream went on after an error
                "per_second": 4.2,        # changes, over the last ten seconds
                "lag_ms": 2,              # how long ago the oldest change happened that is not dealt with
                "watches": {1: {"what": "collection shop.orders", "running": True, "status": "running", ...}},
            }

        Each watch has besides: ``status`` (``running``, ``paused``, ``reconnecting``, ``stalled``, ``ended``, ``failed``),
        ``errors`` (of the server), ``lag_events`` (``None`` if the server has more), ``silent_for``, ``running_for`` and
        ``token_age`` in seconds, and ``last_error``.
        """
        with self._lock:
            each = {number: watching.get_stats() for number, watching in self._watchings.items()}
        events: Dict[str, int] = {}
        for stats in each.values():
            for kind, count in stats["events"].items():
                events[kind] = events.get(kind, 0) + count
        sums = {
            name: sum(stats[name] for stats in each.values())
            for name in ("delivered", "failures", "retries", "given_up", "under_way", "saves", "reconnects", "per_second")
        }
        return {
            "running": sum(stats["running"] for stats in each.values()),
            "total_changes": sum(events.values()),
            "events": events,
            **sums,
            "queue_size": len(self._inbox) + self._copies.qsize(),
            "lag_ms": max((stats["lag_ms"] for stats in each.values()), default=0),
            "watches": each,
        }

    def __enter__(self) -> "MongoChangeStreams":
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        """Stops all watches; raises the error of one that had ended with one, unless another is on its way."""
        self.stop()
        if error is None:
            self.join(0)

    # How it is done.

    def _block(self, names: Optional[List[str]], operation_types: Optional[Sequence[str]], options: "WatchOptions") -> None:
        callback = self._handler(options)
        if callback is not None and is_async(callback) and running_loop() is not None:
            raise RuntimeError("this blocks the loop that the callback needs: use the method that ends in _async")
        watching = self._open(names, operation_types, options, callback)
        watching._begin_here()
        threads = self._delivery["concurrency"]
        if callback is None:
            log.debug("filling the queue from %s", watching.what)
        elif threads == 1:
            watching._work(callback)
        else:
            watching._begin(callback, threads)
        try:
            watching.join()
        except BaseException:
            watching._native.stop()
            raise

    def _start(self, names: Optional[List[str]], operation_types: Optional[Sequence[str]], options: "WatchOptions") -> Watching:
        callback = self._handler(options)
        watching = self._open(names, operation_types, options, callback)
        if callback is not None:
            watching._begin(callback, self._delivery["concurrency"])
        return watching

    def _handler(self, options: "WatchOptions") -> Optional[Callback]:
        """The callback, with the copy for the queue behind it; none if the queue gets all."""
        own = options.pop("callback", None)
        if own is not None:
            return own
        callback = self._callback
        if callback is None:
            if not self._use_queue:
                raise ValueError("somebody has to get the changes: give a callback, or use_queue=True")
            return None
        if not self._use_queue:
            return callback
        call: Callable[[Any], Any] = callback
        if is_async(callback):

            async def call_and_copy(change: Change) -> None:
                await call(change)
                await asyncio.get_running_loop().run_in_executor(None, self._put_copy, change)

            return call_and_copy

        def call_then_copy(change: Change) -> None:
            call(change)
            self._put_copy(change)

        return call_then_copy

    def _open(
        self,
        names: Optional[List[str]],
        operation_types: Optional[Sequence[str]],
        options: "WatchOptions",
        callback: Optional[Callback],
    ) -> Watching:
        connection = self._connect()
        database = self._database or connection.default_database()
        if database is None and names != []:
            raise ValueError("which database? Name it in the URI, or give a Database")
        checkpoint, watcher = options.pop("checkpoint", None), options.pop("watcher", None)
        if checkpoint is None and watcher is None:
            checkpoint, watcher = self._checkpoint, self._watcher
        if checkpoint is not None and watcher is not None:
            raise ValueError("a position is kept in a file (checkpoint) or under a name (watcher), not both")
        request = {
            "database": None if names == [] else database,
            "collections": names or None,
            "operations": list(operation_types or []),
            "own_database": _OWN_DATABASE if names == [] else database,
            "checkpoint": None if checkpoint is None else os.fspath(checkpoint),
            "watcher": watcher,
            **self._delivery,
            **_source(options),
        }
        place = f"file {request['checkpoint']}" if checkpoint is not None else f"name {watcher}"
        with self._lock:
            other = self._watchings.get(self._places.get(place, 0))
            if (checkpoint or watcher) and other is not None and other.running:
                raise ValueError(f"the {place} keeps the position of {other.what}: give each watch its own checkpoint= or watcher=")
            self._count += 1
            number = self._count
        inbox = Inbox() if callback is not None else self._inbox
        raw = bson.encode(request, codec_options=self._codec_options.with_options(document_class=dict))
        native = connection.watch(raw, inbox, number, callback is None)
        watching = Watching(self, number, _words(database, names), native, inbox)
        with self._lock:
            self._watchings[number] = watching
            self._places[place] = number
        return watching

    def _connect(self) -> Connection:
        connection = self._connection
        if connection is None or not connection.is_of_this_process():
            connection = self._connection = Connection.open(self._uri)
        return connection

    def _decode(self, delivery: "Delivery") -> Change:
        return bson.decode(delivery.raw(), codec_options=self._codec_options)

    def _take(self, timeout: Optional[float], interruptible: bool) -> "Optional[Delivery]":
        try:
            return self._returned.popleft()
        except IndexError:
            pass
        delivery = self._inbox.get(timeout, interruptible)
        if delivery is None and not self._inbox.is_fed():
            self._raise_first()
        return delivery

    def _hold(self, delivery: "Delivery") -> Change:
        self._out.add(delivery)
        # It is taken, even if it cannot be decoded: whoever goes on leaves it behind.
        self._taken[_taker()] = delivery
        return self._decode(delivery)

    def _give_back(self, getting: "asyncio.Future[Optional[Delivery]]") -> None:
        if not getting.cancelled() and getting.exception() is None:
            delivery = getting.result()
            if delivery is not None:
                self._returned.append(delivery)

    def _copy(self, timeout: Optional[float]) -> Optional[Change]:
        try:
            if timeout is None or timeout > 0:
                return self._copies.get(timeout=timeout)
            return self._copies.get_nowait()
        except queue.Empty:
            if not self._is_fed():
                self._raise_first()
            return None

    def _put_copy(self, change: Change) -> None:
        while True:
            try:
                return self._copies.put(change, timeout=_LOOK_EVERY)
            except queue.Full:
                if not self.running:
                    return

    def _is_fed(self) -> bool:
        return self.running if self._callback is not None else self._inbox.is_fed()

    def _raise_first(self) -> None:
        with self._lock:
            all_of_them = list(self._watchings.values())
        for watching in all_of_them:
            watching.join(0)

    def _is_at_work(self) -> bool:
        """Whether this thread deals with changes of one of the watches."""
        here, loop = threading.current_thread(), running_loop()
        return any(
            here in watching._threads or loop is not None and loop is watching._loop for watching in self.watchings
        )

    def _wait_for_end(self, watching: Watching, timeout: Optional[float]) -> bool:
        self.done()
        # Who took a change and is no more will not say what became of it.
        for taker, delivery in list(self._taken.items()):
            gone = taker.done() if isinstance(taker, asyncio.Task) else not taker.is_alive()
            if gone and delivery.watch == watching.id:
                delivery.leave()
        try:
            if watching.join(timeout):
                return True
            # Nor do those who did not come back in time.
            for delivery in list(self._out):
                if delivery.watch == watching.id:
                    delivery.leave()
            return watching.join(0 if self._callback is not None else timeout)
        except Exception as error:
            log.debug("%s had ended: %s", watching.what, error)
            return True


def _source(options: "WatchOptions") -> Dict[str, Any]:
    """The options of one watch, as the native half wants them."""
    source: Dict[str, Any] = {
        "pipeline": _stages(options.pop("pipeline", None)),
        "full_document": options.pop("full_document", None) or "default",
        "full_document_before_change": options.pop("full_document_before_change", None) or "off",
        "show_expanded_events": bool(options.pop("show_expanded_events", False)),
        "batch_size": options.pop("batch_size", None),
        "resume_after": options.pop("resume_after", None),
        "start_after": options.pop("start_after", None),
        "start_at_operation_time": options.pop("start_at_operation_time", None),
        "snapshot": bool(options.pop("snapshot", False)),
    }
    if options:
        raise TypeError(f"there is no option {', '.join(sorted(options))}")
    starts = [source[name] for name in ("resume_after", "start_after", "start_at_operation_time")]
    if sum(start is not None for start in starts) + source["snapshot"] > 1:
        raise ValueError("a watch begins in one place: one of resume_after, start_after, start_at_operation_time, snapshot")
    return source


def _stages(pipeline: Any) -> List[Mapping[str, Any]]:
    return [pipeline] if isinstance(pipeline, Mapping) else list(pipeline or [])


def _names(names: Iterable[str]) -> List[str]:
    # A pymongo Collection will do for its name.
    chosen = [names] if isinstance(names, str) else [getattr(name, "name", name) for name in names]
    if not chosen or not all(isinstance(name, str) and name for name in chosen):
        raise ValueError("which collections? None is named")
    return chosen


def _words(database: Optional[str], names: Optional[List[str]]) -> str:
    if names is None:
        return f"database {database}"
    if not names:
        return "the whole cluster"
    return f"collection{'s' if len(names) > 1 else ''} " + ", ".join(f"{database}.{name}" for name in names)


def _taker() -> Any:
    """Who takes: this task, or this thread."""
    task = None if running_loop() is None else asyncio.current_task()
    return task if task is not None else threading.current_thread()


@atexit.register
def _end() -> None:
    """No thread may wait in the native half when the interpreter goes away."""
    for streams in list(_open):
        for watching in streams.watchings:
            watching._native.stop()
    for streams in list(_open):
        streams.stop(timeout=_EXIT_MAX)


if hasattr(os, "register_at_fork"):
    # What the parent watches is not the child's to end.
    os.register_at_fork(after_in_child=_open.clear)
