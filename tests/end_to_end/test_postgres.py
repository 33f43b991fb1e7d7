"""A ledger on a PostgreSQL server, which several machines may share: a real server on loopback, real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import local_ray
import pytest
import sqlalchemy as sa
from commandline import configs, ended, load, runner, start, sweeps, wait_for
from loopback import Provider, Turn, scores
from postgres import HOW, Postgres, programs

from runner.ledger.answers import open_ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

ONE = ("model=mini", "sampling.trials=4", "tracking.enabled=false")
REQUESTS = 4 * 4 * 3
"""Of ONE: personas, repetitions, texts."""
SWEEP = ("-m", "model=mini,thinker", "sampling.temperature=0.5,1", "persona=poet", "tracking.enabled=false")
JOBS, TRIALS, DISTINCT = 4, 12, 9
"""The thinker's two temperatures are one request."""


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    found = programs()
    if found is None:
        if "CI" in os.environ:
            pytest.fail(HOW)
        pytest.skip(HOW)
    pytest.importorskip("psycopg", reason="the extra `postgresql` is not installed")
    with Postgres(found) as running:
        yield running


@pytest.fixture
def url(server: Postgres) -> str:
    """An empty database of the test's own."""
    return server.database()


def by_temperature(body: dict[str, Any], delay_s: float = 0.0) -> Turn:
    return Turn(content=scores(round(50 * body.get("temperature", 0.3))), delay_s=delay_s)


def execute(url: str, statement: str) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text(statement))
    engine.dispose()


def scalar(url: str, query: str) -> int:
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        found = int(connection.execute(sa.text(query)).scalar_one())
    engine.dispose()
    return found


def test_a_server_keeps_what_a_file_keeps(url: str) -> None:
    """Every test of the ledger that needs no file passes on the server."""
    room = Path(__file__).parents[1] / "ledger"
    tests = [str(room / name) for name in ("test_answers.py", "test_claims.py", "test_contents.py")]
    variables = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "server", *tests],
        env={**variables, "RUNNER_TEST_SERVER_URL": url},
        cwd=room.parent,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    passed = int(done.stdout.rpartition(" passed")[0].rpartition("\n")[2].rpartition(" ")[2] or 0)
    assert passed >= 20, done.stdout
    assert "failed" not in done.stdout
    assert "skipped" not in done.stdout


def test_two_processes_buy_each_request_once(tmp_path: Path, url: str) -> None:
    """Two runs of one experiment at once, in two folders, send each request once between them; both have all."""
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    with Provider(answer=partial(by_temperature, delay_s=0.05)) as provider:
        words = (configs(tmp_path, provider), *ONE, f"ledger.url={url}")
        said = [ended(process).stdout for process in [start(folder, *words) for folder in folders]]
        assert provider.count == REQUESTS
    assert all(f"{REQUESTS} of {REQUESTS} scored" in one for one in said)
    with open_ledger(url) as ledger:
        assert ledger.claims.owners() == set()


def test_a_killed_process_is_taken_over_at_once_on_its_machine(tmp_path: Path, url: str) -> None:
    """What a killed process had claimed is bought by the one that waits for it; only what was in flight again."""
    with Provider(answer=partial(by_temperature, delay_s=0.2)) as provider:
        words = (configs(tmp_path, provider), *ONE, f"ledger.url={url}")
        first = start(tmp_path, *words)
        wait_for(lambda: provider.count >= 5)
        second = start(tmp_path, *words)
        first.kill()
        first.communicate()
        said = ended(second).stdout
        assert REQUESTS <= provider.count <= REQUESTS + 4  # in flight at the kill
    assert f"{REQUESTS} of {REQUESTS} scored" in said


def test_a_vanished_machine_is_taken_over_when_its_claims_end(tmp_path: Path, url: str) -> None:
    """Claims of a machine that fell silent are left alone until their lease ends; then the rest is bought, once."""
    with Provider(answer=partial(by_temperature, delay_s=0.3)) as provider:
        words = (configs(tmp_path, provider), *ONE, f"ledger.url={url}")
        first = start(tmp_path, *words)
        wait_for(lambda: provider.count >= 5)
        first.kill()
        first.communicate()
        execute(url, "update ledger_claim set owner = 'elsewhere|1|then', until = extract(epoch from now()) + 15")
        sent, ends = provider.count, time.monotonic() + 14.9
        second = start(tmp_path, *words)
        wait_for(lambda: provider.count > sent or second.poll() is not None)
        assert time.monotonic() > ends
        said = ended(second).stdout
        assert REQUESTS <= provider.count <= REQUESTS + 4
    assert f"{REQUESTS} of {REQUESTS} scored" in said


def test_a_server_that_goes_away_costs_no_answer(tmp_path: Path, server: Postgres, url: str) -> None:
    """A run whose server goes away keeps what is in hand, and says what to type; nothing is bought twice afterwards."""
    with Provider(answer=partial(by_temperature, delay_s=0.1)) as provider:
        words = (configs(tmp_path, provider), *ONE, f"ledger.url={url}")
        process = start(tmp_path, *words)
        wait_for(lambda: provider.count >= 9)
        with server.down():
            _, complaint = process.communicate(timeout=60)
        (rescued,) = tmp_path.glob("outputs/ledger.rescued-*.db")
        kept = [scalar(place, "select count(*) from ledger_answer") for place in (url, f"sqlite:///{rescued}")]
        assert sum(kept) == provider.count
        assert kept[1] <= 4  # in flight
        merge = ("ledger", "merge", str(rescued.relative_to(tmp_path)), "--ledger", url)
        runner(tmp_path, *merge)
        said = runner(tmp_path, *words).stdout
        assert provider.count == REQUESTS
    assert process.returncode == 1, complaint
    assert "error: postgresql+psycopg://runner@127.0.0.1" in complaint
    assert f"try:   runner {' '.join(merge)}" in complaint
    assert "Traceback" not in complaint
    assert f"{REQUESTS} of {REQUESTS} scored" in said


def test_ray_workers_share_the_ledger_of_a_server(tmp_path: Path, url: str) -> None:
    """A sweep by Ray whose workers are clients of the server sends each request once; the server has every answer."""
    pytest.importorskip("hydra_plugins.hydra_ray_launcher", reason="the extra `ray` is not installed")
    with Provider(answer=by_temperature) as provider, local_ray.environment() as variables:
        mine = configs(tmp_path, provider)
        process = start(tmp_path, mine, *SWEEP, *local_ray.WORDS, f"ledger.url={url}", environment=variables)
        try:
            said = ended(process).stdout
        finally:
            local_ray.end_session(process.pid)
        assert provider.count == DISTINCT
        again = runner(tmp_path, mine, *SWEEP, f"ledger.url={url}").stdout
        assert provider.count == DISTINCT
    assert f"{TRIALS} of {TRIALS} scored" in said
    assert "0 requests sent" in again
    assert scalar(url, "select count(*) from ledger_answer") == DISTINCT
    by_ray, pooled = (load(sweep / "sweep.json") for sweep in sweeps(tmp_path))
    assert [line["status"] for line in by_ray["jobs"]] == ["FINISHED"] * JOBS
    assert [line["scored"] for line in by_ray["jobs"]] == [line["scored"] for line in pooled["jobs"]]
    assert not (tmp_path / "outputs" / "ledger.db").exists()
