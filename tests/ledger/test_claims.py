"""Who is at work on what: each key and each batch is one process's at a time, and nobody's for long after its end.

RUNNER_TEST_SERVER_URL, where set, names a PostgreSQL database in which these tests run as well.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest
import sqlalchemy as sa
from batching import model_of

from runner.errors import LedgerError
from runner.ledger.answers import open_ledger
from runner.ledger.batch_records import BatchRecord
from runner.ledger.claims import renewing
from runner.ledger.schema import TABLES
from runner.records import Answer

if TYPE_CHECKING:
    from pathlib import Path

    from runner.ledger.answers import Ledger
    from runner.ledger.claims import Claims

SERVER = os.environ.get("RUNNER_TEST_SERVER_URL")


@pytest.fixture(params=["sqlite", "server"] if SERVER else ["sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite" or SERVER is None:
        return f"sqlite:///{tmp_path}/outputs/ledger.db"
    engine = sa.create_engine(SERVER)
    TABLES.drop_all(engine)
    engine.dispose()
    return SERVER


def answer(key: str, raw: bytes = b'{"choices": []}') -> Answer:
    return Answer(key, raw, "live", "gpt-4o", "openai", attempts=2, latency_s=0.1, time="2026-01-02T03:04:05.678+00:00")


def of(ledger: Ledger, owner: str, lease_s: float = 60.0) -> Claims:
    """The claims of another owner than the ledger's own."""
    return replace(ledger.claims, owner=owner, lease_s=lease_s)


def run(script: str, *arguments: str) -> list[str]:
    """The lines that a Python process of its own prints."""
    command = [sys.executable, "-W", "ignore", "-c", script, *arguments]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


def test_a_claim_keeps_others_away(url: str) -> None:
    """A claimed key goes to nobody else, its owner may claim it again, and release gives up what it names."""
    with open_ledger(url) as ledger:
        assert of(ledger, "one").claim(["a", "b", "c"]) == {"a", "b", "c"}
        assert of(ledger, "two").claim(["b", "c", "d"]) == {"d"}
        assert of(ledger, "one").claim(["a", "d"]) == {"a"}
        of(ledger, "one").release(["b", "d"])
        assert of(ledger, "two").claim(["a", "b", "c", "d"]) == {"b", "d"}
        of(ledger, "one").release()
        assert of(ledger, "two").claim(["a", "b", "c", "d"]) == {"a", "b", "c", "d"}


def test_an_answer_ends_its_claim(url: str) -> None:
    """An answered key is granted to nobody, not even its owner, and leaves no claim behind."""
    with open_ledger(url) as ledger:
        of(ledger, "one").claim(["a", "b"])
        ledger.put(answer("a"))
        assert of(ledger, "one").claim(["a", "b"]) == {"b"}
        assert of(ledger, "two").claim(["a"]) == set()
    assert claimed(url) == {"b"}


def test_a_lease_runs_out(url: str) -> None:
    """A claim past its lease is taken over, and one that was renewed in time is not."""
    with open_ledger(url) as ledger:
        of(ledger, "dead", 0.05).claim(["a"])
        of(ledger, "alive", 0.05).claim(["b"])
        of(ledger, "alive").renew()
        time.sleep(0.06)
        assert of(ledger, "two").claim(["a", "b"]) == {"a"}
        assert of(ledger, "dead").claim(["a"]) == set()


def claimed(url: str) -> set[str]:
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        keys = set(connection.scalars(sa.text("select key from ledger_claim")))
    engine.dispose()
    return keys


CLAIMERS = """
import os, random, sys
from runner.ledger.answers import open_ledger

url, keys = sys.argv[1], [f"{n:04}" for n in range(1000)]
go, start = os.pipe()
children = []
for worker in range(8):
    if not os.fork():
        os.read(go, 1)
        with open_ledger(url) as ledger:
            while keys:
                part = random.Random(worker).sample(keys, min(150, len(keys)))
                granted = ledger.claims.claim(part)
                os.write(1, "".join(f"{key}\\n" for key in sorted(granted)).encode())
                keys = sorted(set(keys).difference(part))
        os._exit(0)
os.write(start, b"12345678")
for _ in range(8):
    assert os.wait()[1] == 0
"""


def test_processes_never_share_a_key(url: str) -> None:
    """Eight processes that make one ledger together and claim the same 1,000 keys get each key exactly once."""
    assert sorted(run(CLAIMERS, url)) == [f"{n:04}" for n in range(1000)]


def test_one_lease_holds_keys_and_batches(url: str) -> None:
    """A renewal lets both last, a release gives both up, and a lease that is over leaves neither to its owner."""
    entry = BatchRecord("b0", "run", "openai", model_of("openai"), "http://127.0.0.1:1", "a", 1, 60, 1000.0)
    with open_ledger(url) as ledger:
        ledger.batches.draft(entry, [("k0", 1)])
        ledger.claims.release()
        one, two = of(ledger, "one", 0.2), of(ledger, "two")
        assert (one.claim(["a"]), one.take("b0")) == ({"a"}, True)
        assert (two.claim(["a"]), two.take("b0")) == (set(), False)
        of(ledger, "one").renew()
        time.sleep(0.21)
        assert (two.claim(["a"]), two.take("b0")) == (set(), False)
        one.release()
        assert (two.claim(["a"]), two.take("b0")) == ({"a"}, True)
        of(ledger, "two", -1.0).renew()
        assert (one.claim(["a"]), one.take("b0")) == ({"a"}, True)


def test_claims_outlive_a_ledger_that_is_away_for_a_while() -> None:
    """A renewal that fails is tried again, so that nobody else buys what is still being bought."""
    renewed = threading.Event()

    class Restarting:
        lease_s = 0.03
        failures = 2

        def renew(self) -> None:
            """Refused twice."""
            if self.failures:
                self.failures -= 1
                raise LedgerError("cannot be reached")
            renewed.set()

    with renewing(cast("Claims", Restarting())):
        assert renewed.wait(30)
