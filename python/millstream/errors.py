"""What can go wrong. The text of each is one sentence for a person: what is wrong, and what to do about it."""

from __future__ import annotations

from typing import Optional


class MillstreamError(Exception):
    """Anything that goes wrong while watching.

    ``code`` is the server's number for it, if it was the server who refused.
    """

    code: Optional[int] = None


class BadUri(MillstreamError):
    """The URI cannot be used."""


class Unreachable(MillstreamError):
    """No server was reached in time, or the encrypted connection could not be made."""


class AuthenticationFailed(MillstreamError):
    """The server does not accept user and password."""


class NotAuthorized(MillstreamError):
    """The user may not watch this."""


class NotAReplicaSet(MillstreamError):
    """A standalone server has no change streams."""


class BadPipeline(MillstreamError):
    """The server refuses the pipeline or an option, or does not offer it."""


class BadToken(MillstreamError):
    """What was given as a resume token is none."""


class PositionLost(MillstreamError):
    """There is no going on from this position."""


class HistoryLost(PositionLost):
    """The changes after the position are gone from the server's log."""


class TokenNotFound(PositionLost):
    """The log has no such event, or the token is of another watch."""


class CheckpointError(MillstreamError):
    """The kept position is of another watch, damaged, or cannot be read or written."""


class ImageMissing(MillstreamError):
    """A document before or after a change was required, and the server has none."""


class EventTooLarge(MillstreamError):
    """An event is larger than a reply can be."""


class CallbackFailed(MillstreamError):
    """The callback raised, however often the event was tried; ``__cause__`` is what it raised last."""


_BY_KIND = {
    "Authentication": AuthenticationFailed,
    "BadPipeline": BadPipeline,
    "BadToken": BadToken,
    "BadUri": BadUri,
    "Callback": CallbackFailed,
    "Checkpoint": CheckpointError,
    "EventTooLarge": EventTooLarge,
    "HistoryLost": HistoryLost,
    "NoImage": ImageMissing,
    "NotAuthorized": NotAuthorized,
    "NotOffered": BadPipeline,
    "Standalone": NotAReplicaSet,
    "Tls": Unreachable,
    "TokenNotFound": TokenNotFound,
    "TooManyFiles": Unreachable,
    "Unreachable": Unreachable,
}


def of(kind: str, message: str, code: Optional[int]) -> MillstreamError:
    """The exception for an error of the native half."""
    error = _BY_KIND.get(kind, MillstreamError)(message)
    error.code = code
    return error
