"""The loop: a line comes, a line goes."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import IO

from .catalog import Catalog, CatalogAway, Deadline
from .protocol import NotARequest, answer_line, fatal_line, read_request, ready_line

log = logging.getLogger(__name__)


def claim_stdout() -> IO[str]:
    """Take stdout for answers alone: what any library prints from now on goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="ascii", newline="\n")
    sys.stdout.flush()
    os.dup2(2, 1)
    return answers


def serve(open_catalog: Callable[[], Catalog], versions: dict[str, object], lines: Iterable[str], answers: IO[str]) -> int:
    """Serve until stdin ends. Returns the exit code: 0, or 1 after a fatal line."""

    def say(line: str) -> None:
        answers.write(line)
        answers.flush()

    try:
        catalog = open_catalog()
    except CatalogAway as away:
        say(fatal_line(None, away.fatal, away.detail))
        return 1
    say(ready_line(**versions, **catalog.about(), pid=os.getpid()))
    for line in lines:
        request = read_request(line)
        began = time.monotonic()
        log.debug("batch %s begins: %d items", request.batch, len(request.items))
        try:
            found = catalog.ingest(request.items, Deadline(request.deadline_ms))
        except CatalogAway as away:
            # A fresh start has fresh connections and caches.
            say(fatal_line(request.batch, away.fatal, away.detail))
            return 1
        answered = {item.key: found[item.key] for item in request.items}
        say(answer_line(request.batch, answered))
        counts = Counter(answer.outcome.fault or answer.outcome.status for answer in answered.values())
        summary = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
        log.info("batch %s: %s in %.3f s", request.batch, summary or "empty", time.monotonic() - began)
    return 0


__all__ = ["NotARequest", "claim_stdout", "serve"]
