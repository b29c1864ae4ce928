"""Who translates: a site's own package where there is one."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from typing import ClassVar

import pytest
from headers import header

from orrery_butler.catalog import CatalogAway
from orrery_butler.header import HeaderTranslator, exposure_of
from orrery_butler.observation import Untranslatable
from orrery_butler.translate import SiteTranslator, choose

metadata = pytest.importorskip("astro_metadata_translator")

MODULE = "a_sites_translators"


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A site's module: importing it makes its translator known, as the observatory's does."""
    import astropy.units as u
    from astropy.time import Time, TimeDelta

    module = types.ModuleType(MODULE)
    monkeypatch.setitem(sys.modules, MODULE, module)

    class Site(metadata.FitsTranslator):  # type: ignore[misc, name-defined]
        name = "a site"
        supported_instrument = "lsstCam"
        _const_map: ClassVar = {
            "instrument": "LSSTCam",
            "observation_counter": 7,
            "science_program": "corrected",
            **dict.fromkeys(("tracking_radec", "altaz_begin", "boresight_rotation_angle", "boresight_rotation_coord")),
        }
        _trivial_map: ClassVar = {
            "observation_id": "OBSID",
            "physical_filter": "FILTER",
            "exposure_group": "GROUPID",
            "exposure_time_requested": ("EXPTIME", {"unit": u.s}),
            "dark_time": ("DARKTIME", {"unit": u.s}),
            "object": "OBJECT",
        }

        @classmethod
        def can_translate(cls, header: dict[str, object], filename: str | None = None) -> bool:
            return header["INSTRUME"] == cls.supported_instrument

        def to_exposure_id(self) -> int:
            return 2025060900007

        def to_observing_day(self) -> int:
            return 20250609

        @classmethod
        def observing_date_to_offset(cls, _date: object) -> TimeDelta:
            return TimeDelta(12 * 3600, format="sec", scale="tai")

        def to_detector_num(self) -> int | None:
            return 94 if self._header["CCDSLOT"] == "S11" else None

        def to_observation_type(self) -> str:
            return str(self._header["IMGTYPE"]).lower()

        def to_datetime_begin(self) -> Time:
            return Time(self._header["DATE-BEG"], scale="tai", format="fits")

        def to_datetime_end(self) -> Time:
            return Time(self._header["DATE-END"], scale="tai", format="fits")

        @classmethod
        def fix_header(cls, fixed: dict[str, object], *_: object, **__: object) -> bool:
            fixed["FILTER"] = "z_20"
            return True

    yield MODULE
    metadata.MetadataTranslator.translators.pop("a site")


def test_the_sites_corrections_count(site: str) -> None:
    translator = choose("auto", [site])
    assert isinstance(translator, SiteTranslator)
    assert translator.name == MODULE
    given = header(1)
    found = translator.observation(given, "file:///a.fits")
    exposure = found.exposure
    assert given["FILTER"] == "i_39"
    assert found.detector == 94
    assert (exposure.id, exposure.physical_filter, exposure.seq_num) == (2025060900007, "z_20", 7)
    assert (exposure.science_program, exposure.day_offset) == ("corrected", 12 * 3600)
    same = exposure_of(header(1))
    for field in ("instrument", "obs_id", "day_obs", "group", "timespan", "exposure_time", "dark_time", "target_name"):
        assert getattr(exposure, field) == getattr(same, field), field
    name = translator.exposure_name(header(1), "file:///a.fits")
    assert (name.instrument, name.obs_id, name.detector) == ("LSSTCam", same.obs_id, 94)


@pytest.mark.parametrize("changed", [{"OBSID": None}, {"CCDSLOT": "S99"}, {"INSTRUME": "Hubble"}, {"DATE-BEG": "never"}])
def test_what_the_site_cannot_translate(site: str, changed: dict[str, object]) -> None:
    translator = choose("site", [site])
    for translate in (translator.observation, translator.exposure_name):
        if translate == translator.exposure_name and "DATE-BEG" in changed:
            continue
        with pytest.raises(Untranslatable) as refused:
            translate({**header(1), **changed}, "file:///a.fits")
        assert refused.value.fault == ("unknown_detector" if "CCDSLOT" in changed else "metadata")


def test_nobody_but_the_built_in() -> None:
    assert isinstance(choose("auto"), HeaderTranslator)
    assert isinstance(choose("built-in", ["not.there"]), HeaderTranslator)
    with pytest.raises(CatalogAway, match="translator_missing"):
        choose("site")
    with pytest.raises(CatalogAway, match=r"not\.there"):
        choose("auto", ["not.there"])
