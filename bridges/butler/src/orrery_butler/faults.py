"""What an exception says of the file, of the database, or of the repository as a whole."""

from __future__ import annotations

import sqlalchemy.exc
from lsst.daf.butler import DataIdValueError
from lsst.daf.butler.registry import ConflictingDefinitionError
from lsst.daf.butler.registry.interfaces import DatabaseConflictError

from .protocol import Outcome, permanent, retry


class Busy(Exception):
    """Somebody holds a lock that was not freed in time. Nothing was written; half a batch would wait just as long."""


class Gone(Exception):
    """The database cannot be reached, or closed the connection."""


_BUSY = (
    "locked",
    "lock timeout",
    "deadlock",
    "could not serialize",
    "canceling statement",
    "QueuePool limit",
)


def text_of(error: BaseException) -> str:
    """The error in one line, without SQLAlchemy's statement and parameters."""
    said = str(error.orig) if isinstance(error, sqlalchemy.exc.DBAPIError) and error.orig else str(error)
    return f"{type(error).__name__}: {' '.join(said.split())}"[:1_500]


def raise_if_not_the_files(error: BaseException) -> None:
    """Return only when the error may be about the files in hand.

    :raises Busy: a lock
    :raises Gone: the connection
    """
    for cause in _chain(error):
        if not isinstance(cause, sqlalchemy.exc.DBAPIError | sqlalchemy.exc.TimeoutError):
            continue
        if isinstance(cause, sqlalchemy.exc.IntegrityError | sqlalchemy.exc.DataError):
            continue
        text = text_of(cause)
        if any(word in text for word in _BUSY):
            raise Busy(text) from error
        if isinstance(cause, sqlalchemy.exc.OperationalError | sqlalchemy.exc.InterfaceError):
            raise Gone(text) from error
        if isinstance(cause, sqlalchemy.exc.DBAPIError) and cause.connection_invalidated:
            raise Gone(text) from error


def outcome_of(error: BaseException) -> Outcome:
    """What becomes of the one file that an ingest was refused for."""
    text = text_of(error)
    if isinstance(error, FileNotFoundError):
        return retry("missing_file", text)
    if isinstance(error, PermissionError) or "AccessDenied" in text or "Forbidden" in text:
        return retry("forbidden", text)
    if isinstance(error, DatabaseConflictError):
        return permanent("conflict_exposure", text)
    if isinstance(error, ConflictingDefinitionError) and "database constraint failure" in text:
        return permanent("unknown_detector", text)
    if isinstance(error, DataIdValueError):
        # A record that the data id refers to is not there.
        return permanent("unknown_filter" if "physical_filter" in text else "unknown_detector", text)
    if isinstance(error, sqlalchemy.exc.IntegrityError) and "foreign key" in text.lower():
        return permanent("unknown_filter", text)
    if isinstance(error, sqlalchemy.exc.IntegrityError | sqlalchemy.exc.DataError) or "violated a database" in text:
        # A text that is longer than its column, mostly.
        return permanent("metadata", text)
    return retry("storage", text)


def is_known_already(error: BaseException) -> bool:
    """Whether an ingest was refused because the repository, or the same call, has the dataset already."""
    return isinstance(error, ConflictingDefinitionError) and (
        "already contains" in str(error) or "same DataId" in str(error) or "in existing collection" in str(error)
    )


def _chain(error: BaseException) -> list[BaseException]:
    seen: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in seen:
        seen.append(at)
        at = at.__cause__ or at.__context__
    return seen
