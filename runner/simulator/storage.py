"""Files and batches in an SQLite file, so that a restarted server still has them. Live purchases are not kept."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import fields
from typing import TYPE_CHECKING

from runner.simulator.batch_jobs import BatchJob, BatchLine
from runner.simulator.values import StoredFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DERIVED = frozenset({"items", "lines", "tally", "settled"})
"""What a batch's kept facts leave out: its items, kept beside them, and results, which are made again."""


class Memory:
    """Keeps each change when it is made. Without a path it keeps nothing."""

    def __init__(self, path: Path | None) -> None:
        self._database: sqlite3.Connection | None = None
        if path is None:
            return
        # Handlers all run on the server's thread, which is not the one that makes this object.
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute("CREATE TABLE IF NOT EXISTS file (id TEXT PRIMARY KEY, facts TEXT, data BLOB)")
        self._database.execute("CREATE TABLE IF NOT EXISTS job (id TEXT PRIMARY KEY, facts TEXT, items BLOB)")

    def close(self) -> None:
        """Close the file."""
        if self._database is not None:
            self._database.close()

    def files(self) -> Iterator[StoredFile]:
        """Every file that was kept."""
        if self._database is not None:
            for facts, data in self._database.execute("SELECT facts, data FROM file ORDER BY rowid"):
                yield StoredFile(**json.loads(facts), data=data)

    def jobs(self) -> Iterator[BatchJob]:
        """Every batch that was kept, in the order of their creation."""
        if self._database is not None:
            for facts, items in self._database.execute("SELECT facts, items FROM job ORDER BY rowid"):
                stated = json.loads(facts)
                stated["removed"] = set(stated["removed"])
                listed = [BatchLine(entry[0], entry[1].encode(), entry[2], entry[3]) for entry in json.loads(items)]
                yield BatchJob(**stated, items=listed)

    def keep_file(self, file: StoredFile) -> None:
        """Keep a new file."""
        if self._database is not None:
            facts = {field.name: getattr(file, field.name) for field in fields(file) if field.name != "data"}
            row = (file.id, json.dumps(facts), file.data)
            self._database.execute("INSERT OR REPLACE INTO file VALUES (?, ?, ?)", row)

    def drop_file(self, file_id: str) -> None:
        """Forget a file."""
        if self._database is not None:
            self._database.execute("DELETE FROM file WHERE id = ?", (file_id,))

    def keep_job(self, job: BatchJob) -> None:
        """Keep a batch with its items."""
        if self._database is not None:
            items = json.dumps([[item.id, item.body.decode(), item.nth, item.note] for item in job.items])
            self._database.execute("INSERT OR REPLACE INTO job VALUES (?, ?, ?)", (job.id, _facts(job), items))

    def update_job(self, job: BatchJob) -> None:
        """Keep what has changed about a batch other than its items."""
        if self._database is not None:
            self._database.execute("UPDATE job SET facts = ? WHERE id = ?", (_facts(job), job.id))


def _facts(job: BatchJob) -> str:
    facts = {field.name: getattr(job, field.name) for field in fields(job) if field.name not in _DERIVED}
    return json.dumps({**facts, "removed": sorted(job.removed)})
