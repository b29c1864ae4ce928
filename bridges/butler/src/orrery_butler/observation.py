"""What a header says, before it becomes records: by whichever translator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from lsst.daf.butler import Timespan

from .protocol import FaultClass, Header


@dataclass(frozen=True)
class Exposure:
    """One exposure. Equal when every column of its record is: two headers that say the same give one record."""

    instrument: str
    #: ``{day}{sequence:05d}``, with the controller's shift.
    id: int
    obs_id: str
    #: YYYYMMDD.
    day_obs: int
    #: From TAI midnight of :attr:`day_obs` to where its day begins, s. None: not known.
    day_offset: int | None
    seq_num: int | None
    seq_start: int | None
    seq_end: int | None
    group: str
    physical_filter: str
    timespan: Timespan
    #: s
    exposure_time: float | None
    #: s
    dark_time: float | None
    observation_type: str | None
    observation_reason: str | None
    target_name: str | None
    science_program: str | None
    #: ICRS, degrees.
    tracking_ra: float | None
    tracking_dec: float | None
    #: degrees
    sky_angle: float | None
    azimuth: float | None
    zenith_angle: float | None
    has_simulated: bool | None
    can_see_sky: bool | None

    @property
    def is_on_sky(self) -> bool:
        """Whether it gets a visit: it tracked the sky, and nothing says that it could not see it."""
        tracked = None not in (self.tracking_ra, self.tracking_dec, self.sky_angle)
        return tracked and self.can_see_sky is not False


@dataclass(frozen=True)
class Observation:
    """One file's header."""

    exposure: Exposure
    #: Number of the detector, or its full name (``R22_S11``).
    detector: int | str


@dataclass(frozen=True)
class ExposureName:
    """What a guider's header is asked for: which exposure it belongs to, and which detector it is."""

    instrument: str
    obs_id: str
    detector: int | str


class Untranslatable(Exception):
    """The header does not say what a record needs. It needs a correction, or the site's own translator."""

    def __init__(self, why: str, fault: FaultClass = "metadata") -> None:
        super().__init__(why)
        self.fault: FaultClass = fault


class Translator(Protocol):
    #: For the ready line.
    name: str

    def observation(self, header: Header, uri: str) -> Observation:
        """:raises Untranslatable:"""

    def exposure_name(self, header: Header, uri: str) -> ExposureName:
        """:raises Untranslatable:"""
