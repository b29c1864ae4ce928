"""The built-in translation, on made-up headers and on the observatory's own where they lie beside the project."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from headers import Absent, header

from orrery_butler.header import HeaderTranslator, exposure_number, exposure_of
from orrery_butler.observation import Untranslatable

SIDECARS = Path(__file__).parents[4] / "shared" / "data" / "rubin" / "sidecars"


@pytest.mark.parametrize(
    ("day", "seq", "controller", "number"),
    [
        (20250609, 578, "O", 2025060900578),
        (20250609, 578, None, 2025060900578),
        (20190319, 1, "C", 3019031900001),
        (20231004, 1, "C", 3023100400001),
        (20231005, 1, "C", 2023100500001),
        (20240321, 93, "S", 7024032100093),
        (20250417, 1, "P", 5025041700001),
        (20250418, 1, "P", 2025041800001),
        (20300101, 99999, "H", 4030010199999),
    ],
)
def test_exposure_number(day: int, seq: int, controller: str | None, number: int) -> None:
    assert exposure_number(day, seq, controller) == number


@pytest.mark.parametrize(("seq", "controller"), [(100_000, "O"), (1, "X"), (1, "OC"), (1, "")])
def test_no_exposure_number(seq: int, controller: str) -> None:
    with pytest.raises(Untranslatable):
        exposure_number(20250609, seq, controller)


@pytest.mark.parametrize(
    ("changed", "field", "value"),
    [
        ({"GROUPID": None}, "group", "2025060900001"),
        ({"FILTER": Absent}, "physical_filter", "unknown"),
        ({"FILTER": "empty", "FILTER1": "NONE"}, "physical_filter", "empty~none"),
        ({"FILTER": "r_57", "FILTER2": "empty"}, "physical_filter", "r_57"),
        ({"INSTRUME": "LATISS", "FILTER": "empty_1", "GRATING": "EMPTY_2"}, "physical_filter", "empty~empty"),
        ({"INSTRUME": "LATISS", "FILTER": None, "GRATING": "blue300lpmm"}, "physical_filter", "unknown~blue300lpmm"),
        ({"IMGTYPE": "SKYEXP"}, "observation_type", "science"),
        ({"IMGTYPE": "CWFS"}, "observation_type", "cwfs"),
        ({"IMGTYPE": None}, "observation_type", None),
        ({"REASON": None, "TESTTYPE": "BIAS"}, "observation_reason", "bias"),
        ({"REASON": None}, "observation_reason", "science"),
        ({"REASON": None, "IMGTYPE": "CWFS"}, "observation_reason", "unknown"),
        ({"CURINDEX": 2, "MAXINDEX": 3, "SEQNUM": "7"}, "seq_start", 6),
        ({"CURINDEX": 2, "MAXINDEX": 3, "SEQNUM": "7"}, "seq_end", 8),
        ({"CURINDEX": None}, "seq_start", 1),
        ({"DARKTIME": None}, "dark_time", 30.0),
        ({"EXPTIME": None, "DARKTIME": float("nan")}, "dark_time", None),
        ({"OBJECT": " "}, "target_name", "UNKNOWN"),
        ({"PROGRAM": None}, "science_program", "unknown"),
        ({"RASTART": 1.0, "DECSTART": 2.0}, "tracking_ra", 1.0),
        ({"TRACKSYS": "AZEL"}, "tracking_ra", None),
        ({"RADESYS": "GAPPT"}, "tracking_ra", None),
        ({"TRACKSYS": "SIDEREAL"}, "tracking_ra", 320.62687495816675),
        ({"AZSTART": -89.5}, "azimuth", 270.5),
        ({"IMGTYPE": "FLAT"}, "tracking_ra", None),
        ({"IMGTYPE": "DARK"}, "sky_angle", None),
        ({"ROTCOORD": "mount"}, "sky_angle", None),
        ({"ELSTART": 90.3}, "zenith_angle", 0.0),
        ({"AZSTART": None}, "zenith_angle", None),
        ({"SIMULATE MTMOUNT": 1}, "has_simulated", True),
        ({"SIMULATE MTMOUNT": 0}, "has_simulated", False),
        ({"CONTRLLR": "S"}, "has_simulated", True),
        ({"SHUTTIME": 0.0}, "can_see_sky", False),
        ({"VIGN_MIN": "FULLY"}, "can_see_sky", False),
        ({"VIGN_MIN": "UNKNOWN"}, "can_see_sky", None),
        ({"VIGN_MIN": None}, "can_see_sky", None),
        ({"VIGN_MIN": None, "INSTRUME": "ComCam"}, "can_see_sky", True),
        ({"VIGN_MIN": None, "INSTRUME": "ComCam", "IMGTYPE": "FLAT"}, "can_see_sky", False),
        ({"DAYOBS": "2025-06-09T00:00"}, "day_obs", 20250609),
    ],
)
def test_says(changed: dict[str, Any], field: str, value: object) -> None:
    assert getattr(exposure_of(header(1, **changed)), field) == value


@pytest.mark.parametrize(
    ("changed", "begin", "end"),
    [
        ({"MJD-BEG": 60836.5}, "2025-06-10T12:00:00", "2025-06-10T12:00:00"),
        ({"DATE-END": None}, "2025-06-10T00:01:00", "2025-06-10T00:01:30.000904"),
        ({"DATE-END": None, "SHUTTIME": 0.0}, "2025-06-10T00:01:00", "2025-06-10T00:01:30"),
        ({"DATE-END": "2025-06-09T00:00:00"}, "2025-06-10T00:01:00", "2025-06-10T00:01:00"),
        ({"DATE-BEG": None, "DATE-OBS": "2025-06-10T00:00:59"}, "2025-06-10T00:00:59", "2025-06-10T00:01:30.900"),
        ({"TIMESYS": "UTC"}, "2025-06-10T00:01:00", "2025-06-10T00:02:07.900"),
    ],
)
def test_times(changed: dict[str, Any], begin: str, end: str) -> None:
    timespan = exposure_of(header(1, **changed)).timespan
    assert timespan.begin.isot.startswith(begin)  # type: ignore[union-attr]
    assert timespan.end.isot.startswith(end)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("begin", "hours"), [("2023-01-10T00:00:00", 8), ("2023-07-10T00:00:00", 7), ("2024-05-01T00:00:00", 12)]
)
def test_days_of_the_camera_began_elsewhere_before_it_left(begin: str, hours: int) -> None:
    assert exposure_of(header(1, **{"DATE-BEG": begin})).day_offset == hours * 3600


def test_an_exposure_is_translated_once_and_its_detectors_each() -> None:
    translator = HeaderTranslator()
    first = translator.observation(header(1, "R22_S11", TEMP=1), "")
    second = translator.observation(header(1, "R01_S00", TEMP=2), "")
    assert first.exposure is second.exposure
    assert (first.detector, second.detector) == ("R22_S11", "R01_S00")
    for changed in ({"EXPTIME": 29.0}, {"SEQNUM": True}, {"SIMULATE X": 1}):
        if "SEQNUM" in changed:
            with pytest.raises(Untranslatable):
                translator.observation(header(1, **changed), "")
        else:
            assert translator.observation(header(1, **changed), "").exposure is not first.exposure


def test_coordinates_of_another_frame_become_icrs() -> None:
    exposure = exposure_of(header(1, RADESYS="FK5", RASTART=198.79247419266713, DECSTART=-23.613888741010378))
    assert exposure.tracking_ra == pytest.approx(198.79246518776486, abs=1e-12)
    assert exposure.tracking_dec == pytest.approx(-23.6138881287101, abs=1e-12)


#: What the observatory's own translation makes of its own headers; some of what differs without its corrections is not here.
REAL: dict[str, dict[str, object]] = {
    "MC_C_20240918_000013_R42_S11": {"id": 2024091800013, "physical_filter": "ef_43", "observation_type": "test"},
    "comCamSim-CC_S_20240321_000093_R22_S22": {
        "id": 2026032100093,
        "physical_filter": "r_03",
        "sky_angle": 116.0158594226007,
        "tracking_ra": 124.82881462031425,
        "has_simulated": True,
    },
    "latiss-AT_O_20220405_000348": {"tracking_ra": 222.00924897194, "zenith_angle": 44.3171011821396},
    "latiss-AT_O_20240624_000106_R00_S00": {
        "id": 2024062400106,
        "physical_filter": "SDSSr_65mm~empty",
        "sky_angle": 98.63385126206754,
        "azimuth": 356.63402266391336,
    },
    "lsstCam-MC_C_20190319_000001_R10_S02": {"id": 3019031900001, "physical_filter": "unknown", "can_see_sky": False},
    "lsstCam-MC_O_20250415_000228_R10_S20": {
        "id": 2025041500228,
        "physical_filter": "i_39",
        "observation_type": "acq",
        "azimuth": 270.2740848643762,
        "tracking_ra": 198.79246518776486,
    },
    "lsstCam-MC_O_20250609_000578_R01_S01": {"id": 2025060900578, "seq_start": 578, "seq_end": 578},
    "lsstCam-MC_O_20251121_000156_R44_SW0": {"id": 2025112100156, "physical_filter": "i_39"},
}


@pytest.mark.skipif(not SIDECARS.is_dir(), reason="the observatory's sidecars are not beside the project")
@pytest.mark.parametrize("name", sorted(REAL))
def test_the_observatorys_own(name: str) -> None:
    said = json.loads((SIDECARS / f"{name}.json").read_text())
    exposure = HeaderTranslator().observation(said, "").exposure
    for field, value in REAL[name].items():
        found = getattr(exposure, field)
        assert found == (pytest.approx(value, rel=1e-12) if isinstance(value, float) else value), field
