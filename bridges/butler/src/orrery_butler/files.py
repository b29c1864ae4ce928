"""Whether files are there. Butler looks at a sample only, above 200; here each is looked at."""

from __future__ import annotations

from collections.abc import Collection

from lsst.resources import ResourcePath

from .faults import text_of
from .protocol import Outcome, retry


def absent(uris: Collection[ResourcePath]) -> dict[ResourcePath, Outcome]:
    """The files that cannot be ingested now, each with the reason."""
    try:
        exists = ResourcePath.mexists(uris)
    except Exception:
        # One of them failed; which one is not said.
        return {uri: fault for uri in uris if (fault := _fault(uri)) is not None}
    return {uri: _missing(uri) for uri in uris if not exists[uri]}


def _fault(uri: ResourcePath) -> Outcome | None:
    try:
        return None if uri.exists() else _missing(uri)
    except PermissionError as error:
        return retry("forbidden", text_of(error))
    except Exception as error:
        return retry("storage", text_of(error))


def _missing(uri: ResourcePath) -> Outcome:
    return retry("missing_file", f"there is no {uri}")
