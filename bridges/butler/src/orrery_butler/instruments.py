"""The observatory's cameras, as far as a repository for tests and demonstrations needs them.

A repository that is read from is made by the observatory's own ``butler register-instrument``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

SLOTS = [f"S{row}{column}" for row in range(3) for column in range(3)]
#: Rafts of science sensors; every corner is missing.
RAFTS = [f"R{row}{column}" for row in range(5) for column in range(5) if (row % 4, column % 4) != (0, 0)]
CORNERS = ["R00", "R04", "R40", "R44"]
CORNER_SLOTS = {"SG0": "GUIDER", "SG1": "GUIDER", "SW0": "WAVEFRONT", "SW1": "WAVEFRONT"}
#: Day 2050-12-31, six controllers, 99,999 exposures.
EXPOSURE_MAX = 7050_12_31_99999
BY_SEQ_START_END = 2


@dataclass(frozen=True)
class Detector:
    id: int
    full_name: str
    raft: str | None
    name_in_raft: str
    purpose: str


@dataclass(frozen=True)
class Camera:
    name: str
    class_name: str
    detector_max: int
    detectors: tuple[Detector, ...]
    #: Band by physical filter.
    filters: Mapping[str, str]


def _science(rafts: list[str]) -> Iterator[Detector]:
    for raft in rafts:
        for slot in SLOTS:
            number = rafts.index(raft) * len(SLOTS) + SLOTS.index(slot)
            yield Detector(number, f"{raft}_{slot}", raft, slot, "SCIENCE")


def _corners(first: int) -> Iterator[Detector]:
    for raft in CORNERS:
        for slot, purpose in CORNER_SLOTS.items():
            yield Detector(first, f"{raft}_{slot}", raft, slot, purpose)
            first += 1


def _camera(name: str, python: str, detectors: Iterator[Detector], filters: Mapping[str, str]) -> Camera:
    everywhere = {"unknown": "unknown", "empty": "white", "none": "white"}
    return Camera(name, f"lsst.obs.lsst.{python}", 1_000, tuple(detectors), {**everywhere, **filters})


def _lsstcam() -> Iterator[Detector]:
    yield from _science(RAFTS)
    yield from _corners(len(RAFTS) * len(SLOTS))


_LSSTCAM_FILTERS = {
    **{"u_24": "u", "g_6": "g", "r_57": "r", "i_39": "i", "z_20": "z", "y_10": "y"},
    **{"ph_5": "white", "ef_43": "white"},
}
_COMCAM_FILTERS = {
    "u_05": "u",
    "g_01": "g",
    "r_03": "r",
    "i_06": "i",
    "z_03": "z",
    "y_04": "y",
    "pinhole": "white",
}
_LATISS_FILTERS = {
    "SDSSr_65mm~empty": "r",
    "SDSSg_65mm~empty": "g",
    "empty~empty": "white",
    "unknown~unknown": "unknown",
    "unknown~empty": "unknown",
    "empty~unknown": "unknown",
}

CAMERAS = {
    camera.name: camera
    for camera in (
        _camera("LSSTCam", "LsstCam", _lsstcam(), _LSSTCAM_FILTERS),
        _camera("LSSTComCam", "LsstComCam", _science(["R22"]), _COMCAM_FILTERS),
        _camera("LSSTComCamSim", "LsstComCamSim", _science(["R22"]), _COMCAM_FILTERS),
        _camera("LATISS", "Latiss", iter([Detector(0, "RXX_S00", None, "RXX_S00", "SCIENCE")]), _LATISS_FILTERS),
    )
}
