"""Whether files are there: each is looked at. Butler looks at a sample, above 200.

``ResourcePath.mexists`` is no help: it says of a file that it could not look at that it is not there.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor, wait

from lsst.resources import ResourcePath

from .catalog import CatalogAway, Deadline
from .faults import text_of
from .protocol import Outcome, retry

#: Looks at a remote store at once; no more than its client keeps connections for.
WORKERS = 10

#: How the clients of remote stores call it when nobody answers; not all of them say it with an OSError.
_AWAY = {"ConnectionError", "TimeoutError", "HTTPClientError", "ConnectionClosedError", "Timeout"}


def absent(uris: Collection[ResourcePath], deadline: Deadline) -> dict[ResourcePath, Outcome]:
    """The files that cannot be ingested now, each with the reason.

    :raises CatalogAway: nobody answers for any of them, or not in time
    """
    looked: dict[ResourcePath, Outcome | None] = {uri: _local(uri) for uri in uris if uri.isLocal}
    remote = [uri for uri in uris if not uri.isLocal]
    if remote:
        looked.update(_remote(remote, deadline))
    return {uri: fault for uri, fault in looked.items() if fault is not None}


def _local(uri: ResourcePath) -> Outcome | None:
    try:
        os.stat(uri.ospath)
    except OSError as error:
        return _fault(uri, error)
    return None


def _remote(uris: list[ResourcePath], deadline: Deadline) -> dict[ResourcePath, Outcome | None]:
    pool = ThreadPoolExecutor(WORKERS)
    looks = {uri: pool.submit(uri.exists) for uri in uris}
    wait(looks.values(), timeout=deadline.seconds_left)
    # Whatever still hangs is not waited for.
    pool.shutdown(wait=False, cancel_futures=True)
    hanging = next((uri for uri, look in looks.items() if not look.done() or look.cancelled()), None)
    if hanging is not None:
        raise CatalogAway("storage_unavailable", f"no answer for {hanging}")
    errors = {uri: look.exception() for uri, look in looks.items()}
    away = [error for error in errors.values() if error is not None and _is_away(error)]
    if len(away) == len(uris):
        raise CatalogAway("storage_unavailable", text_of(away[0]))
    return {
        uri: _fault(uri, error) if error is not None else None if looks[uri].result() else _missing(uri)
        for uri, error in errors.items()
    }


def _is_away(error: BaseException) -> bool:
    return any(kind.__name__ in _AWAY for kind in type(error).__mro__)


def _fault(uri: ResourcePath, error: BaseException) -> Outcome:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return _missing(uri)
    return retry("forbidden" if isinstance(error, PermissionError) else "storage", text_of(error))


def _missing(uri: ResourcePath) -> Outcome:
    return retry("missing_file", f"there is no {uri}")
