"""From what a header says to what the registry stores."""

from __future__ import annotations

from typing import Any

from lsst.daf.butler import DimensionRecord, DimensionUniverse, Timespan

from .observation import Exposure

#: Of visit systems, the one in which each exposure is its own visit.
ONE_TO_ONE = 0
ONE_TO_ONE_NAME = "one-to-one"


def exposure_records(exposure: Exposure, universe: DimensionUniverse) -> list[DimensionRecord]:
    """The exposure's record and those that it refers to, in the order in which they must be written."""
    offset = exposure.day_offset
    day = universe["day_obs"].RecordClass(
        instrument=exposure.instrument,
        id=exposure.day_obs,
        timespan=None if offset is None else Timespan.from_day_obs(exposure.day_obs, offset),
    )
    group = universe["group"].RecordClass(instrument=exposure.instrument, name=exposure.group)
    return [group, day, _exposure_record(exposure, universe)]


def _exposure_record(exposure: Exposure, universe: DimensionUniverse) -> DimensionRecord:
    values: dict[str, Any] = {name: getattr(exposure, name) for name in Exposure.__dataclass_fields__}
    del values["day_offset"]
    return universe["exposure"].RecordClass(**values)


def visit_records(exposure: Exposure, universe: DimensionUniverse) -> list[DimensionRecord]:
    """The visit that the exposure alone makes, in the order in which they must be written.

    Its region stays empty: that takes the camera's geometry.
    """
    instrument, number = exposure.instrument, exposure.id
    return [
        universe["visit_system"].RecordClass(instrument=instrument, id=ONE_TO_ONE, name=ONE_TO_ONE_NAME),
        universe["visit"].RecordClass(
            instrument=instrument,
            id=number,
            name=exposure.obs_id,
            day_obs=exposure.day_obs,
            physical_filter=exposure.physical_filter,
            seq_num=exposure.seq_num,
            exposure_time=exposure.exposure_time,
            target_name=exposure.target_name,
            observation_reason=exposure.observation_reason,
            science_program=exposure.science_program,
            azimuth=exposure.azimuth,
            zenith_angle=exposure.zenith_angle,
            region=None,
            timespan=exposure.timespan,
        ),
        universe["visit_definition"].RecordClass(instrument=instrument, visit=number, exposure=number),
        universe["visit_system_membership"].RecordClass(instrument=instrument, visit=number, visit_system=ONE_TO_ONE),
    ]
