"""Chooses who translates headers: the site's own translator where one is installed, else the built-in one."""

from __future__ import annotations

import importlib
import importlib.util
import logging
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any

from lsst.daf.butler import Timespan

from .catalog import CatalogAway
from .header import HeaderTranslator
from .observation import Exposure, ExposureName, Observation, Translator, Untranslatable
from .protocol import FaultClass, Header

log = logging.getLogger(__name__)

#: Where packages that translate headers announce themselves.
ENTRY_POINTS = "astro_metadata_translators"
#: The observatory's own, which is found without an announcement.
OBSERVATORY = "lsst.obs.lsst.translators"

_NAMES = {"instrument", "observation_id", "detector_num"}
_NEEDED = {
    *_NAMES,
    *("exposure_id", "exposure_group", "physical_filter", "observing_day", "datetime_begin", "datetime_end"),
    *("observation_type", "exposure_time_requested"),
}
_WANTED = {
    *(
        "dark_time",
        "observation_reason",
        "observation_counter",
        "object",
        "science_program",
        "observing_day_offset",
    ),
    *("group_counter_start", "group_counter_end", "has_simulated_content", "can_see_sky"),
    *("tracking_radec", "altaz_begin", "boresight_rotation_coord", "boresight_rotation_angle"),
}


def choose(wanted: str, modules: Sequence[str] = ()) -> Translator:
    """Choose a translator.

    :param wanted: ``auto``, ``built-in`` or ``site``
    :param modules: modules to import first: they make their translators known
    :raises CatalogAway: the site's was wanted and there is none
    """
    if wanted == "built-in":
        return HeaderTranslator()
    found = _load(modules)
    if found:
        return SiteTranslator(found)
    if wanted == "site":
        raise CatalogAway(
            "translator_missing",
            f"no package announces itself as {ENTRY_POINTS}, and {OBSERVATORY} cannot be imported. Install the site's "
            "package in the bridge's environment, or name its module with --translator-module",
        )
    log.warning("headers are translated by the built-in translation, which knows no corrections")
    return HeaderTranslator()


def _load(modules: Sequence[str]) -> list[str]:
    names = list(modules)
    try:
        importlib.import_module("astro_metadata_translator")
        for name in names:
            importlib.import_module(name)
        for entry in entry_points(group=ENTRY_POINTS):
            loaded = entry.load()
            if callable(loaded):
                loaded()
            names.append(entry.name)
        if not names and _exists(OBSERVATORY):
            importlib.import_module(OBSERVATORY)
            names.append(OBSERVATORY)
    except ImportError as error:
        if names:
            raise CatalogAway("translator_missing", f"{', '.join(names)}: {error}") from error
    return names


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:
        # A parent of it is not there.
        return False


class SiteTranslator:
    """Translates by ``astro_metadata_translator`` and what is registered with it, corrections included."""

    def __init__(self, modules: Sequence[str]) -> None:
        self.name = ", ".join(modules)
        self._info = importlib.import_module("astro_metadata_translator").ObservationInfo

    def observation(self, header: Header, uri: str) -> Observation:
        info = self._translate(header, uri, _NEEDED, _WANTED)
        if info.detector_num is None:
            raise Untranslatable("the site's translator knows no such detector", "unknown_detector")
        return Observation(_exposure(info), int(info.detector_num))

    def exposure_name(self, header: Header, uri: str) -> ExposureName:
        info = self._translate(header, uri, _NAMES, set())
        if info.detector_num is None:
            raise Untranslatable("the site's translator knows no such detector", "unknown_detector")
        return ExposureName(info.instrument, info.observation_id, int(info.detector_num))

    def _translate(self, header: Header, uri: str, needed: set[str], wanted: set[str]) -> Any:
        try:
            # A copy: corrections are written into the header.
            return self._info(dict(header), filename=uri, required=needed, subset=needed | wanted)
        except Exception as error:
            # Whatever a translator stumbles over it stumbles over again.
            text = f"{type(error).__name__}: {error}"
            raise Untranslatable(text, metadata_fault(text)) from error


def metadata_fault(text: str) -> FaultClass:
    """The class of what a translator stumbled over: detectors that a camera does not have it tells by their number."""
    return "unknown_detector" if "detector_num" in text else "metadata"


def _exposure(info: Any) -> Exposure:
    radec, altaz = info.tracking_radec, info.altaz_begin
    offset, angle = info.observing_day_offset, info.boresight_rotation_angle
    on_sky = radec is not None and info.boresight_rotation_coord == "sky" and angle is not None
    return Exposure(
        instrument=info.instrument,
        id=int(info.exposure_id),
        obs_id=info.observation_id,
        day_obs=int(info.observing_day),
        day_offset=None if offset is None else round(offset.to_value("s")),
        seq_num=info.observation_counter,
        seq_start=info.group_counter_start,
        seq_end=info.group_counter_end,
        group=info.exposure_group,
        physical_filter=info.physical_filter,
        timespan=Timespan(info.datetime_begin, max(info.datetime_begin, info.datetime_end)),
        exposure_time=float(info.exposure_time_requested.to_value("s")),
        dark_time=None if info.dark_time is None else float(info.dark_time.to_value("s")),
        observation_type=info.observation_type,
        observation_reason=info.observation_reason,
        target_name=info.object,
        science_program=info.science_program,
        tracking_ra=None if radec is None else float(radec.icrs.ra.degree),
        tracking_dec=None if radec is None else float(radec.icrs.dec.degree),
        sky_angle=float(angle.degree) if on_sky else None,
        azimuth=None if altaz is None else float(altaz.az.degree),
        zenith_angle=None if altaz is None else float(altaz.zen.degree),
        has_simulated=info.has_simulated_content,
        can_see_sky=info.can_see_sky,
    )
