"""Each test of a repository runs on SQLite and, where its programs are installed, on PostgreSQL."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from headers import exposure_id, header, obs_id
from lsst.daf.butler import Butler
from repositories import create_database, find_postgresql, postgresql

from orrery_butler.catalog import Deadline
from orrery_butler.formatters import Formatters
from orrery_butler.header import HeaderTranslator
from orrery_butler.make_repo import make_repo
from orrery_butler.plain import PlainCatalog
from orrery_butler.protocol import Answer, Item, Kind


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    programs = find_postgresql()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: neither pg_config nor /usr/lib/postgresql/*/bin names its initdb")
    with postgresql(programs) as url:
        yield url


INSTRUMENTS = ["LSSTCam", "LATISS"]


@pytest.fixture(scope="session")
def sqlite_repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template") / "repo"
    make_repo(str(root), INSTRUMENTS).close()
    return root


@pytest.fixture(scope="session")
def postgresql_repo(server: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template") / "repo"
    make_repo(str(root), INSTRUMENTS, database=create_database(server, "template_repo")).close()
    return root


@pytest.fixture(params=["sqlite", "postgresql"])
def repo(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A repository that knows LSSTCam and LATISS: a copy, which takes a tenth of the time of making one."""
    template: Path = request.getfixturevalue(f"{request.param}_repo")
    root = tmp_path / "repo"
    shutil.copytree(template, root)
    if request.param == "postgresql":
        name = f"repo_{secrets.token_hex(6)}"
        create_database(request.getfixturevalue("server"), name, "template_repo")
        config = root / "butler.yaml"
        config.write_text(config.read_text().replace("/template_repo", f"/{name}"))
    return str(root)


class Stage:
    """A catalog on a repository, files to give it, and a second Butler to look with."""

    def __init__(self, repo: str, files: Path, catalog: PlainCatalog) -> None:
        self.repo = repo
        self.files = files
        self.catalog = catalog
        self.butler = Butler.from_config(repo)
        files.mkdir(exist_ok=True)

    def file(self, seq: int = 1, detector: str = "R22_S11", folder: str = "") -> str:
        """The URI of a file that exists."""
        path = self.files / folder / f"{obs_id(seq)}_{detector}.fits"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"SIMPLE  =                    T")
        return path.as_uri()

    def item(
        self,
        seq: int = 1,
        detector: str = "R22_S11",
        *,
        key: str = "",
        uri: str | None = None,
        kind: Kind = "raw",
        folder: str = "",
        **changed: Any,
    ) -> Item:
        at = self.file(seq, detector, folder) if uri is None else uri
        name = key or f"{seq}/{detector}/{folder}"
        # As it comes over the line.
        return Item(name, at, kind, json.loads(json.dumps(header(seq, detector, **changed))))

    def ingest(self, *items: Item, deadline_ms: float | None = None) -> list[Answer]:
        answers = self.answers(items, deadline_ms)
        return [answers[item.key] for item in items]

    def answers(self, items: Sequence[Item], deadline_ms: float | None = None) -> Mapping[str, Answer]:
        answers = self.catalog.ingest(items, Deadline(deadline_ms))
        assert set(answers) == {item.key for item in items}
        return answers

    def stored(self, kind: str = "raw") -> dict[tuple[int, int], str]:
        """Where each dataset lies, by exposure and detector."""
        refs = self.butler.query_datasets(kind, collections="*", explain=False, limit=None, find_first=False)
        return {(int(ref.dataId["exposure"]), int(ref.dataId["detector"])): str(self.butler.getURI(ref)) for ref in refs}

    def records(self, element: str) -> list[dict[str, Any]]:
        found = self.butler.query_dimension_records(element, instrument="LSSTCam", explain=False, limit=None)
        return [record.toDict() for record in found]


@pytest.fixture
def stage(repo: str, tmp_path: Path) -> Iterator[Stage]:
    catalog = PlainCatalog(Butler.from_config(repo, writeable=True), HeaderTranslator(), Formatters(stubs=True))
    made = Stage(repo, tmp_path / "files", catalog)
    yield made
    made.butler.close()
    catalog.close()


Opened = Callable[[], PlainCatalog]

__all__ = ["Stage", "exposure_id"]
