"""Headers for tests: what the camera writes, as far as records are made of it, and whatever a test changes."""

from __future__ import annotations

from typing import Any

DAY = 20250609


def header(seq: int = 1, detector: str = "R22_S11", **changed: Any) -> dict[str, Any]:
    """Of an exposure of the sky, taken `seq` minutes into the night."""
    raft, slot = detector.split("_")
    hour, minute = divmod(seq, 60)
    begin = f"2025-06-10T{hour:02d}:{minute:02d}:00.000"
    fields: dict[str, Any] = {
        "INSTRUME": "lsstCam",
        "CAMCODE": "MC",
        "CONTRLLR": "O",
        "DAYOBS": str(DAY),
        "SEQNUM": seq,
        "OBSID": obs_id(seq),
        "GROUPID": begin,
        "CURINDEX": 1,
        "MAXINDEX": 1,
        "RAFTBAY": raft,
        "CCDSLOT": slot,
        "TIMESYS": "TAI",
        "DATE-BEG": begin,
        "DATE-END": f"2025-06-10T{hour:02d}:{minute:02d}:30.900",
        "FILTER": "i_39",
        "EXPTIME": 30.0,
        "DARKTIME": 30.9487,
        "SHUTTIME": 30.000904321670532,
        "IMGTYPE": "OBJECT",
        "REASON": "field_survey_science",
        "PROGRAM": "BLOCK-365",
        "OBJECT": "Rubin_SV_320_-15",
        "TRACKSYS": "RADEC",
        "RADESYS": "ICRS",
        "RA": 320.62687495816675,
        "DEC": -17.94136111150278,
        "ROTPA": 131.35723576573005,
        "ROTCOORD": "sky",
        "AZSTART": 60.273964256114,
        "ELSTART": 67.9926054067029,
        "VIGN_MIN": "NO",
    }
    return {name: value for name, value in {**fields, **changed}.items() if value is not Absent}


class Absent:
    """A field that the header does not have."""


def obs_id(seq: int) -> str:
    return f"MC_O_{DAY}_{seq:06d}"


def exposure_id(seq: int) -> int:
    return DAY * 100_000 + seq
