"""Stands in for ``lsst.obs.base`` and ``lsst.obs.lsst``, which no package registry has.

It is the interface that tasks.py is written against, with the order in which callbacks are called and what is raised when.
Underneath are real repositories.
"""

from __future__ import annotations

import json
import sys
import types
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from lsst.daf.butler import (
    Butler,
    DataCoordinate,
    DatasetIdGenEnum,
    DatasetRef,
    DatasetType,
    DimensionRecord,
    FileDataset,
)
from lsst.resources import ResourcePath

from orrery_butler.formatters import GUIDER_FORMATTER, RAW_FORMATTERS, Formatters
from orrery_butler.header import HeaderTranslator, exposure_of
from orrery_butler.observation import Exposure
from orrery_butler.records import exposure_records, visit_records
from orrery_butler.registry import Registry

Callback = Callable[..., Any]
FORMATTERS = Formatters(stubs=True)


class Config:
    transfer = "auto"
    groupExposures = "none"


@dataclass
class Instrument:
    name: str

    def makeDefaultRawIngestRunName(self) -> str:
        return f"{self.name}/raw/all"


@dataclass
class Info:
    dataId: DataCoordinate
    exposure: Exposure


@dataclass
class RawFileData:
    datasets: list[Info]
    filename: ResourcePath
    instrument: Instrument | None


@dataclass
class RawExposureData:
    files: list[RawFileData]
    record: DimensionRecord


def sidecar(uri: ResourcePath) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(uri.updatedExtension(".json").read())
    return content


class RawIngestTask:
    ConfigClass = Config

    def __init__(
        self,
        config: Config,
        *,
        butler: Butler,
        on_success: Callback,
        on_metadata_failure: Callback,
        on_ingest_failure: Callback,
        on_exposure_record: Callback,
    ) -> None:
        assert config.transfer == "direct"
        self.butler = butler
        self.on_success = on_success
        self.on_metadata_failure = on_metadata_failure
        self.on_ingest_failure = on_ingest_failure
        self.on_exposure_record = on_exposure_record
        self.datasetType = DatasetType("raw", ("instrument", "detector", "exposure"), "Exposure", universe=butler.dimensions)
        self.runs = 0

    def get_raw_datasetType(self, instrument: Instrument) -> DatasetType:
        return self.datasetType

    def extractMetadata(self, uri: ResourcePath) -> RawFileData:
        try:
            observation = HeaderTranslator().observation(sidecar(uri), str(uri))
            exposure = observation.exposure
            detector = Registry(self.butler).detector(exposure.instrument, observation.detector)
            if not isinstance(detector, DimensionRecord):
                raise KeyError("Calculation of required property detector_num resulted in a value of None")
        except Exception as error:
            self.on_metadata_failure(uri, error)
            return RawFileData([], uri, None)
        where = DataCoordinate.standardize(
            instrument=exposure.instrument, detector=detector.id, exposure=exposure.id, universe=self.butler.dimensions
        )
        return RawFileData([Info(where, exposure)], uri, Instrument(exposure.instrument))

    def run(
        self,
        files: Iterable[ResourcePath],
        *,
        group_files: bool,
        track_file_attrs: bool,
        search_indexes: bool,
        num_workers: int,
    ) -> None:
        self.runs += 1
        read = [self.extractMetadata(uri) for uri in files]
        by_exposure: dict[int, list[RawFileData]] = defaultdict(list)
        for file in read:
            if file.datasets:
                by_exposure[file.datasets[0].exposure.id].append(file)
        failed = any(not file.datasets for file in read)
        for group in by_exposure.values():
            failed = not self.ingest_exposure(group, track_file_attrs) or failed
        if failed:
            raise RuntimeError("Some failures encountered during ingestion")

    def ingest_exposure(self, files: list[RawFileData], track_file_attrs: bool) -> bool:
        records = exposure_records(files[0].datasets[0].exposure, self.butler.dimensions)
        exposure = RawExposureData(files, records[-1])
        try:
            for record in records:
                new = self.butler.registry.syncDimensionData(record.definition.name, record)
            if new is not False:
                self.on_exposure_record(records[-1])
        except Exception as error:
            self.on_ingest_failure(exposure, error)
            return False
        self.butler.registry.registerDatasetType(self.datasetType)
        instrument = files[0].instrument
        assert instrument is not None
        run = instrument.makeDefaultRawIngestRunName()
        self.butler.collections.register(run)
        datasets = [
            FileDataset(
                path=file.filename.abspath(),
                refs=[
                    DatasetRef(
                        self.datasetType,
                        file.datasets[0].dataId,
                        run=run,
                        id_generation_mode=DatasetIdGenEnum.DATAID_TYPE_RUN,
                    )
                ],
                formatter=FORMATTERS.find(RAW_FORMATTERS[instrument.name]),
            )
            for file in files
        ]
        try:
            self.butler.ingest(*datasets, transfer="direct", record_validation_info=track_file_attrs)
        except Exception as error:
            self.on_ingest_failure(exposure, error)
            return False
        self.on_success(datasets)
        return True


class DefineVisitsTask:
    ConfigClass = Config

    def __init__(self, config: Config, *, butler: Butler) -> None:
        assert config.groupExposures == "one-to-one"
        self.butler = butler

    def run(self, exposures: Sequence[Any], *, incremental: bool) -> types.SimpleNamespace:
        assert incremental
        made = 0
        for given in exposures:
            (record,) = (
                [given] if isinstance(given, DimensionRecord) else self.butler.query_dimension_records("exposure", **given)
            )
            if record.tracking_ra is None:
                continue
            header = {
                "INSTRUME": record.instrument,
                "DAYOBS": str(record.day_obs),
                "SEQNUM": record.seq_num,
                "OBSID": record.obs_id,
                "MJD-BEG": record.timespan.begin.mjd,
                "FILTER": record.physical_filter,
            }
            for visit in visit_records(exposure_of(header), self.butler.dimensions):
                new = self.butler.registry.syncDimensionData(visit.definition.name, visit)
            made += new is True
        return types.SimpleNamespace(n_new=made)


def ingest_guider(
    butler: Butler,
    locations: Sequence[ResourcePath],
    *,
    group_files: bool,
    transfer: str,
    register_dataset_type: bool,
    track_file_attrs: bool,
    on_success: Callback,
    on_metadata_failure: Callback,
    on_undefined_exposure: Callback,
    on_ingest_failure: Callback,
) -> None:
    assert transfer == "direct"
    kind = DatasetType("guider_raw", ("instrument", "detector", "exposure"), "Stamps", universe=butler.dimensions)
    assert register_dataset_type
    butler.registry.registerDatasetType(kind)
    registry = Registry(butler)
    datasets: list[FileDataset] = []
    missed = False
    for uri in locations:
        try:
            name = HeaderTranslator().exposure_name(sidecar(uri), str(uri))
        except Exception as error:
            on_metadata_failure(uri, error)
            missed = True
            continue
        exposure = registry.exposure_ids(name.instrument, [name.obs_id]).get(name.obs_id)
        detector = registry.detector(name.instrument, name.detector)
        assert isinstance(detector, DimensionRecord)
        if exposure is None:
            on_undefined_exposure(uri, name.obs_id)
            missed = True
            continue
        run = f"{name.instrument}/raw/guider"
        butler.collections.register(run)
        where = DataCoordinate.standardize(
            instrument=name.instrument, detector=detector.id, exposure=exposure, universe=butler.dimensions
        )
        ref = DatasetRef(kind, where, run=run, id_generation_mode=DatasetIdGenEnum.DATAID_TYPE_RUN)
        datasets.append(FileDataset(path=uri, refs=[ref], formatter=FORMATTERS.find(GUIDER_FORMATTER)))
    if datasets:
        try:
            butler.ingest(*datasets, transfer="direct", record_validation_info=track_file_attrs)
        except Exception as error:
            on_ingest_failure(datasets, error)
            missed = True
        else:
            on_success(datasets)
    if missed:
        raise RuntimeError("Failed to ingest some files.")


def install(patch: pytest.MonkeyPatch) -> None:
    """Make the fakes importable under their names, until the test ends."""
    for name, content in (
        ("lsst.obs", {}),
        ("lsst.obs.base", {"RawIngestTask": RawIngestTask, "DefineVisitsTask": DefineVisitsTask}),
        ("lsst.obs.lsst", {"ingest_guider": ingest_guider}),
    ):
        module = types.ModuleType(name)
        module.__path__ = []
        vars(module).update(content)
        patch.setitem(sys.modules, name, module)
