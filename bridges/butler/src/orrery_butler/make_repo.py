"""Makes a repository to try the bridge with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lsst.daf.butler import Butler, Config, DatasetType

from .instruments import BY_SEQ_START_END, CAMERAS, EXPOSURE_MAX, Camera


def make_repo(
    root: str,
    instruments: Sequence[str],
    *,
    database: str | None = None,
    schema: str | None = None,
    filters: Mapping[str, str] | None = None,
) -> Butler:
    """Make a repository that knows instruments, their detectors and filters, and the dataset types of raw files.

    :param root: a folder that is empty or not there
    :param database: SQLAlchemy's name of a PostgreSQL database that has the extension btree_gist; None: SQLite in the folder
    :param schema: the database's schema; it must not hold a repository yet
    :param filters: band by name of further physical filters of each instrument
    :raises FileExistsError: there is a repository already
    """
    config = Config()
    if database is not None:
        config["registry", "db"] = database
        if schema is not None:
            config["registry", "namespace"] = schema
    butler = Butler.from_config(Butler.makeRepo(root, config=config), writeable=True)
    for name in instruments:
        with butler.transaction():
            _register(butler, CAMERAS[name], filters or {})
    dimensions = ("instrument", "detector", "exposure")
    for kind, storage_class in (("raw", "Exposure"), ("guider_raw", "Stamps")):
        butler.registry.registerDatasetType(DatasetType(kind, dimensions, storage_class, universe=butler.dimensions))
    return butler


def _register(butler: Butler, camera: Camera, filters: Mapping[str, str]) -> None:
    write = butler.registry.insertDimensionData
    write(
        "instrument",
        {
            "name": camera.name,
            "detector_max": camera.detector_max,
            "visit_max": EXPOSURE_MAX,
            "exposure_max": EXPOSURE_MAX,
            "class_name": camera.class_name,
            "visit_system": BY_SEQ_START_END,
        },
    )
    write("detector", *({"instrument": camera.name, **vars(detector)} for detector in camera.detectors))
    bands = {**camera.filters, **filters}
    write(
        "physical_filter",
        *({"instrument": camera.name, "name": name, "band": band} for name, band in bands.items()),
    )
