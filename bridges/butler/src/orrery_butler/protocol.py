"""What is said on stdin and stdout: one JSON object a line. docs/driver-protocol.md is its text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["raw", "guider", "object"]
Header = Mapping[str, Any]

#: Longest ``detail`` of an answer, characters.
DETAIL_MAX = 2_000


@dataclass(frozen=True)
class Item:
    """One file of a batch."""

    #: Names the item in the answer; unique in the batch.
    key: str
    uri: str
    kind: Kind
    #: All fields of the sidecar or the primary header; None on a lane that reads none.
    header: Header | None


@dataclass(frozen=True)
class Request:
    batch: str
    #: From the request's arrival; after that nobody reads the answer. None: no deadline.
    deadline_ms: float | None
    items: Sequence[Item]


Status = Literal["ingested", "duplicate", "permanent", "retry"]
Visit = Literal["defined", "skipped", "failed"]
FaultClass = Literal[
    "metadata",
    "unknown_detector",
    "unknown_filter",
    "conflict_exposure",
    "conflict_path",
    "missing_file",
    "forbidden",
    "no_exposure",
    "db_busy",
    "storage",
]


@dataclass(frozen=True)
class Outcome:
    """What became of one item."""

    status: Status
    fault: FaultClass | None = None
    detail: str = ""


def permanent(fault: FaultClass, detail: str) -> Outcome:
    """Will never work as it is."""
    return Outcome("permanent", fault, detail)


def retry(fault: FaultClass, detail: str) -> Outcome:
    """May work later."""
    return Outcome("retry", fault, detail)


@dataclass(frozen=True)
class Answer:
    """An outcome, and what the batch did for the item's exposure."""

    outcome: Outcome
    #: True when this batch made the exposure known.
    exposure_new: bool = False
    visit: Visit | None = None


class NotARequest(ValueError):
    """The line is none: the two sides do not understand each other, and nothing was done."""


def read_request(line: str) -> Request:
    """Read one line. Fields that are not known are left alone."""
    try:
        value = json.loads(line)
        items = [_read_item(item) for item in value["items"]]
        deadline = value.get("deadline_ms")
        request = Request(str(value["batch"]), None if deadline is None else float(deadline), items)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotARequest(f"{type(error).__name__}: {error} in {line[:200]!r}") from error
    if len({item.key for item in items}) != len(items):
        raise NotARequest(f"two items of batch {request.batch} have the same key")
    return request


def _read_item(item: Mapping[str, Any]) -> Item:
    kind = item.get("kind", "raw")
    if kind not in ("raw", "guider", "object"):
        raise NotARequest(f"kind {kind!r}")
    header = item.get("header")
    if header is not None and not isinstance(header, dict):
        raise NotARequest("a header is an object")
    return Item(str(item["key"]), str(item["uri"]), kind, header)


def ready_line(**about: Any) -> str:
    return _line({"ready": True, **about})


def answer_line(batch: str, answers: Mapping[str, Answer]) -> str:
    """:param answers: exactly one an item, by its key"""
    return _line({"batch": batch, "items": [_entry(key, answer) for key, answer in answers.items()]})


def fatal_line(batch: str | None, fatal: str, detail: str) -> str:
    message = {"fatal": fatal, "detail": detail[:DETAIL_MAX]}
    return _line(message if batch is None else {"batch": batch, **message})


def _entry(key: str, answer: Answer) -> dict[str, Any]:
    outcome = answer.outcome
    entry: dict[str, Any] = {"key": key, "status": outcome.status}
    if outcome.fault is not None:
        entry["class"] = outcome.fault
    if outcome.detail:
        entry["detail"] = outcome.detail[:DETAIL_MAX]
    if answer.exposure_new:
        entry["exposure_new"] = True
    if answer.visit is not None:
        entry["visit"] = answer.visit
    return entry


def _line(message: Mapping[str, Any]) -> str:
    # Pure ASCII (json's default): neither the locale nor a reader's idea of what ends a line matters.
    return json.dumps(message, separators=(",", ":"), allow_nan=False) + "\n"
