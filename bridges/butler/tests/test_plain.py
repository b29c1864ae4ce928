"""The plain backend on real repositories."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Stage
from headers import exposure_id, header, obs_id
from lab import make_ids_foreign
from lsst.daf.butler import Butler

from orrery_butler.catalog import Deadline
from orrery_butler.formatters import Formatters
from orrery_butler.header import HeaderTranslator
from orrery_butler.plain import PlainCatalog
from orrery_butler.protocol import Item

CENTRE = 94


def test_ingests_and_is_found_by_data_id(stage: Stage) -> None:
    items = [stage.item(seq, detector) for seq in (1, 2) for detector in ("R22_S11", "R01_S00", "R43_S22")]
    answers = stage.ingest(*items)
    assert [answer.outcome.status for answer in answers] == ["ingested"] * 6
    assert all(answer.exposure_new and answer.visit == "defined" for answer in answers)
    wanted = {
        (exposure_id(seq), number): stage.item(seq, detector).uri
        for seq in (1, 2)
        for detector, number in (("R22_S11", 94), ("R01_S00", 0), ("R43_S22", 188))
    }
    assert stage.stored() == wanted
    found = stage.butler.find_dataset(
        "raw", instrument="LSSTCam", exposure=exposure_id(2), detector=CENTRE, collections="LSSTCam/raw/all"
    )
    assert found is not None
    assert found.run == "LSSTCam/raw/all"


def test_exposure_and_visit_say_what_the_header_says(stage: Stage) -> None:
    stage.ingest(stage.item(7, MAXINDEX=2))
    (exposure,) = stage.records("exposure")
    timespan = exposure.pop("timespan")
    assert timespan.begin.isot == "2025-06-10T00:07:00.000000"
    assert timespan.end.isot == "2025-06-10T00:07:30.900000"
    assert exposure == {
        "instrument": "LSSTCam",
        "id": exposure_id(7),
        "day_obs": 20250609,
        "group": "2025-06-10T00:07:00.000",
        "physical_filter": "i_39",
        "obs_id": obs_id(7),
        "exposure_time": 30.0,
        "dark_time": 30.9487,
        "observation_type": "science",
        "observation_reason": "field_survey_science",
        "seq_num": 7,
        "seq_start": 7,
        "seq_end": 8,
        "target_name": "Rubin_SV_320_-15",
        "science_program": "BLOCK-365",
        "tracking_ra": 320.62687495816675,
        "tracking_dec": -17.94136111150278,
        "sky_angle": 131.35723576573005,
        "azimuth": 60.273964256114,
        "zenith_angle": 90 - 67.9926054067029,
        "has_simulated": False,
        "can_see_sky": True,
    }
    (visit,) = stage.records("visit")
    assert visit.pop("timespan") == timespan
    assert visit == {
        "instrument": "LSSTCam",
        "id": exposure_id(7),
        "day_obs": 20250609,
        "physical_filter": "i_39",
        "name": obs_id(7),
        "seq_num": 7,
        "exposure_time": 30.0,
        "target_name": "Rubin_SV_320_-15",
        "observation_reason": "field_survey_science",
        "science_program": "BLOCK-365",
        "azimuth": 60.273964256114,
        "zenith_angle": 90 - 67.9926054067029,
        "region": None,
    }
    assert stage.records("visit_definition") == [
        {"instrument": "LSSTCam", "visit": exposure_id(7), "exposure": exposure_id(7)}
    ]
    assert stage.records("visit_system_membership") == [
        {"instrument": "LSSTCam", "visit": exposure_id(7), "visit_system": 0}
    ]
    (day,) = stage.records("day_obs")
    assert day["timespan"].begin.isot == "2025-06-09T12:00:00.000000"
    assert day["timespan"].end.isot == "2025-06-10T12:00:00.000000"


def test_an_exposure_that_is_not_of_the_sky_gets_no_visit(stage: Stage) -> None:
    dark, flat = stage.ingest(
        stage.item(1, IMGTYPE="DARK", TRACKSYS="LOCAL"), stage.item(2, IMGTYPE="FLAT", VIGN_MIN="FULLY")
    )
    assert (dark.outcome.status, dark.visit) == ("ingested", "skipped")
    assert (flat.outcome.status, flat.visit) == ("ingested", "skipped")
    assert stage.records("visit") == []


def test_a_batch_that_comes_again_is_duplicate(stage: Stage) -> None:
    items = [stage.item(seq) for seq in range(1, 6)]
    stage.ingest(*items[:3])
    answers = stage.ingest(*items)
    assert [answer.outcome.status for answer in answers] == ["duplicate"] * 3 + ["ingested"] * 2
    assert len(stage.stored()) == 5


def test_twice_in_one_batch(stage: Stage) -> None:
    answers = stage.ingest(stage.item(1, key="a"), stage.item(1, key="b"), stage.item(2))
    assert [answer.outcome.status for answer in answers] == ["ingested", "duplicate", "ingested"]


def test_twice_in_one_batch_from_two_places(stage: Stage) -> None:
    here, there = stage.ingest(stage.item(1), stage.item(1, folder="elsewhere"))
    assert here.outcome.status == "ingested"
    assert (there.outcome.status, there.outcome.fault) == ("permanent", "conflict_path")


def test_a_missing_first_copy_does_not_hold_the_second(stage: Stage) -> None:
    missing = f"{stage.files.as_uri()}/nowhere.fits"
    gone, again, there = stage.ingest(
        stage.item(1, uri=missing, key="a"), stage.item(1, uri=missing, key="b"), stage.item(1, key="c")
    )
    assert [gone.outcome.fault, again.outcome.fault] == ["missing_file"] * 2
    assert there.outcome.status == "ingested"


def test_a_moved_file_is_refused_and_its_old_place_stays(stage: Stage) -> None:
    old = stage.item(1)
    stage.ingest(old)
    (moved,) = stage.ingest(stage.item(1, folder="moved"))
    assert (moved.outcome.status, moved.outcome.fault) == ("permanent", "conflict_path")
    assert old.uri.removeprefix("file://") in moved.outcome.detail
    assert stage.stored() == {(exposure_id(1), CENTRE): old.uri}


def test_a_moved_file_is_noticed_when_the_old_one_is_gone(stage: Stage) -> None:
    stage.ingest(stage.item(1))
    for path in stage.files.glob("*.fits"):
        path.unlink()
    (moved,) = stage.ingest(stage.item(1, folder="moved"))
    assert moved.outcome.fault == "conflict_path"


def test_a_conflicting_exposure_holds_nobody(stage: Stage) -> None:
    stage.ingest(stage.item(1))
    answers = stage.ingest(
        stage.item(1, "R22_S00"), stage.item(1, "R22_S01", EXPTIME=29.9), stage.item(2), stage.item(1, "R22_S02")
    )
    assert [answer.outcome.status for answer in answers] == ["ingested", "permanent", "ingested", "ingested"]
    fault = answers[1].outcome
    assert fault.fault == "conflict_exposure"
    assert "exposure_time: 30.0 != 29.9" in fault.detail
    assert len(stage.stored()) == 4


def test_a_conflict_within_a_batch_is_the_later_ones(stage: Stage) -> None:
    first, other = stage.ingest(stage.item(1), stage.item(1, "R22_S01", OBJECT="something else"))
    assert first.outcome.status == "ingested"
    assert other.outcome.fault == "conflict_exposure"
    assert "target_name" in other.outcome.detail


def test_a_name_that_another_exposure_has_is_a_conflict(stage: Stage) -> None:
    stage.ingest(stage.item(1))
    (other,) = stage.ingest(stage.item(2, OBSID=obs_id(1)))
    assert other.outcome.fault == "conflict_exposure"
    assert str(exposure_id(1)) in other.outcome.detail


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"RAFTBAY": "R99"}, "unknown_detector"),
        ({"FILTER": "pink"}, "unknown_filter"),
        ({"OBSID": None}, "metadata"),
        ({"SEQNUM": "many"}, "metadata"),
        ({"INSTRUME": "Hubble"}, "metadata"),
        ({"INSTRUME": "LSSTComCam"}, "metadata"),
        ({"DATE-BEG": "yesterday"}, "metadata"),
        ({"IMGTYPE": "x" * 40}, "metadata"),
    ],
)
def test_what_will_never_work_holds_nobody(stage: Stage, changed: dict[str, Any], fault: str) -> None:
    answers = stage.ingest(stage.item(1), stage.item(2, **changed), stage.item(3))
    assert [answer.outcome.status for answer in answers] == ["ingested", "permanent", "ingested"]
    assert answers[1].outcome.fault == fault
    assert len(stage.stored()) == 2
    assert len(stage.records("exposure")) == 2


def test_an_item_without_header(stage: Stage) -> None:
    for kind in ("raw", "guider"):
        (answer,) = stage.ingest(Item("k", stage.file(), kind, None))
        assert answer.outcome.fault == "metadata"


def test_a_detector_that_is_registered_later_is_found(stage: Stage) -> None:
    (before,) = stage.ingest(stage.item(1, "R99_S00"))
    assert before.outcome.fault == "unknown_detector"
    writer = Butler.from_config(stage.repo, writeable=True)
    writer.registry.insertDimensionData(
        "detector", {"instrument": "LSSTCam", "id": 300, "full_name": "R99_S00", "purpose": "SCIENCE"}
    )
    writer.registry.insertDimensionData("physical_filter", {"instrument": "LSSTCam", "name": "pink", "band": "r"})
    writer.close()
    (after,) = stage.ingest(stage.item(1, "R99_S00", FILTER="pink"))
    assert after.outcome.status == "ingested"


def test_each_file_is_looked_at_not_a_sample(stage: Stage) -> None:
    items = [stage.item(1 + n // 180, f"R{r}_S{s}{t}") for n, (r, s, t) in enumerate(_slots(400))]
    missing = items[399]
    path = stage.files / missing.uri.rsplit("/", 1)[1]
    path.unlink()
    answers = stage.answers(items)
    assert answers[missing.key].outcome.fault == "missing_file"
    assert answers[missing.key].outcome.status == "retry"
    assert len(stage.stored()) == 399


def _slots(count: int) -> list[tuple[str, int, int]]:
    rafts = [
        "01",
        "02",
        "03",
        "10",
        "11",
        "12",
        "13",
        "14",
        "20",
        "21",
        "22",
        "23",
        "24",
        "30",
        "31",
        "32",
        "33",
        "34",
        "41",
        "42",
    ]
    one = [(raft, s, t) for raft in rafts for s in range(3) for t in range(3)]
    return [one[n % 180] for n in range(count)]


def test_guiders(stage: Stage) -> None:
    early = stage.item(1, "R00_SG0", kind="guider", key="guider")
    (alone,) = stage.ingest(early)
    assert (alone.outcome.status, alone.outcome.fault) == ("retry", "no_exposure")
    assert stage.records("exposure") == []
    # Wherever in the batch it stands, its image comes first.
    guider, image = stage.ingest(early, stage.item(1))
    assert (guider.outcome.status, image.outcome.status) == ("ingested", "ingested")
    assert stage.stored("guider_raw") == {(exposure_id(1), 189): early.uri}
    found = stage.butler.find_dataset(
        "guider_raw", instrument="LSSTCam", exposure=exposure_id(1), detector=189, collections="LSSTCam/raw/guider"
    )
    assert found is not None
    assert found.datasetType.storageClass.name == "Stamps"
    again, wrong = stage.ingest(early, stage.item(1, kind="guider", key="no guider"))
    assert again.outcome.status == "duplicate"
    assert wrong.outcome.fault == "metadata"


def test_an_exposure_that_was_removed_behind_its_back_is_made_again(stage: Stage) -> None:
    stage.ingest(stage.item(1, IMGTYPE="DARK"))
    writer = Butler.from_config(stage.repo, writeable=True)
    writer.removeRuns(["LSSTCam/raw/all"], unlink_from_chains=True)
    db = writer._registry._db  # type: ignore[attr-defined]
    with db.transaction():
        schema = f'"{db.namespace}".' if db.namespace else ""
        import sqlalchemy

        with db._transaction() as (_, connection):
            connection.execute(sqlalchemy.text(f"DELETE FROM {schema}exposure"))
    writer.close()
    item = stage.item(1, "R22_S00", IMGTYPE="DARK")
    statuses = [stage.ingest(item)[0].outcome.status for _ in range(2)]
    assert statuses == ["retry", "ingested"]


def test_the_visit_of_an_exposure_whose_maker_was_killed_is_defined(stage: Stage) -> None:
    from orrery_butler.header import exposure_of
    from orrery_butler.registry import Registry

    writer = Butler.from_config(stage.repo, writeable=True)
    assert Registry(writer)._sync(exposure_of(header(1)))
    writer.close()
    (answer,) = stage.ingest(stage.item(1))
    assert (answer.exposure_new, answer.visit) == (False, "defined")
    assert len(stage.records("visit")) == 1


def test_a_visit_that_somebody_else_defined_is_left_alone(stage: Stage) -> None:
    stage.ingest(stage.item(1))
    writer = Butler.from_config(stage.repo, writeable=True)
    (visit,) = writer.query_dimension_records("visit", instrument="LSSTCam")
    values = {**visit.toDict(), "target_name": "named by somebody who knows"}
    writer.registry.insertDimensionData("visit", values, replace=True)
    writer.close()
    stage.catalog._registry.forget()
    (answer,) = stage.ingest(stage.item(1, "R22_S00"))
    assert (answer.outcome.status, answer.visit) == ("ingested", "skipped")
    assert stage.records("visit")[0]["target_name"] == "named by somebody who knows"


def test_a_visit_that_cannot_be_defined_holds_no_file(stage: Stage) -> None:
    writer = Butler.from_config(stage.repo, writeable=True)
    writer.registry.insertDimensionData("visit_system", {"instrument": "LSSTCam", "id": 0, "name": "another"})
    writer.close()
    (answer,) = stage.ingest(stage.item(1))
    assert (answer.outcome.status, answer.visit) == ("ingested", "failed")


def test_latiss(stage: Stage) -> None:
    (answer,) = stage.ingest(
        stage.item(3, INSTRUME="LATISS", RAFTBAY="R00", CCDSLOT="S00", FILTER="SDSSr_65mm", GRATING="empty_1")
    )
    assert answer.outcome.status == "ingested"
    assert list(stage.stored()) == [(exposure_id(3), 0)]


def test_a_dataset_that_somebody_ingested_by_another_id_is_known(stage: Stage) -> None:
    """Found only when Butler refuses it: what is asked for before is this bridge's own id."""
    here, moved = stage.item(1, "R22_S01"), stage.item(1, "R22_S02")
    other = PlainCatalog(Butler.from_config(stage.repo, writeable=True), HeaderTranslator(), Formatters(stubs=True))
    make_ids_foreign(other)
    before = stage.item(1, "R22_S02", folder="before")
    assert all(answer.outcome.status == "ingested" for answer in other.ingest([here, before], Deadline(None)).values())
    other.close()
    answers = stage.ingest(stage.item(1), here, moved)
    assert [answer.outcome.fault or answer.outcome.status for answer in answers] == [
        "ingested",
        "duplicate",
        "conflict_path",
    ]
    assert before.uri in answers[2].outcome.detail
    assert len(stage.stored()) == 3


def test_one_bad_file_among_many_holds_nobody(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    items = [stage.item(1, f"R{raft}_S{s}{t}") for raft, s, t in _slots(100)]
    bad = items[63]
    calls: list[int] = []
    ingest = stage.catalog._butler.ingest

    def refuses(*datasets: object, **options: object) -> None:
        calls.append(len(datasets))
        if any(str(dataset.path) == bad.uri for dataset in datasets):  # type: ignore[attr-defined]
            raise OSError("unreadable")
        ingest(*datasets, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(stage.catalog._butler, "ingest", refuses)
    answers = stage.answers(items)
    assert answers[bad.key].outcome.fault == "storage"
    assert answers[bad.key].outcome.status == "retry"
    assert len(stage.stored()) == 99
    assert len(calls) == 15
