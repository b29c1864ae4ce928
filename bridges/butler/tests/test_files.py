"""Files that are there, are not, and cannot be looked at."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Stage
from lsst.resources import ResourcePath

from orrery_butler.catalog import CatalogAway, Deadline
from orrery_butler.files import absent

FOR_EVER = Deadline(None)


class EndpointConnectionError(Exception):
    """As the S3 client has it: a connection's error which is no OSError."""


class ConnectionClosedError(EndpointConnectionError):
    pass


def remote(name: str, exists: Callable[[], bool]) -> ResourcePath:
    class Remote:
        isLocal = False

        def __str__(self) -> str:
            return f"s3://raw/{name}"

        def exists(self) -> bool:
            return exists()

    return Remote()  # type: ignore[return-value]


def fails(error: Exception) -> Callable[[], bool]:
    def look() -> bool:
        raise error

    return look


def test_local_files(tmp_path: Path) -> None:
    there = tmp_path / "there.fits"
    there.write_text("")
    names = ["there.fits", "gone.fits", "there.fits/below.fits", "x" * 300]
    uris = [ResourcePath(str(tmp_path / name)) for name in names]
    faults = absent(uris, FOR_EVER)
    assert [faults[uri].fault if uri in faults else None for uri in uris] == [
        None,
        "missing_file",
        "missing_file",
        "storage",
    ]


@pytest.mark.skipif(os.getuid() == 0, reason="root may look everywhere")
def test_a_local_file_that_may_not_be_looked_at(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o000)
    uri = ResourcePath(str(closed / "a.fits"))
    assert absent([uri], FOR_EVER)[uri].fault == "forbidden"


def test_what_cannot_be_looked_at_is_not_missing() -> None:
    uris = [
        remote("there", lambda: True),
        remote("gone", lambda: False),
        remote("closed", fails(PermissionError("Forbidden HEAD operation"))),
        remote("odd", fails(ValueError("odd"))),
        remote("away", fails(ConnectionClosedError("reset"))),
    ]
    faults = absent(uris, FOR_EVER)
    assert [faults[uri].fault if uri in faults else None for uri in uris] == [
        None,
        "missing_file",
        "forbidden",
        "storage",
        "storage",
    ]
    assert {fault.status for fault in faults.values()} == {"retry"}


def test_a_store_that_is_away_is_nobodys_fault() -> None:
    with pytest.raises(CatalogAway, match="storage_unavailable"):
        absent([remote("a", fails(ConnectionClosedError("refused"))), remote("b", fails(TimeoutError()))], FOR_EVER)


def test_a_file_that_makes_the_store_fail_alone_is_not_given_back_for_ever() -> None:
    uri = remote("odd", fails(ValueError("odd")))
    assert absent([uri], FOR_EVER)[uri].fault == "storage"


def test_a_store_that_hangs_is_not_waited_for_beyond_the_deadline() -> None:
    answer = threading.Event()
    uris = [remote("there", lambda: True), *(remote(f"{n}", lambda: answer.wait(20)) for n in range(30))]
    try:
        with pytest.raises(CatalogAway, match="storage_unavailable"):
            absent(uris, Deadline(200))
    finally:
        answer.set()


def test_away_goes_through_the_catalog(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orrery_butler.files._local", lambda uri: fails(CatalogAway("storage_unavailable", "gone"))())
    with pytest.raises(CatalogAway, match="storage_unavailable"):
        stage.ingest(stage.item(1))
    assert stage.records("exposure") == []
