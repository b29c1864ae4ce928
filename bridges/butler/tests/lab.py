"""Repositories for a test in another language: one JSON object a line comes, one goes. Everything ends when stdin does.

``{"do": "open", "kind": "sqlite" | "postgresql", "root": FOLDER, "instruments": [NAME, ...]}`` makes a repository;
``{"do": "ingest", "repo": ROOT, "items": [{"key", "uri", "kind", "header"}, ...]}`` puts files into it;
``{"do": "count", "repo": ROOT}`` tells how many raw files it has;
``{"do": "hold", "repo": ROOT}`` locks it, ``{"do": "release", "repo": ROOT}`` frees it;
``{"do": "look", "repo": ROOT}`` tells what is in it.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import uuid
from contextlib import ExitStack
from typing import Any

from lsst.daf.butler import Butler, DatasetRef
from repositories import create_database, find_postgresql, postgresql
from test_locks import held

from orrery_butler.catalog import Deadline
from orrery_butler.formatters import Formatters
from orrery_butler.header import HeaderTranslator
from orrery_butler.make_repo import make_repo
from orrery_butler.plain import PlainCatalog
from orrery_butler.protocol import Item


class Lab:
    def __init__(self) -> None:
        self.end = ExitStack()
        self.server: str | None = None
        self.locks: dict[str, ExitStack] = {}

    def open(self, kind: str, root: str, instruments: list[str]) -> dict[str, Any]:
        database = None
        if kind == "postgresql":
            programs = find_postgresql()
            if programs is None:
                return {"missing": "PostgreSQL: neither pg_config nor /usr/lib/postgresql/*/bin names its initdb"}
            if self.server is None:
                self.server = self.end.enter_context(postgresql(programs))
            database = create_database(self.server, f"repo_{secrets.token_hex(6)}")
        make_repo(root, instruments, database=database).close()
        return {}

    def ingest(self, repo: str, items: list[dict[str, Any]], foreign_ids: bool = False) -> dict[str, Any]:
        catalog = PlainCatalog(Butler.from_config(repo, writeable=True), HeaderTranslator(), Formatters(stubs=True))
        if foreign_ids:
            make_ids_foreign(catalog)
        try:
            answers = catalog.ingest([Item(**item) for item in items], Deadline(None))
            return {key: answer.outcome.fault or answer.outcome.status for key, answer in answers.items()}
        finally:
            catalog.close()

    def hold(self, repo: str) -> dict[str, Any]:
        self.locks[repo] = ExitStack()
        self.end.callback(self.locks[repo].close)
        self.locks[repo].enter_context(held(repo))
        return {}

    def release(self, repo: str) -> dict[str, Any]:
        self.locks[repo].close()
        return {}

    def count(self, repo: str) -> int:
        butler = Butler.from_config(repo)
        try:
            return len(butler.query_datasets("raw", "*", find_first=False, explain=False, limit=None))
        finally:
            butler.close()

    def look(self, repo: str) -> dict[str, Any]:
        """Every dataset by its data id, and the records that they hang on."""
        butler = Butler.from_config(repo)
        try:
            datasets = []
            for kind in ("raw", "guider_raw"):
                refs = butler.query_datasets(kind, "*", find_first=False, explain=False, limit=None)
                uris = butler.get_many_uris(refs)
                for ref in refs:
                    found = butler.find_dataset(kind, ref.dataId, collections=ref.run)
                    datasets.append(
                        {
                            "kind": kind,
                            "exposure": str(ref.dataId["exposure"]),
                            "detector": ref.dataId["detector"],
                            "run": ref.run,
                            "uri": str(uris[ref].primaryURI),
                            "by_data_id": found is not None and found.id == ref.id,
                        }
                    )
            return {
                "datasets": datasets,
                "raws_of_visits": [
                    _raws_of(butler, record.id)
                    for record in butler.query_dimension_records(
                        "visit", instrument="LSSTCam", explain=False, limit=None
                    )
                ],
                **{
                    element: [
                        {name: _plain(value) for name, value in record.toDict().items()}
                        for record in butler.query_dimension_records(
                            element, instrument="LSSTCam", explain=False, limit=None
                        )
                    ]
                    for element in ("exposure", "visit", "visit_definition", "visit_system_membership")
                },
            }
        finally:
            butler.close()


def _raws_of(butler: Butler, visit: int) -> dict[str, Any]:
    """A visit by its data id, and the raw files that Butler finds by it."""
    of_it: dict[str, int | str] = {"instrument": "LSSTCam", "visit": visit}
    (record,) = butler.query_dimension_records("visit", data_id=of_it, explain=False)
    refs = butler.query_datasets("raw", "LSSTCam/raw/all", data_id=of_it, find_first=False, explain=False, limit=None)
    return {
        "visit": str(visit),
        "name": record.name,
        "exposures": sorted({str(ref.dataId["exposure"]) for ref in refs}),
        "detectors": sorted(ref.dataId["detector"] for ref in refs),
    }


def make_ids_foreign(catalog: PlainCatalog) -> None:
    """Let chance choose the ids of the datasets that it makes, as tools do which do not use ``DATAID_TYPE_RUN``."""
    preparer = catalog._preparer
    ref_of = preparer._ref

    def by_chance(*args: Any) -> DatasetRef:
        ref = ref_of(*args)
        return DatasetRef(ref.datasetType, ref.dataId, run=ref.run, id=uuid.uuid4())

    preparer._ref = by_chance  # type: ignore[method-assign, assignment]


def _plain(value: object) -> object:
    # A number of this size would be rounded on its way.
    return value if value is None or isinstance(value, bool | float | str) else str(value)


def main() -> None:
    lines = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    lab = Lab()
    with lab.end:
        for line in sys.stdin:
            request = json.loads(line)
            try:
                said = {"done": getattr(lab, request.pop("do"))(**request)}
            except Exception as error:
                said = {"failed": f"{type(error).__name__}: {error}"}
            lines.write(f"{json.dumps(said)}\n")
            lines.flush()


if __name__ == "__main__":
    main()
