"""Real repositories for tests: SQLite, and PostgreSQL with a server of their own."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Oldest PostgreSQL first; the newest is taken.
_INSTALLED = "/usr/lib/postgresql"


def find_postgresql() -> Path | None:
    """The folder of initdb, postgres and createdb."""
    candidates: list[Path] = []
    config = shutil.which("pg_config")
    if config is not None:
        said = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False)
        candidates.append(Path(said.stdout.strip() or "/nowhere"))
    versions = Path(_INSTALLED).glob("*/bin") if Path(_INSTALLED).is_dir() else []
    candidates += sorted(versions, key=lambda path: float(path.parent.name), reverse=True)
    return next((folder for folder in candidates if (folder / "initdb").exists()), None)


def _somebody() -> int | None:
    """A user that PostgreSQL's programs agree to run as; None: whoever runs this."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    return None


@contextmanager
def postgresql(folder_of_programs: Path) -> Iterator[str]:
    """A server on a free port of 127.0.0.1, gone at the end. Yields its URL, without a database."""
    user = _somebody()
    # Not below pytest's folder, which nobody else may enter.
    folder = Path(tempfile.mkdtemp(prefix="orrery-postgresql-"))
    if user is not None:
        os.chown(folder, user, -1)
    data = folder / "data"
    password = secrets.token_hex(8)
    secret = folder / "password"
    secret.write_text(password)
    if user is not None:
        os.chown(secret, user, -1)
    log = (folder / "log").open("wb")

    def run(*command: str) -> None:
        done = subprocess.run(command, user=user, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")

    server: subprocess.Popen[bytes] | None = None
    try:
        run(
            str(folder_of_programs / "initdb"),
            *("--pgdata", str(data), "--username", "orrery", "--auth", "scram-sha-256"),
            *("--pwfile", str(secret), "--encoding", "UTF8", "--locale", "C", "--no-sync"),
        )
        port = _free_port()
        server = subprocess.Popen(
            [
                str(folder_of_programs / "postgres"),
                *("-D", str(data), "-p", str(port), "-k", "", "-h", "127.0.0.1", "-F"),
            ],
            user=user,
            cwd=folder,
            stdout=log,
            stderr=log,
        )
        yield _started(f"orrery:{password}@127.0.0.1:{port}", server, folder / "log")
    finally:
        if server is not None:
            # Immediate shutdown: what it would still write is removed with it.
            server.send_signal(signal.SIGQUIT)
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def create_database(server: str, name: str, template: str = "template1") -> str:
    """Make a database like another, to which nobody may be connected. Returns its URL."""
    import psycopg

    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())
    return f"{server}/{name}"


def _started(where: str, server: subprocess.Popen[bytes], log: Path) -> str:
    import psycopg

    end = time.monotonic() + 30
    while True:
        try:
            # What every database of this server is made from.
            with psycopg.connect(f"postgresql://{where}/template1", autocommit=True) as connection:
                connection.execute("CREATE EXTENSION btree_gist")
            return f"postgresql://{where}"
        except psycopg.OperationalError as error:
            if server.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"PostgreSQL does not start: {error}\n{log.read_text()[-2_000:]}") from error
            time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
