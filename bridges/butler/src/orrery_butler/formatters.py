"""Which class reads the files of an instrument. The repository stores its name; Butler imports it to ingest."""

from __future__ import annotations

import importlib
import sys
import types

from lsst.daf.butler import Formatter, FormatterV2

from .catalog import CatalogAway

_RAW_MODULE = "lsst.obs.lsst.rawFormatter"
RAW_FORMATTERS = {
    "LSSTCam": f"{_RAW_MODULE}.LsstCamRawFormatter",
    "LATISS": f"{_RAW_MODULE}.LatissRawFormatter",
    "LSSTComCam": f"{_RAW_MODULE}.LsstComCamRawFormatter",
    "LSSTComCamSim": f"{_RAW_MODULE}.LsstComCamSimRawFormatter",
    "LSST-TS8": f"{_RAW_MODULE}.LsstTS8RawFormatter",
}
GUIDER_FORMATTER = "lsst.obs.base.formatters.fitsGeneric.FitsGenericFormatter"

#: Modules that stand in for what is not installed.
_made_up: set[str] = set()

FormatterClass = type[Formatter] | type[FormatterV2]


class Formatters:
    """Formatter classes by name, each found once."""

    def __init__(self, *, stubs: bool) -> None:
        """:param stubs: what cannot be imported is stood in for by an empty class of the same name"""
        self._stubs = stubs
        self._found: dict[str, FormatterClass] = {}

    def find(self, name: str) -> FormatterClass:
        """:raises CatalogAway: ``formatter_missing``"""
        found = self._found.get(name)
        if found is None:
            found = self._found[name] = self._import(name)
        return found

    def _import(self, name: str) -> FormatterClass:
        module, _, attribute = name.rpartition(".")
        try:
            loaded = getattr(importlib.import_module(module), attribute, None)
            if loaded is None and module in _made_up:
                return _stub(module, attribute)
        except ImportError as error:
            if self._stubs and isinstance(error, ModuleNotFoundError) and module.startswith(f"{error.name}"):
                return _stub(module, attribute)
            raise CatalogAway("formatter_missing", _missing(name, str(error))) from error
        if not (isinstance(loaded, type) and issubclass(loaded, Formatter | FormatterV2)):
            raise CatalogAway("formatter_missing", _missing(name, "there is no such formatter in that module"))
        return loaded


def _missing(name: str, why: str) -> str:
    return (
        f"the formatter {name} cannot be imported: {why}. Install the package in the bridge's environment; or, where "
        "files are only registered here and read elsewhere, start the bridge with --stub-formatters"
    )


def _stub(module: str, attribute: str) -> FormatterClass:
    """An empty formatter under the real name, in modules made up as far as they are missing."""
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        path = ".".join(parts[:count])
        try:
            importlib.import_module(path)
        except ModuleNotFoundError:
            made = types.ModuleType(path, "Stands in for a package that is not installed here.")
            made.__path__ = []
            sys.modules[path] = made
            _made_up.add(path)
    stub = type(attribute, (FormatterV2,), {"__module__": module})
    setattr(sys.modules[module], attribute, stub)
    return stub
