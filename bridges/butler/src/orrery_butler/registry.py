"""What the registry knows of instruments, kept in memory, and the exposures that this process made known."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from lsst.daf.butler import Butler, DimensionRecord
from lsst.daf.butler.registry.interfaces import DatabaseConflictError

from .faults import raise_if_not_the_files, text_of
from .observation import Exposure
from .protocol import Outcome, Visit, permanent
from .records import exposure_records, visit_records

log = logging.getLogger(__name__)

#: Exposures that are remembered as written; the others are compared with the database again.
REMEMBERED = 4_096


@dataclass(frozen=True)
class Instrument:
    #: By full name.
    detectors: dict[str, DimensionRecord]
    numbers: dict[int, DimensionRecord]
    filters: frozenset[str]


@dataclass(frozen=True)
class Written:
    """An exposure that is in the registry."""

    new: bool
    visit: Visit


class Registry:
    def __init__(self, butler: Butler) -> None:
        self._butler = butler
        self._instruments: dict[str, Instrument | None] = {}
        self._written: OrderedDict[Exposure, Visit] = OrderedDict()
        self._fresh: set[str] = set()

    def begin(self) -> None:
        """At the begin of a batch: what is not found in memory is read again, once an instrument."""
        self._fresh.clear()

    def detector(self, instrument: str, detector: int | str) -> DimensionRecord | Outcome:
        """The detector's record by number or full name."""
        for fresh in (False, True):
            known = self._instrument(instrument, fresh)
            if known is None:
                continue
            record = known.detectors.get(detector) if isinstance(detector, str) else known.numbers.get(detector)
            if record is not None:
                return record
        if known is None:
            return permanent("metadata", f"instrument {instrument} is not registered in this repository")
        return permanent("unknown_detector", f"{instrument} has no detector {detector}")

    def missing_filter(self, exposure: Exposure) -> Outcome | None:
        for fresh in (False, True):
            known = self._instrument(exposure.instrument, fresh)
            if known is not None and exposure.physical_filter in known.filters:
                return None
        return permanent("unknown_filter", f"{exposure.instrument} has no physical_filter {exposure.physical_filter!r}")

    def _instrument(self, name: str, fresh: bool) -> Instrument | None:
        if name in self._instruments and (not fresh or name in self._fresh):
            return self._instruments[name]
        self._fresh.add(name)
        detectors = self._records("detector", name)
        filters = self._records("physical_filter", name)
        found = None
        if detectors or filters:
            found = Instrument(
                {record.full_name: record for record in detectors},
                {record.id: record for record in detectors},
                frozenset(record.name for record in filters),
            )
        self._instruments[name] = found
        return found

    def _records(self, element: str, instrument: str) -> list[DimensionRecord]:
        query = self._butler.query_dimension_records
        return query(element, instrument=instrument, explain=False, limit=None)

    def exposure_ids(self, instrument: str, obs_ids: Iterable[str]) -> dict[str, int]:
        """Exposures by the observatory's name of them; those that are not known are left out."""
        wanted = set(obs_ids)
        found = self._butler.query_dimension_records(
            "exposure",
            where="exposure.obs_id IN (wanted)",
            bind={"wanted": sorted(wanted)},
            instrument=instrument,
            explain=False,
            limit=None,
        )
        return {record.obs_id: record.id for record in found}

    def write(self, exposure: Exposure) -> Written | Outcome:
        """Make an exposure and its visit known, or say why that cannot be.

        The visit comes before the exposure's first file: whoever finds a file finds its visit tried, also after a crash.

        :raises Busy, Gone: nobody's fault
        """
        visit = self._written.get(exposure)
        if visit is not None and visit != "failed":
            self._written.move_to_end(exposure)
            return Written(False, visit)
        try:
            new = self._sync(exposure)
        except Exception as error:
            raise_if_not_the_files(error)
            if isinstance(error, DatabaseConflictError):
                return permanent("conflict_exposure", f"exposure {exposure.id}: {text_of(error)}")
            other = self.exposure_ids(exposure.instrument, [exposure.obs_id]).get(exposure.obs_id)
            if other is not None:
                return permanent("conflict_exposure", f"exposure {exposure.id}: {other} is {exposure.obs_id} already")
            raise
        visit = self._define_visit(exposure, new)
        self._written[exposure] = visit
        if len(self._written) > REMEMBERED:
            self._written.popitem(last=False)
        return Written(new, visit)

    def forget(self) -> None:
        """Ask the database again for everything: somebody else may have removed it."""
        self._written.clear()
        self._instruments.clear()

    def _sync(self, exposure: Exposure) -> bool:
        new: bool | dict[str, object] = False
        # One transaction: three syncs by themselves cost three commits, and a refused exposure would leave its group behind.
        with self._butler.transaction():
            for record in exposure_records(exposure, self._butler.dimensions):
                new = self._butler.registry.syncDimensionData(record.definition.name, record)
        return new is True

    def _define_visit(self, exposure: Exposure, new: bool) -> Visit:
        if not exposure.is_on_sky:
            return "skipped"
        try:
            if not new and self._has_visit(exposure):
                # Whoever defined it may know more, its region above all.
                return "skipped"
            with self._butler.transaction():
                for record in visit_records(exposure, self._butler.dimensions):
                    self._butler.registry.syncDimensionData(record.definition.name, record)
        except Exception as error:
            raise_if_not_the_files(error)
            # The files are worth having without it; it is tried again with the exposure's next batch.
            log.warning("no visit for exposure %d: %s", exposure.id, text_of(error))
            return "failed"
        return "defined"

    def _has_visit(self, exposure: Exposure) -> bool:
        found = self._butler.query_dimension_records(
            "visit_definition", instrument=exposure.instrument, exposure=exposure.id, explain=False, limit=1
        )
        return len(found) > 0
