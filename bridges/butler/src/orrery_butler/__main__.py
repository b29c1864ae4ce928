"""The command line: ``serve`` is what Orrery starts, ``make-repo`` makes a repository to try it with."""

from __future__ import annotations

import argparse
import importlib.util
import logging
import sys
from collections.abc import Callable
from importlib.metadata import version

from .catalog import Catalog, CatalogAway


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("orrery_butler").setLevel(logging.DEBUG if options.verbose else logging.INFO)
    command: Callable[[argparse.Namespace], int] = options.run
    return command(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="orrery-butler", description=__doc__)
    parser.add_argument("--verbose", action="store_true", help="also log the begin of each batch")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="take batches on stdin, answer on stdout")
    serve.set_defaults(run=_serve)
    serve.add_argument("repo", metavar="REPO", help="the repository: a folder, butler.yaml or label")
    serve.add_argument(
        "--backend",
        choices=("auto", "tasks", "plain"),
        default="auto",
        help="tasks: lsst.obs.base's RawIngestTask; plain: nothing but lsst-daf-butler; auto: tasks where it is installed",
    )
    serve.add_argument(
        "--translator",
        choices=("auto", "site", "built-in"),
        default="auto",
        help="plain: who reads headers; auto: the site's package where one is installed",
    )
    serve.add_argument(
        "--translator-module",
        action="append",
        default=[],
        metavar="MODULE",
        help="plain: module of the site's translators, imported at the start; may be repeated",
    )
    serve.add_argument(
        "--stub-formatters",
        action="store_true",
        help="plain: register files under formatters that are not installed here",
    )
    serve.add_argument("--no-size", action="store_true", help="do not record file sizes: one look less at each file")
    serve.add_argument("--workers", type=int, default=4, help="tasks: threads that read headers")

    make = commands.add_parser("make-repo", help="make a repository for tests and demonstrations")
    make.set_defaults(run=_make_repo)
    make.add_argument("repo", metavar="FOLDER")
    make.add_argument("--db", metavar="URL", help="postgresql://…; left out: SQLite in the folder")
    make.add_argument("--schema", help="the database's schema")
    make.add_argument("--instrument", action="append", metavar="NAME", help="default LSSTCam; may be repeated")
    make.add_argument("--filter", action="append", default=[], metavar="NAME:BAND", help="a further physical filter")
    return parser


def _serve(options: argparse.Namespace) -> int:
    from .serve import claim_stdout, serve

    answers = claim_stdout()
    try:
        return serve(lambda: _open(options), {"butler": version("lsst-daf-butler")}, sys.stdin, answers)
    except BrokenPipeError:
        # Nobody reads any more: Orrery ended, and ends this process next.
        return 0


def _open(options: argparse.Namespace) -> Catalog:
    from lsst.daf.butler import Butler

    from .faults import text_of

    try:
        butler = Butler.from_config(options.repo, writeable=True)
    except Exception as error:
        raise CatalogAway("repo_unavailable", f"{options.repo}: {text_of(error)}") from error
    if options.backend == "tasks" or (options.backend == "auto" and _has_tasks()):
        from .tasks import TaskCatalog

        return TaskCatalog(butler, record_size=not options.no_size, workers=options.workers)
    from .formatters import Formatters
    from .plain import PlainCatalog
    from .translate import choose

    return PlainCatalog(
        butler,
        choose(options.translator, options.translator_module),
        Formatters(stubs=options.stub_formatters),
        record_size=not options.no_size,
    )


def _has_tasks() -> bool:
    try:
        return importlib.util.find_spec("lsst.obs.base") is not None
    except ImportError:
        return False


def _make_repo(options: argparse.Namespace) -> int:
    from .instruments import CAMERAS
    from .make_repo import make_repo

    instruments = options.instrument or ["LSSTCam"]
    unknown = [name for name in instruments if name not in CAMERAS]
    filters = dict(entry.partition(":")[::2] for entry in options.filter)
    if unknown or not all(filters.values()):
        what = f"instrument {unknown[0]}" if unknown else "--filter"
        print(f"{what}: instruments are {', '.join(CAMERAS)}; a filter is NAME:BAND", file=sys.stderr)
        return 2
    try:
        make_repo(options.repo, instruments, database=options.db, schema=options.schema, filters=filters).close()
    except FileExistsError as error:
        print(f"{options.repo}: {error}", file=sys.stderr)
        return 1
    print(f"{options.repo}: a repository of {', '.join(instruments)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
