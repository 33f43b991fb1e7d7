"""The ledger: what is put is kept, once, whole, in order, and across crashes and processes.

RUNNER_TEST_SERVER_URL, where set, names a PostgreSQL database in which the tests that do not need a file run as well.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from runner.errors import LedgerError
from runner.ledger.answers import open_ledger
from runner.ledger.schema import SCHEMA_VERSION, TABLES
from runner.records import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

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


@contextmanager
def locked(path: Path) -> Iterator[Callable[[], object]]:
    """Another program's write in a ledger's file; what is given ends it."""
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as database:
        database.execute("begin immediate")
        yield lambda: database.execute("rollback")


def run(script: str, *arguments: str) -> list[str]:
    """The lines that a Python process of its own prints."""
    command = [sys.executable, "-W", "ignore", "-c", script, *arguments]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


# ---- keeping and reading ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [b"", b"\x00\xff\xfe\r\n", "朝の灯台 🗼".encode(), bytes(range(256)) * 4096],
    ids=["empty", "not-text", "unicode", "1-MB"],
)
def test_an_answer_comes_back_as_it_was_put(url: str, raw: bytes) -> None:
    """Every field, and the raw reply byte for byte, survives closing and opening."""
    put = replace(answer("a", raw), route="batch", latency_s=0.1 + 0.2)
    with open_ledger(url) as ledger:
        ledger.put(put)
    with open_ledger(url) as ledger:
        assert ledger.get("a") == put


def test_the_first_answer_of_a_key_stays(url: str) -> None:
    """A second put of a key changes nothing, in the same group, a later one, or another opening."""
    with open_ledger(url) as ledger:
        ledger.put(answer("a", b"first"))
        ledger.put(answer("a", b"second"))
        ledger.flush()
        ledger.put(answer("a", b"third"))
        ledger.flush()
    with open_ledger(url) as ledger:
        ledger.put(answer("a", b"fourth"))
        assert ledger.get("a") == answer("a", b"first")


def test_answers_follow_the_keys_given(url: str) -> None:
    """Answers stream in the order of the keys over many reads, repeated keys repeat, and unknown keys are left out."""
    keys = [f"{n * 7919 % 1000:04}" for n in range(1000)]
    with open_ledger(url) as ledger:
        for key in sorted(keys):
            ledger.put(answer(key, key.encode()))
        wanted = ["0005", *keys, "missing", "0005"]
        assert [a.raw.decode() for a in ledger.answers(wanted)] == ["0005", *keys, "0005"]


def test_the_consumer_of_answers_may_write(url: str) -> None:
    """No transaction is held between reads: each answer may lead to a put before the next is asked for."""
    with open_ledger(url) as ledger:
        for n in range(300):
            ledger.put(answer(f"{n:03}"))
        for read in ledger.answers([f"{n:03}" for n in range(300)]):
            ledger.put(answer(f"{read.key}-again"))
        assert len(ledger.lookup(f"{n:03}-again" for n in range(300))) == 300


def test_lookup_takes_more_keys_than_a_statement(url: str) -> None:
    """Of tens of thousands of keys, exactly those with an answer are returned."""
    with open_ledger(url) as ledger:
        for n in range(0, 12_000, 3):
            ledger.put(answer(f"{n:05}"))
        assert ledger.lookup(f"{n:05}" for n in range(24_000)) == {f"{n:05}" for n in range(0, 12_000, 3)}


def test_a_put_becomes_durable_by_itself(url: str) -> None:
    """Without a flush, the future completes soon, and another reader of the ledger then has the answer."""
    with open_ledger(url) as ledger, open_ledger(url) as other:
        ledger.put(answer("a")).result(timeout=10)
        assert other.get("a") == answer("a")


def test_puts_are_committed_in_groups(url: str) -> None:
    """What comes while a commit lasts shares the next one, so that a burst is not one commit an answer."""
    with open_ledger(url) as ledger:
        futures = {ledger.put(answer(f"{n:05}")) for n in range(4_000)}
        ledger.flush()
        assert all(future.done() for future in futures)
        assert len(futures) <= 400


def test_an_answer_waits_for_no_company(url: str) -> None:
    """One that comes alone is durable as soon as its commit is."""
    with open_ledger(url) as ledger:
        taken_s = []
        for n in range(20):
            started = time.perf_counter()
            ledger.put(answer(f"{n}")).result()
            taken_s.append(time.perf_counter() - started)
    assert min(taken_s) < 0.02


def test_one_cancelled_wait_leaves_the_others(tmp_path: Path) -> None:
    """A task that is cancelled while it waits for its answer takes nothing from a task in the same group."""

    async def wait() -> None:
        with open_ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger, locked(tmp_path / "ledger.db") as unlock:
            first = ledger.put(answer("first"))
            while (future := ledger.put(answer("a"))) is first:  # the writer has not taken up the first yet
                pass
            assert ledger.put(answer("b")) is future
            unlock()
            one, two = asyncio.wrap_future(future), asyncio.wrap_future(future)
            one.cancel()
            with suppress(asyncio.CancelledError):
                await one
            await two
            assert ledger.lookup(["a", "b"]) == {"a", "b"}

    asyncio.run(wait())


def test_threads_share_a_ledger(url: str) -> None:
    """Threads that put, flush and read at once each find all that they put."""

    def work(thread: int) -> set[str]:
        for n in range(200):
            ledger.put(answer(f"{thread}-{n}"))
            if n % 50 == 0:
                ledger.flush()
        return ledger.lookup(f"{thread}-{n}" for n in range(200))

    with open_ledger(url) as ledger, ThreadPoolExecutor(8) as pool:
        assert [len(found) for found in pool.map(work, range(8))] == [200] * 8


def test_a_closed_ledger_takes_nothing(url: str) -> None:
    """After close, which may be called again, put says that the ledger is closed."""
    ledger = open_ledger(url)
    ledger.close()
    ledger.close()
    with pytest.raises(LedgerError, match="closed"):
        ledger.put(answer("a"))


@pytest.mark.parametrize("count", [1, 2, 3, 100, 999, 1000, 1001, 2077])
def test_a_group_of_any_size(url: str, count: int) -> None:
    """However many answers are stored together, each is there once, and its claim is gone; a second put is nothing."""
    answers = [answer(f"{n:04}", str(n).encode()) for n in range(count)]
    keys = [one.key for one in answers]
    with open_ledger(url) as ledger:
        assert ledger.claims.claim(keys) == set(keys)
        for _ in range(2):
            for one in answers:
                ledger.put(one)
            ledger.flush()
        assert list(ledger.answers(keys)) == answers
        assert ledger.claims.owners() == set()


# ---- crashes ---------------------------------------------------------------------------------------------------------

CRASHES = """
import os, random, signal, sys, time
from runner.ledger.answers import open_ledger
from runner.records import Answer

url, log = sys.argv[1], os.open(sys.argv[2], os.O_APPEND | os.O_CREAT | os.O_WRONLY)

def write(turn):
    ledger = open_ledger(url)
    n = 0
    while True:
        key = f"{turn}-{n}"
        answer = Answer(key, key.encode() * 400, "live", "m", "e", 1, 0.1, "t")
        ledger.put(answer).add_done_callback(lambda _, line=f"{key}\\n".encode(): os.write(log, line))
        n += 1
        if n % 20 == 0:
            time.sleep(0.0005)

for turn in range(8):
    size = os.fstat(log).st_size
    if not (child := os.fork()):
        write(turn)
    while os.fstat(log).st_size == size:
        time.sleep(0.001)
    time.sleep(random.uniform(0, 0.1))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""


def test_a_killed_writer_loses_nothing_that_was_durable(tmp_path: Path) -> None:
    """After kill -9 at random moments the ledger opens, and has every answer whose future had completed, whole."""
    url, log = f"sqlite:///{tmp_path}/ledger.db", tmp_path / "durable.txt"
    run(CRASHES, url, str(log))
    durable = log.read_text().splitlines()
    assert {key.split("-")[0] for key in durable} == {str(turn) for turn in range(8)}
    with open_ledger(url) as ledger:
        assert [(a.key, a.raw) for a in ledger.answers(durable)] == [(key, key.encode() * 400) for key in durable]
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as database:
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)


LEAVES = """
import sys
from runner.ledger.answers import open_ledger
from runner.records import Answer

ledger = open_ledger(sys.argv[1])
ledger.put(Answer("a", b"{}", "live", "m", "e", 1, 0.1, "t"))
sys.exit("an error elsewhere") if sys.argv[2] == "error" else None
"""


@pytest.mark.parametrize("how", ["end", "error"])
def test_a_process_that_ends_stores_what_it_put(url: str, how: str) -> None:
    """An answer put just before the program ends, well or badly, is stored although nobody called close."""
    subprocess.run([sys.executable, "-c", LEAVES, url, how], check=how == "end", capture_output=True, timeout=60)
    with open_ledger(url) as ledger:
        assert ledger.lookup(["a"]) == {"a"}


FORKS = """
import os, sys
from runner.errors import LedgerError
from runner.ledger.answers import open_ledger
from runner.records import Answer

ledger = open_ledger(sys.argv[1])
if not os.fork():
    for use in (ledger.flush, lambda: ledger.lookup("a"), lambda: ledger.put(None)):
        try:
            use()
        except LedgerError as error:
            os.write(1, f"{error}\\n".encode())
    os._exit(0)
os.wait()
ledger.put(Answer("a", b"{}", "live", "m", "e", 1, 0.1, "t"))
ledger.close()
"""


def test_a_fork_is_told_to_open_its_own(url: str) -> None:
    """In a forked child every use is refused, and the parent's ledger goes on working."""
    assert ["open it again" in line for line in run(FORKS, url)] == [True] * 3
    with open_ledger(url) as ledger:
        assert ledger.lookup(["a"]) == {"a"}


# ---- what goes wrong -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A place that cannot hold a ledger: how it came to be, its URL below the folder, what the message says."""

    name: str
    url: str
    says: str
    make: Callable[[Path], object] = lambda _: None


def newer(folder: Path) -> None:
    open_ledger(f"sqlite:///{folder}/ledger.db").close()
    with closing(sqlite3.connect(folder / "ledger.db")) as database, database:
        database.execute("update ledger_version set version = ?", (SCHEMA_VERSION + 1,))


def damaged(folder: Path) -> None:
    path = folder / "ledger.db"
    open_ledger(f"sqlite:///{path}").close()
    path.write_bytes(path.read_bytes()[:100] + b"\xff" * (path.stat().st_size - 100))


CASES = [
    Case("newer", "sqlite:///{}/ledger.db", r"ledger\.db was written by another version", newer),
    Case("not a database", "sqlite:///{}/ledger.db", r"ledger\.db is not a ledger", lambda d: text(d / "ledger.db")),
    Case("damaged", "sqlite:///{}/ledger.db", r"ledger\.db is damaged", damaged),
    Case("a folder", "sqlite:///{}", "cannot be opened"),
    Case("below a file", "sqlite:///{}/file/ledger.db", r"file/ledger\.db", lambda d: text(d / "file")),
    Case("in memory", "sqlite://", "in memory"),
    Case("in memory by name", "sqlite:///:memory:", "in memory"),
    Case("another database", "mysql://host/database", "postgresql://HOST/DATABASE"),
    Case("no driver", "postgresql+psycopg2cffi://host/database", "driver"),
    Case("not a URL", "outputs/ledger.db", r"ledger\.url"),
]


def text(path: Path) -> None:
    path.write_text("shopping: bread, milk\n" * 200)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_place_that_cannot_hold_a_ledger(case: Case, tmp_path: Path) -> None:
    """Opening fails with a message that names the place and what is wrong with it, and with something to type."""
    case.make(tmp_path)
    with pytest.raises(LedgerError, match=case.says) as caught:
        open_ledger(case.url.format(tmp_path))
    assert caught.value.advice


@pytest.mark.parametrize("url", ["mysql://me:secret@host/db", "postgresql+psycopg2cffi://me:secret@h/d", "me:secret@h"])
def test_a_password_is_not_shown(url: str) -> None:
    """No message about a URL repeats its password."""
    with pytest.raises(LedgerError) as caught:
        open_ledger(url)
    assert "secret" not in f"{caught.value}{caught.value.advice}"


def test_a_locked_ledger_cannot_be_made(tmp_path: Path) -> None:
    """Where another process holds the whole file, opening says so after the time given for waiting."""
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as database:
        database.execute("begin exclusive")
        with pytest.raises(LedgerError, match="locked by another process") as caught:
            open_ledger(f"sqlite:///{tmp_path}/ledger.db", busy_s=0.05)
    assert caught.value.advice


def test_a_ledger_being_made_is_waited_for(tmp_path: Path) -> None:
    """Opening waits for another process that is making the ledger, also where SQLite itself refuses at once."""
    with (
        closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as database,
        ThreadPoolExecutor(1) as pool,
    ):
        database.execute("create table other (row)")
        database.execute("begin immediate")
        opened = pool.submit(open_ledger, f"sqlite:///{tmp_path}/ledger.db")
        time.sleep(0.1)
        assert not opened.done()
        database.execute("rollback")
        opened.result(timeout=10).close()


def test_a_failed_commit_is_told_to_everyone(tmp_path: Path) -> None:
    """Answers that can be kept nowhere fail, so does the group behind them, and each later call; reads still work."""
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db", busy_s=0.1)
    ledger.put(answer("before"))
    ledger.flush()
    with locked(tmp_path / "ledger.db"):
        one = ledger.put(replace(answer("a"), model_id="\ud800"))
        while (two := ledger.put(answer("b"))) is one:
            time.sleep(0.01)
        for future in (one, two):
            with pytest.raises(LedgerError, match="locked"):
                future.result(timeout=10)
    for use in (lambda: ledger.put(answer("c")), ledger.flush, ledger.flush):
        with pytest.raises(LedgerError, match="locked"):
            use()
    assert ledger.lookup(["before", "a", "b", "c"]) == {"before"}
    with pytest.raises(LedgerError, match="locked"):
        ledger.close()
    assert {path.name.partition("-")[0] for path in tmp_path.iterdir()} == {"ledger.db"}


def test_a_lock_that_does_not_end_costs_nothing_either(tmp_path: Path) -> None:
    """What a ledger does not take in time is kept beside it, with what comes later; the command given merges both."""
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db", busy_s=0.1)
    with locked(tmp_path / "ledger.db"):
        for key in ("a", "b"):
            with pytest.raises(LedgerError, match=r"locked by another process.*what arrived since is in") as caught:
                ledger.put(answer(key)).result(timeout=10)
    with pytest.raises(LedgerError, match="locked"):
        ledger.close()
    assert caught.value.is_kept
    (beside,) = tmp_path.glob("ledger.rescued-*.db")
    assert caught.value.advice == f"runner ledger merge {beside} --ledger sqlite:///{tmp_path}/ledger.db"
    with open_ledger(f"sqlite:///{beside}") as kept:
        assert kept.lookup("ab") == {"a", "b"}
    with open_ledger(f"sqlite:///{tmp_path}/ledger.db") as later:
        (said,) = later.rescued({"a", "b", "z"})
        assert said == f"{beside} holds 2 of the answers that are about to be bought: {caught.value.advice}"
        assert later.rescued({"z"}) == []


def test_a_file_that_is_shorter_than_its_head_says_is_whole_with_its_log(tmp_path: Path) -> None:
    """A checkpoint that a full disk cut off leaves every answer in SQLite's log: nothing is called damaged."""
    keys = [f"{number}" for number in range(100)]
    with open_ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        for key in keys:
            ledger.put(answer(key)).result(timeout=10)
        shutil.copy(tmp_path / "ledger.db-wal", tmp_path / "cut.db-wal")
    head = (tmp_path / "ledger.db").read_bytes()[:16_384]
    (tmp_path / "cut.db").write_bytes(head)
    with open_ledger(f"sqlite:///{tmp_path}/cut.db") as ledger:
        ledger.check_whole()
        assert ledger.lookup(keys) == set(keys)


def test_a_lock_that_ends_in_time_costs_nothing(tmp_path: Path) -> None:
    """Answers in hand are held while another program writes, for longer than SQLite itself waits, and then stored."""
    with (
        open_ledger(f"sqlite:///{tmp_path}/ledger.db", busy_s=0.5) as ledger,
        locked(tmp_path / "ledger.db") as unlock,
    ):
        put = [ledger.put(answer("a")), ledger.put(answer("b"))]
        while "locked by another process" not in str(ledger.held_up):
            time.sleep(0.01)
        assert not any(one.done() for one in put)
        unlock()
        for one in put:
            one.result(timeout=10)
        assert ledger.held_up is None
        assert ledger.lookup(["a", "b"]) == {"a", "b"}


def test_leaving_by_an_error_keeps_that_error(tmp_path: Path) -> None:
    """A `with` block that an exception ends shows that exception, not what close found."""

    def fail() -> None:
        with open_ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger:
            ledger.put(replace(answer("a"), model_id="\ud800"))
            raise KeyError

    with pytest.raises(KeyError):
        fail()


def test_an_answer_that_cannot_be_stored_is_an_error(tmp_path: Path) -> None:
    """Whatever goes wrong in the writer, be it a fault of this program, reaches who waits: nothing hangs."""
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    ledger.put(replace(answer("a"), model_id="\ud800"))
    with pytest.raises(LedgerError):
        ledger.flush()
    with pytest.raises(LedgerError):
        ledger.close()


NO_ROOM = """
import resource, sys
from runner.errors import LedgerError
from runner.ledger.answers import open_ledger
from runner.records import Answer

ledger = open_ledger(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
for n in range(10_000):
    try:
        ledger.put(Answer(f"{n}", b"x" * 2000, "live", "m", "e", 1, 0.1, "t")).result()
    except LedgerError:
        break
    print(n, flush=True)
else:
    sys.exit("the limit was never met")
try:
    ledger.close()
except LedgerError:
    sys.exit()
sys.exit("close said nothing")
"""


def test_no_room_costs_only_what_was_not_durable(tmp_path: Path) -> None:
    """When no more can be written the writer says so, and all that was durable before can be read."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    durable = run(NO_ROOM, url)
    assert len(durable) > 10
    with open_ledger(url) as ledger:
        assert ledger.lookup(durable) == set(durable)


READ_ONLY = """
import os, sys
from runner.errors import LedgerError
from runner.ledger.answers import open_ledger
from runner.records import Answer

folder = sys.argv[1]
open_ledger(f"sqlite:///{folder}/warm/ledger.db").close()
if os.geteuid() == 0:
    os.seteuid(65534)
for name in ("ledger.db", "new/ledger.db"):
    try:
        with open_ledger(f"sqlite:///{folder}/shut/{name}") as ledger:
            ledger.put(Answer("a", b"{}", "live", "m", "e", 1, 0.1, "t"))
    except LedgerError as error:
        print(bool(error.advice), error)
"""


def test_a_read_only_folder(tmp_path: Path) -> None:
    """In a folder without write permission an existing ledger and a new one fail with a message and advice."""
    open_ledger(f"sqlite:///{tmp_path}/shut/ledger.db").close()
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):
        folder.chmod(0o755)
    (tmp_path / "shut").chmod(0o555)
    existing, new = run(READ_ONLY, str(tmp_path))
    assert existing.startswith("True sqlite:///")
    assert "shut/ledger.db cannot be" in existing
    assert new.startswith("True sqlite:///")
    assert "shut/new/ledger.db" in new
