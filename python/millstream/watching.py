"""One watch that runs, and the threads that deal with its events."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import logging
import threading
from typing import TYPE_CHECKING, Any, Callable, Dict, Generator, List, Optional

import bson

from .errors import CallbackFailed

if TYPE_CHECKING:
    from ._native import Delivery, Inbox, Watch
    from .streams import MongoChangeStreams

log = logging.getLogger("millstream")

# How often a thread that waits for a coroutine looks whether that can still end.
_LOOK_EVERY = 0.5


class Watching:
    """A watch that runs: what ``watch_collection_async`` and its like return.

    It can be stopped, paused, and waited for, from any thread; a coroutine can ``await`` its end.
    """

    def __init__(
        self,
        streams: "MongoChangeStreams",
        number: int,
        what: str,
        native: "Watch",
        inbox: "Inbox",
    ) -> None:
        self.id = number
        """Its number among the watches of one ``MongoChangeStreams``."""
        self.what = what
        """What is watched, in words."""
        self._streams = streams
        self._native = native
        self._inbox = inbox
        self._threads: List[threading.Thread] = []
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._raised: Optional[BaseException] = None
        # What ended a thread, beside what a callback may raise.
        self._broken: Optional[BaseException] = None

    def __repr__(self) -> str:
        return f"<Watching {self.id}: {self.what}, {'running' if self.running else 'ended'}>"

    @property
    def running(self) -> bool:
        """Whether it has not ended, by itself or because it was asked to."""
        return not self._native.has_ended()

    @property
    def position(self) -> Optional[Dict[str, Any]]:
        """The resume token behind which everything was dealt with, as it was last saved."""
        raw = self._native.position()
        return None if raw is None else bson.decode(raw)

    def get_stats(self) -> Dict[str, Any]:
        """Numbers about this watch; ``MongoChangeStreams.get_stats`` has their meaning."""
        return {"what": self.what, "running": self.running, **bson.decode(self._native.stats())}

    def pause(self) -> None:
        """Reads nothing more until ``resume``. What was read goes on."""
        self._native.pause()

    def resume(self) -> None:
        """Goes on after ``pause``."""
        self._native.resume()

    def stop(self, timeout: Optional[float] = 10.0) -> bool:
        """Ends it: waits until what was begun is dealt with and the position is saved, ``timeout`` seconds at most
        (``None``: as long as it takes). Says whether it has ended.

        What was read and not begun comes again at the next start from the position. From within a callback, in a loop that
        runs callbacks, and from a signal handler that interrupts a blocking watch, it only asks to stop, since waiting there
        would be for itself.
        """
        self._native.stop()
        if self._streams._is_at_work():
            return not self.running
        return self._streams._wait_for_end(self, timeout)

    def join(self, timeout: Optional[float] = None) -> bool:
        """Waits until it ends (for ``timeout`` seconds at most), and raises the error that it ended with, if any. Says
        whether it has ended."""
        try:
            if not self._native.join(timeout, in_main_thread()):
                return False
        except Exception as error:
            raise error from self._raised
        if self._broken is not None:
            raise CallbackFailed(f"the callback ended its thread: {self._broken!r}") from self._broken
        return True

    def __await__(self) -> Generator[Any, None, None]:
        return self._ended().__await__()

    async def _ended(self) -> None:
        loop = asyncio.get_running_loop()
        while not await loop.run_in_executor(None, self.join, _LOOK_EVERY):
            pass

    # Dealing with events.

    def _begin(self, callback: Callable[[Any], Any], threads: int) -> None:
        """Has threads of its own deal with the events."""
        # Without one each thread has a loop of its own.
        self._loop = loop = running_loop() if is_async(callback) else None
        workers = []
        for number in range(threads):
            thread = threading.Thread(
                target=self._work_alone,
                args=(callback, loop),
                name=f"millstream-{self.id}-{number}",
                daemon=True,
            )
            workers.append(thread)
        self._threads += workers
        for thread in workers:
            thread.start()

    def _begin_here(self) -> None:
        """This thread deals with the events, or waits for those that do."""
        self._threads.append(threading.current_thread())

    def _work_alone(self, callback: Callable[[Any], Any], loop: Optional[asyncio.AbstractEventLoop]) -> None:
        try:
            self._work(callback, loop)
        except BaseException as error:  # The thread ends with it; so does the watch.
            self._broken = error
            log.error("the callback for %s ended its thread: %r", self.what, error)

    def _work(self, callback: Callable[[Any], Any], loop: Optional[asyncio.AbstractEventLoop] = None) -> None:
        """Deals with events until there are no more."""
        own: Optional[asyncio.AbstractEventLoop] = None
        call = callback
        if is_async(callback):
            if loop is not None:
                there = loop
                call = lambda change: self._call_in(there, callback(change))  # noqa: E731
            else:
                here = own = asyncio.new_event_loop()
                call = lambda change: here.run_until_complete(callback(change))  # noqa: E731
        interruptible = in_main_thread()
        try:
            while True:
                delivery = self._inbox.get(None, interruptible)
                if delivery is None:
                    return
                self._deal_with(delivery, call)
        except BaseException:
            # Ctrl-C, SystemExit: the event that was under way is left, and comes again at the next start.
            self._native.stop()
            raise
        finally:
            if own is not None:
                own.run_until_complete(own.shutdown_asyncgens())
                own.close()

    def _deal_with(self, delivery: "Delivery", call: Callable[[Any], Any]) -> None:
        try:
            call(self._streams._decode(delivery))
        except _Left:
            delivery.leave()
        except Exception as error:
            self._raised = error
            log.debug("the callback for %s raised", self.what, exc_info=True)
            delivery.failed(f"{type(error).__name__}: {error}")
        except BaseException:
            self._native.stop()
            delivery.leave()
            raise
        else:
            delivery.done()

    def _call_in(self, loop: asyncio.AbstractEventLoop, coroutine: Any) -> Any:
        """Has another thread's loop run a coroutine, and waits for it."""
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        except RuntimeError:  # The loop is closed: nobody will ever run it.
            coroutine.close()
            self._native.stop()
            raise _Left() from None
        while True:
            try:
                return future.result(_LOOK_EVERY)
            except concurrent.futures.CancelledError:
                self._native.stop()
                raise _Left() from None
            except concurrent.futures.TimeoutError:
                if future.done():
                    raise  # The coroutine's own.
                if loop.is_closed():
                    self._native.stop()
                    raise _Left() from None


class _Left(Exception):
    """The event was not dealt with and not refused: the loop that should have done it is gone."""


def is_async(callback: Callable[..., Any]) -> bool:
    """Whether calling it gives a coroutine."""
    return inspect.iscoroutinefunction(callback) or inspect.iscoroutinefunction(getattr(callback, "__call__", None))


def running_loop() -> Optional[asyncio.AbstractEventLoop]:
    """The loop that runs this, if there is one."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
