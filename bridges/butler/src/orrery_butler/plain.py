"""Ingest with nothing but ``lsst-daf-butler``: records made here, files registered where they lie."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from lsst.daf.butler import Butler

from .catalog import CatalogAway, Deadline
from .faults import Busy, Gone, is_known_already, outcome_of, raise_if_not_the_files
from .files import absent
from .formatters import Formatters
from .known import INGESTED, OUT_OF_TIME, compare, stored_uris, uri_by_data_id
from .locks import LockWait
from .observation import Exposure, Translator
from .prepare import Prepared, Preparer
from .protocol import Answer, Item, Outcome, Visit, retry
from .registry import Registry, Written

log = logging.getLogger(__name__)

GOOD = ("ingested", "duplicate")


@dataclass
class Batch:
    """What is known of a batch on its way."""

    deadline: Deadline
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    #: Items whose exposure this batch made known.
    new: set[str] = field(default_factory=set)
    visits: dict[str, Visit] = field(default_factory=dict)

    def answer(self, item: Item) -> Answer:
        return Answer(self.outcomes[item.key], item.key in self.new, self.visits.get(item.key))


class PlainCatalog:
    def __init__(
        self,
        butler: Butler,
        translator: Translator,
        formatters: Formatters,
        *,
        record_size: bool = True,
    ) -> None:
        """
        :param record_size: whether the size of each file is recorded, which costs another look at it
        """
        self._butler = butler
        self._translator_name = translator.name
        self._record_size = record_size
        self._registry = Registry(butler)
        self._preparer = Preparer(butler, self._registry, translator, formatters)
        self._locks = LockWait()

    def about(self) -> Mapping[str, object]:
        return {
            "backend": "plain",
            "translator": self._translator_name,
            "universe": self._butler.dimensions.version,
        }

    def close(self) -> None:
        self._locks.close()
        self._butler.close()

    def ingest(self, items: Sequence[Item], deadline: Deadline) -> Mapping[str, Answer]:
        batch = Batch(deadline)
        self._locks.wait_ms = deadline.wait_ms
        self._registry.begin()
        try:
            self._ingest(items, batch)
        except (Busy, Gone) as error:
            self._give_up(items, batch, error)
        except Exception as error:
            # Of a query: what is about one file was caught where it happened.
            try:
                raise_if_not_the_files(error)
            except (Busy, Gone) as away:
                self._give_up(items, batch, away)
            else:
                raise
        return {item.key: batch.answer(item) for item in items}

    def _give_up(self, items: Sequence[Item], batch: Batch, error: Busy | Gone) -> None:
        """The database does not answer any more. Where nothing was ingested the batch goes back at nobody's cost."""
        if INGESTED not in batch.outcomes.values():
            raise CatalogAway("repo_unavailable", str(error)) from error
        left = retry("db_busy" if isinstance(error, Busy) else "storage", str(error))
        for item in items:
            batch.outcomes.setdefault(item.key, left)

    def _ingest(self, items: Sequence[Item], batch: Batch) -> None:
        raws = [item for item in items if item.kind != "guider"]
        guiders = [item for item in items if item.kind == "guider"]
        # Guiders last: an exposure of the same batch is known by then.
        for chosen, prepare in ((raws, self._preparer.raws), (guiders, self._preparer.guiders)):
            if not chosen:
                continue
            found: list[Prepared] = []
            for key, prepared in prepare(chosen).items():
                if isinstance(prepared, Outcome):
                    batch.outcomes[key] = prepared
                else:
                    found.append(prepared)
            by_rounds(found, batch.outcomes, lambda distinct: self._ingest_distinct(distinct, batch))

    def _ingest_distinct(self, prepared: Sequence[Prepared], batch: Batch) -> None:
        """Give each an outcome; no two are of the same dataset."""
        new = self._without_known(prepared, batch)
        new = self._without_absent(new, batch)
        new = self._without_refused_exposures(new, batch)
        self._ingest_halving(new, batch)

    def _without_known(self, prepared: Sequence[Prepared], batch: Batch) -> list[Prepared]:
        stored = stored_uris(self._butler, [one.ref for one in prepared])
        new: list[Prepared] = []
        for one in prepared:
            at = stored.get(one.ref.id)
            if at is None:
                new.append(one)
            else:
                batch.outcomes[one.item.key] = compare(at, one.uri)
        return new

    def _without_absent(self, prepared: Sequence[Prepared], batch: Batch) -> list[Prepared]:
        faults = absent([one.uri for one in prepared], batch.deadline)
        batch.outcomes.update((one.item.key, faults[one.uri]) for one in prepared if one.uri in faults)
        return [one for one in prepared if one.uri not in faults]

    def _without_refused_exposures(self, prepared: Sequence[Prepared], batch: Batch) -> list[Prepared]:
        """Make known what the files belong to, an exposure at a time: one that is refused holds nobody else's files.

        Headers that say different things of one exposure are different here, so what becomes of a file does not depend on
        its neighbours in the batch, only on which of them came first.
        """
        by_exposure: dict[Exposure | None, list[Prepared]] = defaultdict(list)
        for one in prepared:
            by_exposure[one.exposure].append(one)
        accepted = by_exposure.pop(None, [])
        for exposure, files in by_exposure.items():
            if exposure is None:
                continue
            written = self._written(exposure, batch)
            for one in files:
                key = one.item.key
                if isinstance(written, Outcome):
                    batch.outcomes[key] = written
                    continue
                accepted.append(one)
                batch.visits[key] = written.visit
                if written.new:
                    batch.new.add(key)
        return accepted

    def _written(self, exposure: Exposure, batch: Batch) -> Written | Outcome:
        if batch.deadline.passed:
            return OUT_OF_TIME
        try:
            return self._registry.write(exposure)
        except (Busy, Gone):
            raise
        except Exception as error:
            return outcome_of(error)

    def _ingest_halving(self, prepared: Sequence[Prepared], batch: Batch) -> None:
        """All in one transaction; where that is refused, each half in its own, down to the one that cannot be ingested."""
        if not prepared:
            return
        if batch.deadline.passed:
            batch.outcomes.update((one.item.key, OUT_OF_TIME) for one in prepared)
            return
        try:
            self._butler.ingest(
                *(one.dataset for one in prepared),
                transfer="direct",
                record_validation_info=self._record_size,
            )
        except Exception as error:
            raise_if_not_the_files(error)
            if len(prepared) == 1:
                batch.outcomes[prepared[0].item.key] = self._refused(prepared[0], error)
                return
            log.info("%d files are ingested by halves: %s", len(prepared), error)
            middle = len(prepared) // 2
            self._ingest_halving(prepared[:middle], batch)
            self._ingest_halving(prepared[middle:], batch)
        else:
            batch.outcomes.update((one.item.key, INGESTED) for one in prepared)

    def _refused(self, one: Prepared, error: Exception) -> Outcome:
        if is_known_already(error):
            # Another bridge was faster, or somebody ingested it by an id of his own choice.
            at = uri_by_data_id(self._butler, one.ref)
            if at is not None:
                return compare(at, one.uri)
        outcome = outcome_of(error)
        if isinstance(error, LookupError) or outcome.fault == "unknown_detector":
            # It was there a moment ago: a record went away behind our back. The next try makes it again, or names it.
            self._registry.forget()
            self._preparer.forget()
            return retry("no_exposure", outcome.detail)
        return outcome


def by_rounds(
    prepared: Sequence[Prepared], outcomes: dict[str, Outcome], ingest: Callable[[Sequence[Prepared]], None]
) -> None:
    """Hand over one file of each dataset at a time; the others take its outcome, or wait for what comes of it.

    Ends: each round settles at least one file of each dataset.
    """
    waiting = list(prepared)
    while waiting:
        first: dict[object, Prepared] = {}
        others: list[Prepared] = []
        for one in waiting:
            if first.setdefault(one.ref.id, one) is not one:
                others.append(one)
        ingest(list(first.values()))
        waiting = []
        for one in others:
            lead = first[one.ref.id]
            outcome = outcomes[lead.item.key]
            if outcome.status in GOOD:
                outcomes[one.item.key] = compare(lead.uri, one.uri)
            elif one.uri == lead.uri:
                outcomes[one.item.key] = outcome
            else:
                waiting.append(one)
