"""A ledger that an earlier version of the program made is read as it stands: answers, claims and batches.

golden/schema-1.db.gz was made by the version that still kept batches under a version row of their own: the answers of
one experiment, a claim of another machine's, an open batch that holds a second experiment's requests, and an ended one.
"""

from __future__ import annotations

import gzip
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from runner import pipeline
from runner.ledger.answers import open_ledger
from runner.ledger.batch_records import BatchItem
from runner.plan.job import Job, TrialPlan
from runner.providers.batch.api import Sent, Standing
from runner.records import (
    Batch,
    Capability,
    Experiment,
    Limits,
    Model,
    Persona,
    Prices,
    PromptTemplate,
    Question,
    Sampling,
    Text,
    Tracking,
)
from runner.results.launch import Launch

GOLDEN = Path(__file__).parent / "golden" / "schema-1.db.gz"
NAMES = ("interesting", "surprise", "sadness", "anger")


def experiment(name: str, url: str, batch: str | None = None) -> Experiment:
    """As it was when the golden ledger was made."""
    model = Model(
        name=name,
        id=name,
        provider="openai",
        vendor="test",
        api_base="http://127.0.0.1:9/v1",
        capability=Capability(structure="schema", batch=batch),
        limits=Limits(concurrency=4, attempts=1),
        prices=Prices(input_usd_per_mtok=1.0, output_usd_per_mtok=10.0),
    )
    questions = tuple(Question(name, name, name) for name in NAMES)
    return Experiment(
        name="e",
        models=(model,),
        personas=(Persona("poet", {"*": "You are a poet."}),),
        texts=tuple(Text(f"t{number}", f"text {number}") for number in range(4)),
        prompt=PromptTemplate("p", "en", "{{ persona }}", "{{ text.content }}", questions),
        sampling=Sampling(),
        batch=Batch(),
        tracking=Tracking(),
        ledger_url=url,
    )


class Nobody:
    """Is told of nothing, since nothing is bought."""

    def planned(self, *_: object) -> None:
        """Not called: nothing is missing."""
        raise AssertionError

    sent = answered = failed = waiting = batch = notice = planned


@pytest.fixture
def url(tmp_path: Path) -> str:
    (tmp_path / "ledger.db").write_bytes(gzip.decompress(GOLDEN.read_bytes()))
    return f"sqlite:///{tmp_path}/ledger.db"


def keys_of(one: Experiment) -> list[str]:
    return [trial.key for trial in TrialPlan(one).trials()]


def test_the_same_experiment_finds_nothing_to_buy(url: str, tmp_path: Path) -> None:
    """Every answer of an earlier version's ledger is found under today's keys, and scored, and nothing is sent."""
    this = Launch("runner")
    (result,) = pipeline.launch(this, [Job(0, experiment("m", url), tmp_path / "job0")], Nobody())
    assert this.purchase.requests_sent == 0
    assert (result.counts.scored, result.counts.from_ledger) == (4, 4)
    with open_ledger(url) as ledger:
        answers = list(ledger.answers(keys_of(experiment("m", url))))
    assert [(one.attempts, one.route, one.latency_s, one.time[:10]) for one in answers] == [
        (attempt, "live", 0.25, "2026-11-20") for attempt in (1, 2, 3, 4)
    ]


def test_what_a_batch_of_an_earlier_version_holds_is_known(url: str) -> None:
    """Its open batch still holds each request, its ended one every ending, and both the settings of their runs."""
    keys = keys_of(experiment("b", url, "openai"))
    with open_ledger(url) as ledger:
        ended, still = ledger.batches.entries()
        assert ledger.batches.open_keys() == dict.fromkeys(keys, "b-open")
        assert ledger.batches.items("b-ended") == [
            BatchItem(0, "old-0", 1, "succeeded", buyer="run-1"),
            BatchItem(1, "old-1", 1, "failed", "quota", "no money"),
        ]
        assert ledger.batches.take("b-open")
    assert (ended.state, ended.sent, ended.standing) == (
        "closed",
        Sent("p1", ("f1",)),
        Standing("ended", "completed", 1, 2, ("r1",), ""),
    )
    assert (still.state, still.run, still.taken, still.count) == ("sent", "run-2", Sent("p2", ("f2",)), 4)
    assert still.settings == ended.settings == Batch(mode="native")
    assert still.model == experiment("b", url, "openai").models[0]


def test_a_claim_of_an_earlier_version_holds_until_its_lease_ends(url: str, tmp_path: Path) -> None:
    """What another machine was buying is not granted while its lease lasts, and is once that is over."""
    with open_ledger(url) as ledger, closing(sqlite3.connect(tmp_path / "ledger.db")) as database:
        assert ledger.claims.owners() == {"elsewhere|1|then|abcd"}
        with database:
            database.execute("update ledger_claim set until = 4e9")
        assert ledger.claims.claim(["claimed", "free"]) == {"free"}
        with database:
            database.execute("update ledger_claim set until = 1 where key = 'claimed'")
        assert replace(ledger.claims, owner="two").claim(["claimed", "free"]) == {"claimed"}
