"""The built-in translation of the headers that the observatory's cameras write.

It knows what the fields mean, and none of the observatory's corrections to single exposures. Where the observatory's own
translator is installed that one is used instead (see translate.py).
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Iterable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from astropy.coordinates import SkyCoord
from astropy.time import Time, TimeDelta
from lsst.daf.butler import Timespan

from .observation import Exposure, ExposureName, Observation, Untranslatable
from .protocol import Header

INSTRUMENTS = {
    "lsstcam": "LSSTCam",
    "latiss": "LATISS",
    "lsst_atiss": "LATISS",
    "lsstcomcam": "LSSTComCam",
    "comcam": "LSSTComCam",
    "lsstcomcamsim": "LSSTComCamSim",
    "comcamsim": "LSSTComCamSim",
    "lsst-ts8": "LSST-TS8",
}

#: Order gives the number by which a controller's days are shifted, in thousands of years.
CONTROLLERS = "OCHPQS"
#: From the day after, the controller counts together with O and its days are no longer shifted.
LAST_SHIFTED_DAY = {"C": 2023_10_04, "P": 2025_04_17, "Q": 2025_04_17, "S": 2025_04_17}
#: Days of the observatory begin at noon, 12 h after TAI midnight.
NOON = 12 * 3600
#: LSSTCam before it left for Chile: its days began at local midnight.
LAB_UNTIL = 2024_05_00
LAB_ZONE = "US/Pacific"
#: Before it was on its telescope a camera saw no sky. The simulated one always was.
ON_TELESCOPE = {
    "LSSTCam": Time("2025-03-01T00:00", format="isot", scale="utc"),
    "LATISS": Time("2020-01-01T00:00", format="isot", scale="utc"),
}
NOT_THE_SKY = ("bias", "dark", "flat")

#: Everything that an exposure's columns are made of. What is not named here may differ between its detectors.
FIELDS = (
    *("INSTRUME", "DAYOBS", "SEQNUM", "CONTRLLR", "OBSID", "GROUPID", "CURINDEX", "MAXINDEX"),
    *(
        "FILTER",
        "FILTER1",
        "FILTER2",
        "GRATING",
        "IMGTYPE",
        "OBSTYPE",
        "REASON",
        "TESTTYPE",
        "PROGRAM",
        "OBJECT",
    ),
    *("MJD-BEG", "DATE-BEG", "MJD-OBS", "DATE-OBS", "DATE-END", "TIMESYS", "EXPTIME", "DARKTIME", "SHUTTIME"),
    *("RASTART", "DECSTART", "RA", "DEC", "RADESYS", "TRACKSYS", "ROTPA", "ROTCOORD", "AZSTART", "ELSTART"),
    *("VIGN_MIN", "TSTAND"),
)

#: Exposures whose translation is kept.
KEPT = 1_024

Scalar = str | int | float | bool


class HeaderTranslator:
    """Translates each exposure once: its other detectors, whose headers say the same of it, are looked up."""

    name = "built-in"

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Exposure] = OrderedDict()

    def observation(self, header: Header, uri: str) -> Observation:
        key = self._key(header)
        exposure = self._kept.get(key)
        if exposure is None:
            exposure = exposure_of(header)
            self._kept[key] = exposure
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return Observation(exposure, detector_of(header, exposure.instrument))

    def exposure_name(self, header: Header, uri: str) -> ExposureName:
        instrument = instrument_of(header)
        return ExposureName(instrument, needed_text(header, "OBSID"), detector_of(header, instrument))

    def _key(self, header: Header) -> str:
        # As text: 1, 1.0 and True are equal but are not read alike.
        return repr([value_of(header, (field,)) for field in FIELDS] + [is_simulated(header)])


def exposure_of(header: Header) -> Exposure:
    """:raises Untranslatable: naming the field"""
    instrument = instrument_of(header)
    day = day_of(header)
    seq = whole(header, "SEQNUM")
    if seq is None:
        raise Untranslatable("SEQNUM is missing")
    exposure_id = exposure_number(day, seq, text(header, "CONTRLLR"))
    begin, timespan = times_of(header)
    kind = observation_type(header, instrument)
    on_sky = is_on_sky(header, instrument, kind, begin)
    ra, dec = tracking(header, kind)
    azimuth, zenith = pointing(header, instrument, begin)
    index, count = whole(header, "CURINDEX"), whole(header, "MAXINDEX")
    exposure_time = number(header, "EXPTIME")
    dark_time = number(header, "DARKTIME")
    reason = text(header, "REASON", "TESTTYPE")
    return Exposure(
        instrument=instrument,
        id=exposure_id,
        obs_id=needed_text(header, "OBSID"),
        day_obs=day,
        day_offset=day_offset(instrument, begin),
        seq_num=seq,
        seq_start=seq if index is None else seq - index + 1,
        seq_end=seq if index is None or count is None else seq + count - index,
        group=text(header, "GROUPID") or str(exposure_id),
        physical_filter=physical_filter(header, instrument),
        timespan=timespan,
        exposure_time=exposure_time,
        dark_time=exposure_time if dark_time is None else dark_time,
        observation_type=kind,
        observation_reason=("science" if kind == "science" else "unknown") if reason is None else reason.lower(),
        target_name=text(header, "OBJECT") or "UNKNOWN",
        science_program=text(header, "PROGRAM") or "unknown",
        tracking_ra=ra,
        tracking_dec=dec,
        sky_angle=number(header, "ROTPA") if on_sky and ra is not None and text(header, "ROTCOORD") == "sky" else None,
        azimuth=azimuth,
        zenith_angle=zenith,
        has_simulated=is_simulated(header),
        can_see_sky=can_see_sky(header, instrument, kind, begin),
    )


def value_of(header: Header, fields: Iterable[str]) -> Scalar | None:
    """The first that says something: null, blank text and records say nothing."""
    for field in fields:
        value = header.get(field)
        if isinstance(value, str) and value.strip():
            return value
        if isinstance(value, bool | int | float) and not (isinstance(value, float) and math.isnan(value)):
            return value
    return None


def text(header: Header, *fields: str) -> str | None:
    value = value_of(header, fields)
    return None if value is None else str(value).strip()


def needed_text(header: Header, *fields: str) -> str:
    value = text(header, *fields)
    if value is None:
        raise Untranslatable(f"{'|'.join(fields)} is missing")
    return value


def number(header: Header, *fields: str) -> float | None:
    value = value_of(header, fields)
    if value is None or isinstance(value, bool):
        return None
    try:
        found = float(value)
    except ValueError as error:
        raise Untranslatable(f"{'|'.join(fields)} {value!r} is no number") from error
    return found if math.isfinite(found) else None


def whole(header: Header, *fields: str) -> int | None:
    """A number that is whole; digits in quotes count."""
    value = value_of(header, fields)
    if value is None:
        return None
    try:
        found = float(value)
    except ValueError:
        found = math.nan
    if isinstance(value, bool) or not found.is_integer() or found < 0:
        raise Untranslatable(f"{'|'.join(fields)} {value!r} is no whole number")
    return int(found)


def instrument_of(header: Header) -> str:
    given = needed_text(header, "INSTRUME")
    known = INSTRUMENTS.get(given.lower())
    if known is None:
        raise Untranslatable(f"INSTRUME {given!r} is none of {', '.join(sorted(set(INSTRUMENTS.values())))}")
    return known


def day_of(header: Header) -> int:
    given = needed_text(header, "DAYOBS")
    match = re.fullmatch(r"(\d{4})-?(\d\d)-?(\d\d)(?:T.*)?", given)
    if match is None:
        raise Untranslatable(f"DAYOBS {given!r} is no YYYYMMDD")
    return int("".join(match.groups()))


def exposure_number(day: int, seq: int, controller: str | None) -> int:
    if seq > 99_999:
        raise Untranslatable(f"SEQNUM {seq} is above 99999")
    if controller is not None and day <= LAST_SHIFTED_DAY.get(controller, 9999_99_99):
        place = CONTROLLERS.find(controller)
        if place < 0 or len(controller) != 1:
            raise Untranslatable(f"CONTRLLR {controller!r} is none of {', '.join(CONTROLLERS)}")
        day += place * 1000_00_00
    return int(f"{day}{seq:05d}")


def detector_of(header: Header, instrument: str) -> int | str:
    if instrument == "LATISS":
        return 0  # It has just one, whose name the header does not give as the registry does.
    raft, slot = text(header, "RAFTBAY"), text(header, "CCDSLOT")
    if raft is None or slot is None:
        raise Untranslatable("RAFTBAY and CCDSLOT are needed")
    return f"{raft}_{slot}"


def times_of(header: Header) -> tuple[Time, Timespan]:
    field = next(
        (name for name in ("MJD-BEG", "DATE-BEG", "MJD-OBS", "DATE-OBS") if value_of(header, (name,)) is not None),
        None,
    )
    if field is None:
        raise Untranslatable("MJD-BEG|DATE-BEG|MJD-OBS|DATE-OBS is missing")
    try:
        if field.startswith("MJD"):
            begin = Time(number(header, field), format="mjd", scale="tai")
        else:
            begin = Time(text(header, field), format="fits", scale="tai")
        if text(header, "DATE-END") is not None:
            system = (text(header, "TIMESYS") or "tai").lower()
            end = Time(text(header, "DATE-END"), format="fits", scale=system)
        else:
            # The shutter of a dark never opens: its time is 0.
            seconds = number(header, "SHUTTIME") or number(header, "EXPTIME") or 0.0
            end = begin + TimeDelta(max(0.0, seconds), format="sec", scale="tai")
        # A clock that was set back must not make the timespan empty or endless.
        return begin, Timespan(begin, max(begin, end))
    except Untranslatable:
        raise
    except Exception as error:
        raise Untranslatable(f"{field}, DATE-END or EXPTIME cannot be read: {error}") from error


def day_offset(instrument: str, begin: Time) -> int | None:
    if instrument != "LSSTCam" or int(begin.strftime("%Y%m%d")) >= LAB_UNTIL:
        return NOON
    try:
        local = datetime.fromtimestamp(float(begin.utc.unix), UTC).astimezone(ZoneInfo(LAB_ZONE)).utcoffset()
    except ZoneInfoNotFoundError:
        return None
    return None if local is None else -round(local.total_seconds())


def observation_type(header: Header, instrument: str) -> str | None:
    given = text(header, "OBSTYPE", "IMGTYPE") if instrument == "LATISS" else text(header, "IMGTYPE")
    if given is None:
        return None
    lower = given.lower()
    return "science" if lower in ("skyexp", "object") else lower


def is_on_mountain(header: Header, instrument: str, begin: Time) -> bool:
    since = ON_TELESCOPE.get(instrument)
    if since is not None:
        return bool(begin > since) or text(header, "CONTRLLR") == "H"
    return instrument == "LSSTComCamSim" or text(header, "TSTAND") is None


def is_on_sky(header: Header, instrument: str, kind: str | None, begin: Time) -> bool:
    if (text(header, "TRACKSYS") or "").lower() == "local" or kind in NOT_THE_SKY:
        return False
    return is_on_mountain(header, instrument, begin)


def tracking(header: Header, kind: str | None) -> tuple[float | None, float | None]:
    """ICRS, degrees."""
    nothing = (None, None)
    # A dark may be taken while tracking.
    if kind in ("bias", "flat") or (text(header, "TRACKSYS") or "RADEC") not in ("RADEC", "SIDEREAL"):
        return nothing
    frame = (text(header, "RADESYS") or "ICRS").lower()
    for names in (("RASTART", "DECSTART"), ("RA", "DEC")):
        ra, dec = (number(header, name) for name in names)
        if ra is None or dec is None:
            continue
        if frame == "icrs":
            return ra, dec
        if frame in ("fk4", "fk5"):
            there = SkyCoord(ra, dec, frame=frame, unit="deg").icrs
            return float(there.ra.degree), float(there.dec.degree)
    return nothing


def pointing(header: Header, instrument: str, begin: Time) -> tuple[float | None, float | None]:
    """Azimuth and zenith angle, degrees."""
    azimuth, elevation = number(header, "AZSTART"), number(header, "ELSTART")
    if azimuth is None or elevation is None or not is_on_mountain(header, instrument, begin):
        return None, None
    return azimuth % 360.0, 90.0 - min(elevation, 90.0)


def physical_filter(header: Header, instrument: str) -> str:
    if instrument == "LATISS":
        return "~".join((_slot(header, "FILTER", r"empty_?\d*"), _slot(header, "GRATING", "empty.*")))
    parts = [part for part in (text(header, f) for f in ("FILTER", "FILTER1", "FILTER2")) if part is not None]
    joined = "~".join(parts).replace("NONE", "none") or "unknown"
    while instrument == "LSSTCam" and joined.endswith("~empty"):
        joined = joined.removesuffix("~empty")
    return joined


def _slot(header: Header, field: str, empty: str) -> str:
    given = text(header, field)
    if given is None:
        return "unknown"
    return "empty" if re.fullmatch(empty, given, re.IGNORECASE) else given


def is_simulated(header: Header) -> bool:
    if any("SIMULATE" in field and value for field, value in header.items()):
        return True
    return text(header, "CONTRLLR") in ("H", "P", "S", "Q")


def can_see_sky(header: Header, instrument: str, kind: str | None, begin: Time) -> bool | None:
    if instrument == "LSSTCam" and not is_on_mountain(header, instrument, begin):
        return False
    if number(header, "SHUTTIME") == 0.0:
        return False
    vignetted = text(header, "VIGN_MIN")
    if vignetted is not None:
        return None if vignetted == "UNKNOWN" else vignetted != "FULLY"
    if instrument == "LSSTCam" and text(header, "CONTRLLR") != "H":
        return None
    if kind in ("science", "object"):
        return True
    return False if kind in NOT_THE_SKY else None
