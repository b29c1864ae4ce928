"""From an item to the dataset that it would become, without a word to the database but for names that are not known yet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lsst.daf.butler import Butler, DataCoordinate, DatasetIdGenEnum, DatasetRef, DatasetType, FileDataset
from lsst.resources import ResourcePath

from .formatters import GUIDER_FORMATTER, RAW_FORMATTERS, Formatters
from .observation import Exposure, ExposureName, Translator, Untranslatable
from .protocol import Item, Outcome, permanent, retry
from .registry import Registry


@dataclass(frozen=True)
class Prepared:
    """An item that could be ingested."""

    item: Item
    uri: ResourcePath
    ref: DatasetRef
    formatter: type
    #: None for a guider: its exposure is known already.
    exposure: Exposure | None

    @property
    def dataset(self) -> FileDataset:
        # A new one each time: Butler writes into it.
        return FileDataset(path=self.uri, refs=[self.ref], formatter=self.formatter)


class Preparer:
    def __init__(
        self,
        butler: Butler,
        registry: Registry,
        translator: Translator,
        formatters: Formatters,
    ) -> None:
        self._butler = butler
        self._registry = registry
        self._translator = translator
        self._formatters = formatters
        universe = butler.dimensions
        dimensions = ("instrument", "detector", "exposure")
        self._raw = DatasetType("raw", dimensions, "Exposure", universe=universe)
        self._guider = DatasetType("guider_raw", dimensions, "Stamps", universe=universe)
        self._runs: set[tuple[str, str]] = set()

    def raws(self, items: Sequence[Item]) -> Mapping[str, Prepared | Outcome]:
        """:raises CatalogAway: a formatter is missing"""
        return {item.key: self._raw_of(item) for item in items}

    def guiders(self, items: Sequence[Item]) -> Mapping[str, Prepared | Outcome]:
        """Only the exposure's name and the detector are read from a guider's header: the exposure is made by its images.

        :raises CatalogAway: a formatter is missing
        """
        names = {item.key: self._name_of(item) for item in items}
        wanted: dict[str, set[str]] = defaultdict(set)
        for name in names.values():
            if isinstance(name, ExposureName):
                wanted[name.instrument].add(name.obs_id)
        ids = {instrument: self._registry.exposure_ids(instrument, names) for instrument, names in wanted.items()}
        return {item.key: self._guider_of(item, names[item.key], ids) for item in items}

    def forget(self) -> None:
        """Register dataset types and collections again: somebody else may have removed one."""
        self._runs.clear()

    def _raw_of(self, item: Item) -> Prepared | Outcome:
        if item.header is None:
            return _NO_HEADER
        try:
            observation = self._translator.observation(item.header, item.uri)
        except Untranslatable as error:
            return permanent(error.fault, str(error))
        exposure = observation.exposure
        instrument = exposure.instrument
        formatter = RAW_FORMATTERS.get(instrument)
        if formatter is None:
            return permanent("metadata", f"no formatter is known for instrument {instrument}")
        detector = self._registry.detector(instrument, observation.detector)
        if isinstance(detector, Outcome):
            return detector
        missing = self._registry.missing_filter(exposure)
        if missing is not None:
            return missing
        ref = self._ref(self._raw, instrument, detector.id, exposure.id, f"{instrument}/raw/all")
        return Prepared(item, self._path(item), ref, self._formatters.find(formatter), exposure)

    def _name_of(self, item: Item) -> ExposureName | Outcome:
        if item.header is None:
            return _NO_HEADER
        try:
            return self._translator.exposure_name(item.header, item.uri)
        except Untranslatable as error:
            return permanent(error.fault, str(error))

    def _guider_of(
        self, item: Item, name: ExposureName | Outcome, ids: Mapping[str, Mapping[str, int]]
    ) -> Prepared | Outcome:
        if isinstance(name, Outcome):
            return name
        instrument = name.instrument
        detector = self._registry.detector(instrument, name.detector)
        if isinstance(detector, Outcome):
            return detector
        if detector.purpose != "GUIDER":
            return permanent("metadata", f"detector {detector.full_name} is no guider but {detector.purpose}")
        exposure = ids[instrument].get(name.obs_id)
        if exposure is None:
            return retry("no_exposure", f"exposure {name.obs_id} is not known yet")
        ref = self._ref(self._guider, instrument, detector.id, exposure, f"{instrument}/raw/guider")
        return Prepared(item, self._path(item), ref, self._formatters.find(GUIDER_FORMATTER), None)

    def _path(self, item: Item) -> ResourcePath:
        return ResourcePath(item.uri, forceAbsolute=False)

    def _ref(self, kind: DatasetType, instrument: str, detector: int, exposure: int, run: str) -> DatasetRef:
        if (kind.name, run) not in self._runs:
            self._butler.registry.registerDatasetType(kind)
            self._butler.collections.register(run)
            self._runs.add((kind.name, run))
        values: dict[str, int | str] = {"instrument": instrument, "detector": detector, "exposure": exposure}
        where = DataCoordinate.from_required_values(
            kind.dimensions, tuple(values[name] for name in kind.dimensions.required)
        )
        # The same file makes the same dataset whoever ingests it, and however often.
        return DatasetRef(kind, where, run=run, id_generation_mode=DatasetIdGenEnum.DATAID_TYPE_RUN)


_NO_HEADER = permanent("metadata", "the item has no header: the lane needs `metadata: header`")
