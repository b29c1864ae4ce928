"""The seam between the line protocol and what puts files into a repository."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from .protocol import Answer, Item

#: Of a request's deadline: after this part nothing new is begun, so that what was done can still be told.
USABLE_PART = 0.8


class CatalogAway(Exception):
    """The repository as a whole does not work: no item's fault, and nothing of the batch need be told.

    Whatever the batch had already written is found again, as a duplicate, when it comes again.
    """

    def __init__(self, fatal: str, detail: str) -> None:
        super().__init__(f"{fatal}: {detail}")
        self.fatal = fatal
        self.detail = detail


class Deadline:
    """How long a batch may still take."""

    def __init__(self, deadline_ms: float | None) -> None:
        #: Longest that one wait for a lock may take, ms; None: the database's own.
        self.wait_ms: int | None = None if deadline_ms is None else max(1, int(deadline_ms * USABLE_PART))
        self._end = None if self.wait_ms is None else time.monotonic() + self.wait_ms / 1000

    @property
    def seconds_left(self) -> float | None:
        """Never below 0; None: for ever."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    @property
    def passed(self) -> bool:
        return self.seconds_left == 0.0


class Catalog(Protocol):
    def about(self) -> Mapping[str, object]:
        """What the ready line says beside versions."""

    def ingest(self, items: Sequence[Item], deadline: Deadline) -> Mapping[str, Answer]:
        """Exactly one answer an item, by key.

        :raises CatalogAway: nothing can be done for any of them
        """
