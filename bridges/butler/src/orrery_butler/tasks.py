"""Ingest by the observatory's own tasks, where ``lsst.obs.base`` is installed.

Everything that is known of ``lsst.obs`` stands in this file. Headers are read, translated and corrected by RawIngestTask
itself; visits are defined by DefineVisitsTask, with the camera's geometry; guiders are ingested by ``lsst.obs.lsst``.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from lsst.daf.butler import Butler, DatasetIdGenEnum, DatasetRef, DimensionRecord, FileDataset
from lsst.resources import ResourcePath

from .catalog import CatalogAway, Deadline
from .faults import Busy, Gone, is_known_already, outcome_of, raise_if_not_the_files, text_of
from .files import absent
from .known import DUPLICATE, INGESTED, OUT_OF_TIME, compare, stored_uris
from .locks import LockWait
from .protocol import Answer, Item, Outcome, Visit, permanent, retry
from .translate import metadata_fault

log = logging.getLogger(__name__)

#: Instrument and number of an exposure.
Place = tuple[str, int]

#: Exposures whose visit is remembered.
REMEMBERED = 4_096


class RawFile(Protocol):
    """What is used of lsst.obs.base.RawFileData."""

    filename: ResourcePath
    datasets: Sequence[Any]
    instrument: Any


class RawExposure(Protocol):
    """What is used of lsst.obs.base.RawExposureData: the files of one exposure, which are ingested or refused together."""

    files: Sequence[RawFile]
    record: DimensionRecord


@dataclass
class Refused:
    """Files that were refused together."""

    uris: list[ResourcePath]
    error: Exception
    #: Of those whose dataset is known.
    refs: dict[ResourcePath, DatasetRef] = field(default_factory=dict)


@dataclass
class Round:
    """What the callbacks of one call of a task said. They are called before the task raises, if it does."""

    ingested: dict[ResourcePath, Place] = field(default_factory=dict)
    metadata: dict[ResourcePath, Exception] = field(default_factory=dict)
    no_exposure: dict[ResourcePath, str] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)


@dataclass
class Batch:
    deadline: Deadline
    outcomes: dict[ResourcePath, Outcome] = field(default_factory=dict)
    places: dict[ResourcePath, Place] = field(default_factory=dict)
    new: set[Place] = field(default_factory=set)


class TaskCatalog:
    def __init__(
        self,
        butler: Butler,
        *,
        record_size: bool = True,
        workers: int = 1,
    ) -> None:
        """
        :param workers: threads that read headers
        :raises CatalogAway: ``lsst.obs.base`` cannot be imported
        """
        self._butler = butler
        self._record_size = record_size
        self._workers = workers
        self._round = Round()
        #: Visits that this process defined or found, by exposure. The others are looked up again.
        self._visits: dict[Place, Visit] = {}
        self._new: set[Place] = set()
        self._locks = LockWait()
        try:
            base = importlib.import_module("lsst.obs.base")
            self._raw = self._raw_task(base)
            self._visit = self._visit_task(base)
        except (ImportError, AttributeError) as error:
            raise CatalogAway("tasks_missing", text_of(error)) from error

    def about(self) -> Mapping[str, object]:
        return {"backend": "tasks", "universe": self._butler.dimensions.version}

    def close(self) -> None:
        self._locks.close()
        self._butler.close()

    def _raw_task(self, base: Any) -> Any:
        config = base.RawIngestTask.ConfigClass()
        config.transfer = "direct"
        return base.RawIngestTask(
            config=config,
            butler=self._butler,
            on_success=self._on_success,
            on_metadata_failure=self._on_metadata_failure,
            on_ingest_failure=self._on_exposure_failure,
            on_exposure_record=self._on_exposure_record,
        )

    def _visit_task(self, base: Any) -> Any:
        config = base.DefineVisitsTask.ConfigClass()
        config.groupExposures = "one-to-one"
        return base.DefineVisitsTask(config=config, butler=self._butler)

    def ingest(self, items: Sequence[Item], deadline: Deadline) -> Mapping[str, Answer]:
        batch = Batch(deadline)
        self._locks.wait_ms = deadline.wait_ms
        self._new = batch.new
        uris = {item.key: ResourcePath(item.uri, forceAbsolute=False) for item in items}
        try:
            batch.outcomes.update(absent(list(set(uris.values())), deadline))
            for guiders, run in ((False, self._run_raws), (True, self._run_guiders)):
                # Guiders last: an exposure of the same batch is known by then.
                chosen = {uris[item.key]: None for item in items if (item.kind == "guider") == guiders}
                self._ingest([uri for uri in chosen if uri not in batch.outcomes], run, batch)
            self._complete_visits(batch)
        except Exception as error:
            self._give_up(set(uris.values()), batch, error)
        return dict(self._answers(items, uris, batch))

    def _answers(
        self, items: Sequence[Item], uris: Mapping[str, ResourcePath], batch: Batch
    ) -> Iterator[tuple[str, Answer]]:
        told: set[ResourcePath] = set()
        for item in items:
            uri = uris[item.key]
            outcome = batch.outcomes[uri]
            if uri in told and outcome is INGESTED:
                outcome = DUPLICATE
            told.add(uri)
            place = batch.places.get(uri)
            visit = None if place is None else self._visits.get(place)
            yield item.key, Answer(outcome, place in batch.new, visit)

    def _give_up(self, uris: set[ResourcePath], batch: Batch, error: Exception) -> None:
        try:
            raise_if_not_the_files(error)
        except (Busy, Gone) as away:
            error = away
        if not isinstance(error, Busy | Gone):
            raise error
        if INGESTED not in batch.outcomes.values():
            raise CatalogAway("repo_unavailable", str(error)) from error
        left = retry("db_busy" if isinstance(error, Busy) else "storage", str(error))
        for uri in uris:
            batch.outcomes.setdefault(uri, left)

    def _ingest(self, uris: Sequence[ResourcePath], run: Callable[[Sequence[ResourcePath]], None], batch: Batch) -> None:
        """Give each an outcome: what is refused together is taken apart and tried again, down to the one at fault."""
        waiting = [list(uris)]
        while waiting:
            tried = waiting.pop()
            if not tried:
                continue
            if batch.deadline.passed:
                batch.outcomes.update((uri, OUT_OF_TIME) for uri in tried)
                continue
            said = self._call(run, tried)
            for uri, place in said.ingested.items():
                batch.outcomes[uri] = INGESTED
                batch.places[uri] = place
            batch.outcomes.update((uri, _unread(error)) for uri, error in said.metadata.items())
            batch.outcomes.update(
                (uri, retry("no_exposure", f"exposure {name} is not known yet")) for uri, name in said.no_exposure.items()
            )
            for refused in said.refused:
                waiting += self._taken_apart(refused, batch)
            unsaid = [uri for uri in tried if uri not in batch.outcomes and not _among(uri, said.refused)]
            waiting += _halves(unsaid) if len(unsaid) < len(tried) or len(unsaid) > 1 else []
            if len(unsaid) == len(tried) == 1:
                batch.outcomes[unsaid[0]] = retry("storage", "the ingest task said nothing of it")

    def _call(self, run: Callable[[Sequence[ResourcePath]], None], uris: Sequence[ResourcePath]) -> Round:
        said = self._round = Round()
        try:
            run(uris)
        except CatalogAway:
            raise
        except Exception as error:
            raise_if_not_the_files(error)
            # The task raises RuntimeError at its end where a callback told of a failure, and that is all it says.
            if not (said.metadata or said.refused or said.no_exposure):
                said.refused.append(Refused([uri for uri in uris if uri not in said.ingested], error))
        for told in (*said.metadata.values(), *(refused.error for refused in said.refused)):
            raise_if_not_the_files(told)
        return said

    def _taken_apart(self, refused: Refused, batch: Batch) -> list[list[ResourcePath]]:
        """Settle what the repository knows and the one that is alone; what is left is to be tried again, in these parts."""
        left = refused.uris
        if is_known_already(refused.error):
            stored = stored_uris(self._butler, list(refused.refs.values()))
            for uri, ref in refused.refs.items():
                at = stored.get(ref.id)
                if at is not None:
                    batch.outcomes[uri] = compare(at, uri)
            left = [uri for uri in refused.uris if uri not in batch.outcomes]
            if len(left) < len(refused.uris):
                return [left]
        if len(left) > 1:
            return _halves(left)
        batch.outcomes.update((uri, outcome_of(refused.error)) for uri in left)
        return []

    def _run_raws(self, uris: Sequence[ResourcePath]) -> None:
        self._raw.run(
            uris,
            group_files=False,
            track_file_attrs=self._record_size,
            search_indexes=False,
            num_workers=self._workers,
        )

    def _run_guiders(self, uris: Sequence[ResourcePath]) -> None:
        try:
            ingest_guider = importlib.import_module("lsst.obs.lsst").ingest_guider
        except (ImportError, AttributeError) as error:
            raise CatalogAway("formatter_missing", f"guiders need lsst.obs.lsst: {error}") from error
        ingest_guider(
            self._butler,
            uris,
            group_files=False,
            transfer="direct",
            register_dataset_type=True,
            track_file_attrs=self._record_size,
            on_success=self._on_success,
            on_metadata_failure=self._on_metadata_failure,
            on_undefined_exposure=self._on_undefined_exposure,
            on_ingest_failure=self._on_guider_failure,
        )

    def _on_success(self, datasets: Sequence[FileDataset]) -> None:
        for dataset in datasets:
            where = dataset.refs[0].dataId
            self._round.ingested[_uri(dataset)] = (str(where["instrument"]), int(where["exposure"]))

    def _on_metadata_failure(self, uri: ResourcePath, error: Exception) -> None:
        # From a thread that reads headers, perhaps: one assignment.
        self._round.metadata[uri] = error

    def _on_undefined_exposure(self, uri: ResourcePath, obs_id: str) -> None:
        self._round.no_exposure[uri] = obs_id

    def _on_exposure_failure(self, exposure: RawExposure, error: Exception) -> None:
        refs = {file.filename: self._ref(file) for file in exposure.files}
        self._round.refused.append(Refused(list(refs), error, refs))

    def _on_guider_failure(self, datasets: Sequence[FileDataset], error: Exception) -> None:
        refs = {_uri(dataset): dataset.refs[0] for dataset in datasets}
        self._round.refused.append(Refused(list(refs), error, refs))

    def _ref(self, file: RawFile) -> DatasetRef:
        return DatasetRef(
            self._raw.get_raw_datasetType(file.instrument),
            file.datasets[0].dataId,
            run=file.instrument.makeDefaultRawIngestRunName(),
            id_generation_mode=DatasetIdGenEnum.DATAID_TYPE_RUN,
        )

    def _on_exposure_record(self, record: DimensionRecord) -> None:
        """Called where the exposure is new, before its first file is ingested."""
        place = (str(record.instrument), int(record.id))
        self._new.add(place)
        if len(self._visits) >= REMEMBERED:
            self._visits.clear()
        self._visits[place] = self._define_visit(record)

    def _define_visit(self, record: Any) -> Visit:
        try:
            made = self._visit.run([record], incremental=True)
        except Exception as error:
            raise_if_not_the_files(error)
            # The files are worth having without it.
            log.warning("no visit for %s: %s", record, text_of(error))
            return "failed"
        return "defined" if made.n_new > 0 else "skipped"

    def _complete_visits(self, batch: Batch) -> None:
        """Define the visits of exposures that were made known by somebody who ended before their visit was defined."""
        for place in {*batch.places.values()} - self._visits.keys():
            instrument, exposure = place
            found = self._butler.query_dimension_records(
                "visit_definition", instrument=instrument, exposure=exposure, explain=False, limit=1
            )
            data_id = {"instrument": instrument, "exposure": exposure}
            self._visits[place] = "skipped" if found else self._define_visit(data_id)


def _uri(dataset: FileDataset) -> ResourcePath:
    return ResourcePath(dataset.path, forceAbsolute=False)


def _unread(error: Exception) -> Outcome:
    # The task reads the header itself, so this may also be the store's failure.
    if isinstance(error, OSError):
        return outcome_of(error)
    text = text_of(error)
    return permanent(metadata_fault(text), text)


def _among(uri: ResourcePath, refused: Sequence[Refused]) -> bool:
    return any(uri in one.uris for one in refused)


def _halves(uris: list[ResourcePath]) -> list[list[ResourcePath]]:
    middle = len(uris) // 2
    return [uris[middle:], uris[:middle]] if len(uris) > 1 else [uris]
