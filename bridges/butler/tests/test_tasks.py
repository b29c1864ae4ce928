"""The backend of the observatory's tasks, against a stand-in of them on real repositories."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import obs
import pytest
from conftest import Stage
from headers import exposure_id, header
from lsst.daf.butler import Butler
from lsst.resources import ResourcePath
from test_locks import held

from orrery_butler.catalog import CatalogAway
from orrery_butler.protocol import Item
from orrery_butler.tasks import TaskCatalog


class TaskStage(Stage):
    """The tasks read headers themselves: each file has a sidecar."""

    catalog: TaskCatalog  # type: ignore[assignment]

    def item(self, seq: int = 1, detector: str = "R22_S11", **more: Any) -> Item:
        made = super().item(seq, detector, **more)
        names = ("key", "uri", "kind", "folder")
        changed = {name: value for name, value in more.items() if name not in names}
        path = ResourcePath(made.uri).updatedExtension(".json").ospath
        Path(path).write_text(json.dumps(header(seq, detector, **changed)))
        return made


@pytest.fixture
def tasks(repo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TaskStage]:
    obs.install(monkeypatch)
    catalog = TaskCatalog(Butler.from_config(repo, writeable=True))
    made = TaskStage(repo, tmp_path / "files", catalog)  # type: ignore[arg-type]
    yield made
    made.butler.close()
    catalog.close()


def test_each_gets_its_own_outcome_and_holds_nobody(tasks: TaskStage) -> None:
    tasks.ingest(tasks.item(1, "R10_S00"), tasks.item(2, "R10_S00"))
    moved = tasks.item(2, "R10_S00", folder="moved")
    items = {
        "new": tasks.item(1, "R10_S01"),
        "known": tasks.item(1, "R10_S00"),
        "moved": moved,
        "conflict": tasks.item(2, "R10_S01", EXPTIME=29.0),
        "unreadable": tasks.item(3, "R10_S00", OBSID=None),
        "gone": tasks.item(3, "R10_S01", uri=f"{tasks.files.as_uri()}/nowhere.fits"),
        "new exposure": tasks.item(3, "R10_S02"),
        "filter": tasks.item(4, "R10_S00", FILTER="pink"),
        "detector": tasks.item(5, "R99_S00"),
    }
    twice = Item("again", items["new"].uri, "raw", None)
    answers = tasks.answers([*items.values(), twice])
    said = {name: answers[item.key].outcome for name, item in items.items()}
    assert {name: outcome.fault or outcome.status for name, outcome in said.items()} == {
        "new": "ingested",
        "known": "duplicate",
        "moved": "conflict_path",
        "conflict": "conflict_exposure",
        "unreadable": "metadata",
        "gone": "missing_file",
        "new exposure": "ingested",
        "filter": "unknown_filter",
        "detector": "unknown_detector",
    }
    assert answers["again"].outcome.status == "duplicate"
    assert answers[items["new exposure"].key].exposure_new
    assert answers[items["new exposure"].key].visit == "defined"
    assert not answers[items["new"].key].exposure_new
    assert set(tasks.stored()) == {(exposure_id(seq), det) for seq, det in ((1, 27), (2, 27), (1, 28), (3, 29))}


def test_a_batch_that_comes_again_costs_few_calls(tasks: TaskStage) -> None:
    items = [tasks.item(1, f"R10_S{s}{t}") for s in range(3) for t in range(3)]
    tasks.ingest(*items[:8])
    tasks.catalog._raw.runs = 0
    answers = tasks.ingest(*items)
    assert [answer.outcome.status for answer in answers] == ["duplicate"] * 8 + ["ingested"]
    assert tasks.catalog._raw.runs == 2


def test_guiders(tasks: TaskStage) -> None:
    guider = tasks.item(1, "R00_SG0", kind="guider", key="guider")
    (early,) = tasks.ingest(guider)
    assert early.outcome.fault == "no_exposure"
    answers = tasks.answers([guider, tasks.item(1)])
    assert [answer.outcome.status for answer in answers.values()] == ["ingested", "ingested"]
    assert tasks.stored("guider_raw") == {(exposure_id(1), 189): guider.uri}
    moved = tasks.item(1, "R00_SG0", kind="guider", key="moved", folder="moved")
    again, other = tasks.ingest(guider, moved)
    assert (again.outcome.status, other.outcome.fault) == ("duplicate", "conflict_path")


def test_a_visit_that_a_killed_bridge_left_undone(tasks: TaskStage) -> None:
    tasks.catalog._raw.on_exposure_record = lambda record: None
    (answer,) = tasks.ingest(tasks.item(1))
    assert (answer.outcome.status, answer.visit) == ("ingested", "defined")
    assert len(tasks.records("visit")) == 1


def test_a_visit_that_fails_holds_no_file(tasks: TaskStage, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ValueError("no camera")

    monkeypatch.setattr(obs.DefineVisitsTask, "run", fails)
    (answer,) = tasks.ingest(tasks.item(1))
    assert (answer.outcome.status, answer.visit) == ("ingested", "failed")


def test_a_lock_gives_the_batch_back(tasks: TaskStage) -> None:
    items = [tasks.item(1), tasks.item(2)]
    with held(tasks.repo), pytest.raises(CatalogAway, match="repo_unavailable"):
        tasks.ingest(*items, deadline_ms=300)
    assert [answer.outcome.status for answer in tasks.ingest(*items)] == ["ingested"] * 2


def test_without_the_tasks(repo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lsst.obs.base", None)
    butler = Butler.from_config(repo, writeable=True)
    with pytest.raises(CatalogAway, match="tasks_missing"):
        TaskCatalog(butler)
    butler.close()


def test_without_lsst_obs_lsst_a_guider_is_fatal(tasks: TaskStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "lsst.obs.lsst")
    with pytest.raises(CatalogAway, match="guiders need"):
        tasks.ingest(tasks.item(1, "R00_SG0", kind="guider"))
