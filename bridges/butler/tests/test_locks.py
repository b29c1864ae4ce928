"""A registry that somebody else holds: on SQLite the whole of it, on PostgreSQL its tables."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy
from conftest import Stage
from lsst.daf.butler import Butler

from orrery_butler.catalog import CatalogAway
from orrery_butler.registry import Registry


@contextmanager
def held(repo: str, table: str = "exposure") -> Iterator[None]:
    """Hold the registry: nobody else can write."""
    butler = Butler.from_config(repo, writeable=True)
    engine: sqlalchemy.Engine = butler._registry._db._engine  # type: ignore[attr-defined]
    try:
        # Butler's SQLite begins each transaction as one that writes.
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(sqlalchemy.text(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
            yield
    finally:
        butler.close()


def test_waits_for_a_lock_that_is_freed_in_time(stage: Stage) -> None:
    items = [stage.item(1), stage.item(2)]
    freed = threading.Event()
    entered = threading.Event()

    def hold() -> None:
        with held(stage.repo):
            entered.set()
            freed.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    assert entered.wait(20)
    # It is freed while the batch waits, or at the latest before it asks: right either way.
    threading.Timer(0.3, freed.set).start()
    answers = stage.ingest(*items, deadline_ms=60_000)
    holder.join()
    assert [answer.outcome.status for answer in answers] == ["ingested"] * 2
    assert all(answer.visit == "defined" for answer in answers)


def test_a_lock_past_the_deadline_gives_the_batch_back_and_leaves_nothing(stage: Stage) -> None:
    stage.ingest(stage.item(1))
    with held(stage.repo), pytest.raises(CatalogAway, match="repo_unavailable"):
        stage.ingest(stage.item(1), stage.item(2), stage.item(3), deadline_ms=300)
    assert len(stage.records("exposure")) == 1
    assert len(stage.stored()) == 1
    answers = stage.ingest(stage.item(1), stage.item(2), stage.item(3), deadline_ms=60_000)
    assert [answer.outcome.status for answer in answers] == ["duplicate", "ingested", "ingested"]


def test_what_was_ingested_before_the_lock_is_told(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two copies of one dataset make two rounds: the first is done when the registry is taken."""
    first = stage.item(1, "R22_S00")
    missing = stage.item(2, uri=f"{stage.files.as_uri()}/nowhere.fits", key="gone")
    second = stage.item(2)
    taken: list[object] = []
    write = Registry.write

    def takes(self: Registry, exposure: object) -> object:
        if exposure.seq_num == 2:  # type: ignore[attr-defined]
            holder = held(stage.repo)
            holder.__enter__()
            taken.append(holder)
        return write(self, exposure)  # type: ignore[arg-type]

    monkeypatch.setattr(Registry, "write", takes)
    # Long enough for the first round on a machine that does much else: the second waits out all that is left.
    answers = stage.answers([first, missing, second], deadline_ms=6_000)
    taken[0].__exit__(None, None, None)  # type: ignore[attr-defined]
    assert answers[first.key].outcome.status == "ingested"
    assert answers[missing.key].outcome.fault == "missing_file"
    assert answers[second.key].outcome.status == "retry"
    assert answers[second.key].outcome.fault == "db_busy"


def test_after_the_deadline_nothing_is_begun(stage: Stage) -> None:
    answers = stage.ingest(stage.item(1), stage.item(2), deadline_ms=0)
    assert {answer.outcome.fault for answer in answers} == {"db_busy"}
    assert stage.records("exposure") == []
