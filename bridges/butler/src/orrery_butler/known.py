"""What the repository has already, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lsst.daf.butler import Butler, DatasetId, DatasetRef
from lsst.resources import ResourcePath

from .protocol import Outcome, permanent, retry

INGESTED = Outcome("ingested")
DUPLICATE = Outcome("duplicate")
OUT_OF_TIME = retry("db_busy", "the batch's deadline came before its turn")


def stored_uris(butler: Butler, refs: Sequence[DatasetRef]) -> Mapping[DatasetId, ResourcePath]:
    """Where the datasets lie that the datastore has a record of; the others are left out.

    One query, and no look at the files. (``stored_many`` looks at each, and says no where the record is there and the file
    is not: such a dataset cannot be ingested either.)
    """
    if not refs:
        return {}
    found = butler.get_many_uris(refs, allow_missing=True)
    return {ref.id: uris.primaryURI for ref, uris in found.items() if uris.primaryURI is not None}


def uri_by_data_id(butler: Butler, ref: DatasetRef) -> ResourcePath | None:
    """Where the dataset of this data id lies in its run, whatever id it has there."""
    found = butler.find_dataset(ref.datasetType, ref.dataId, collections=ref.run)
    return None if found is None else stored_uris(butler, [found]).get(found.id)


def compare(stored: ResourcePath, uri: ResourcePath) -> Outcome:
    """What becomes of a file whose dataset is known."""
    if stored == uri:
        return DUPLICATE
    return permanent("conflict_path", f"the repository has this dataset at {stored}, not at {uri}")
