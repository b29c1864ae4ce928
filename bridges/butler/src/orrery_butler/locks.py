"""Bounds every wait for a database lock by the request's deadline.

Butler's SQLite waits 300 s for a lock and its PostgreSQL for ever.
Orrery would end the bridge long before, and learn nothing.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy
import sqlalchemy.event
import sqlalchemy.pool

_INFO = "orrery_lock_wait_ms"


class LockWait:
    """The bound for all connections of this process. Set it before a batch; it holds from the next checkout on."""

    def __init__(self) -> None:
        self.wait_ms: int | None = None
        sqlalchemy.event.listen(sqlalchemy.pool.Pool, "checkout", self._checkout)

    def close(self) -> None:
        sqlalchemy.event.remove(sqlalchemy.pool.Pool, "checkout", self._checkout)

    def _checkout(self, connection: Any, record: Any, _proxy: Any) -> None:
        wait_ms = self.wait_ms
        # A lane's deadline does not change: one statement a connection.
        if wait_ms is None or record.info.get(_INFO) == wait_ms:
            return
        module = type(connection).__module__
        cursor = connection.cursor()
        try:
            if module.startswith("sqlite3"):
                cursor.execute(f"PRAGMA busy_timeout = {wait_ms}")
            elif module.startswith("psycopg"):
                cursor.execute(f"SET lock_timeout = {wait_ms}")
                connection.commit()
            record.info[_INFO] = wait_ms
        finally:
            cursor.close()
