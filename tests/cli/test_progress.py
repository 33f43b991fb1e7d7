"""What is seen while requests are out: snapshots of moments, drawn with a clock of the test's own."""

from __future__ import annotations

import io
from dataclasses import dataclass, field, replace

import pytest
from rich.console import Console

from runner.ledger.batch_records import BatchRecord
from runner.providers.batch.api import Sent, Standing
from runner.records import (
    Adapted,
    Answer,
    Cell,
    Failure,
    Model,
    Persona,
    Prices,
    Problem,
    Request,
    Sampling,
    Text,
    Trial,
)
from runner.reporting.progress import render
from runner.reporting.progress.counts import ProgressCounts
from runner.reporting.progress.display import Progress, is_watched
from runner.reporting.progress.sampler import Sampler, Snapshot

MESSAGES = ({"role": "user", "content": "?"},)
REPLY = b'{"choices":[{"message":{"content":"{}"}}],"usage":{"prompt_tokens":1000,"completion_tokens":500}}'
"""At the prices of `model`, $0.001 each."""


def model(name: str = "mini") -> Model:
    prices = Prices(input_usd_per_mtok=0.5, output_usd_per_mtok=1.0)
    return Model(name=name, id=name, provider="openai", vendor="test", prices=prices)


def trial(name: str = "mini", *, batched: bool = False) -> Trial:
    """A trial; as one that went into a batch, without its messages."""
    request = Request(name, () if batched else MESSAGES, {})
    cell = Cell(f"{name}/poet", model(name), Persona("poet", {"*": "a poet"}), Sampling())
    return Trial(cell, Text("rain", "It rained."), 1, Adapted(request, "prompt", {}, {}), "k" * 64)


def answer(*, route: str = "live") -> Answer:
    kept = Answer("k" * 64, REPLY, "live", "mini", "https://api.openai.com/v1", 1, 0.5, "2026-01-01T00:00:00.000Z")
    return kept if route == "live" else replace(kept, route="batch")


def failure(kind: str = "bad_request", attempts: int = 1) -> Failure:
    return Failure("k" * 64, Problem(kind, "the provider says no"), attempts)


@dataclass
class Clock:
    """Stands still until it is told."""

    now: float = 100.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


@dataclass
class Scene:
    """Counts, and the sampler that looks at them."""

    clock: Clock = field(default_factory=Clock)
    stopping: bool = False

    def __post_init__(self) -> None:
        self.counts = ProgressCounts(clock=self.clock)
        self.sampler = Sampler(self.counts, lambda: self.stopping, wall=lambda: 1_000.0)

    def ask(self, count: int, *, every_s: float, name: str = "mini") -> Snapshot:
        """So many requests are answered, one after another, and looked at each time."""
        snapshot = self.sampler.sample()
        for _ in range(count):
            self.counts.sent(trial(name))
            self.clock.now += every_s
            self.counts.answered(trial(name), answer())
            snapshot = self.sampler.sample()
        return snapshot


def lines(snapshot: Snapshot, width: int = 80, height: int = 24) -> list[str]:
    """The display as a terminal of that size has it."""
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False)
    with console.capture() as seen:
        console.print(render.display(snapshot, width, height))
    return [line.rstrip() for line in seen.get().splitlines()]


def test_a_display_of_a_dispatch() -> None:
    """Each model has its bar, counts, rate and time left; below stand the sums, dollars, and why what went wrong."""
    scene = Scene()
    scene.counts.planned(model(), 100)
    scene.counts.planned(model("thinker"), 20)
    scene.ask(30, every_s=0.5)
    scene.ask(4, every_s=1.0, name="thinker")
    for name in ("mini", "mini", "thinker"):
        scene.counts.sent(trial(name))
    scene.counts.sent(trial())
    scene.counts.waiting(model(), "rate_limit", 3.0)
    scene.counts.sent(trial())
    scene.counts.failed(trial(), failure())
    assert lines(scene.sampler.sample()) == [
        "                                         done flight  rate retries failed left",
        "mini    ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━ 31/100      2 1.3/s       1      1 42 s",
        "thinker ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━   4/20      1 0.4/s                76 s",
        "35 of 120 · 3 in flight · 1.7/s · about $0.034 of $0.12 · 76 s left",
        "retries: rate_limit 1; failed: bad_request 1",
    ]


def test_a_line_of_a_log() -> None:
    """Where no one looks, the same is said in a line, and less where there is less to say."""
    scene = Scene()
    scene.counts.planned(model(), 100)
    assert render.first_line(scene.sampler.sample()) == "100 requests to send: mini 100"
    snapshot = scene.ask(20, every_s=0.5)
    assert render.line(snapshot) == "20 of 100 done, 0 in flight, 2.0/s, about $0.020 of $0.10, 40 s left"
    assert render.last_line(snapshot) == "20 of 100 requests done in 10 s, 2.0/s on average, about $0.020"
    scene.stopping = True
    assert render.line(scene.sampler.sample()).endswith("nothing more is sent")


def entry(name: str, age_s: float, standing: Standing | None = None) -> BatchRecord:
    made = BatchRecord(name, "run", "openai", model(), "https://b", "account", 12, 86_400, 1_000.0 - age_s)
    return made if standing is None else replace(made, state="sent", sent=Sent("batch_1"), standing=standing)


def test_batches_have_state_and_age() -> None:
    """A batch that is out shows the provider's word, how much is done, and its age; what it holds is not in flight."""
    scene = Scene()
    scene.counts.planned(model(), 24)
    scene.counts.batch(entry("young", 5))
    scene.counts.batch(entry("old", 400, Standing("running", "in_progress", 3, 12)))
    scene.counts.batch(replace(entry("over", 900), state="closed"))
    for _ in range(12):
        scene.counts.sent(trial(batched=True))
    scene.counts.answered(trial(batched=True), answer(route="batch"))
    snapshot = scene.sampler.sample()
    assert snapshot.total.in_flight == 0
    assert lines(snapshot)[2:] == [
        "batch of mini: in_progress, 3 of 12, 7 min  old",
        "batch of mini: drafted, 12 requests, 5 s  young",
        "1 of 24 · 0 in flight · 0/s · 1 batch ended · about $0.0010 of $0.024",
    ]
    assert "batches: 1 in_progress, 1 drafted, 1 ended, the oldest 7 min old" in render.line(snapshot)


def test_many_models_fit_a_small_terminal() -> None:
    """No line is wider than the terminal and no snapshot higher; models that are done make room for the others."""
    scene = Scene()
    for number in range(40):
        scene.counts.planned(model(f"a-model-with-quite-a-long-name-{number:02}"), 1 if number < 30 else 5)
    for number in range(30):
        scene.ask(1, every_s=0.1, name=f"a-model-with-quite-a-long-name-{number:02}")
    for width, height in ((80, 24), (60, 10), (200, 50)):
        found = lines(scene.sampler.sample(), width, height)
        assert len(found) < height
        assert max(map(len, found)) < width
    assert "and 35 further models, 30 of them done" in lines(scene.sampler.sample(), 80, 10)


@pytest.mark.parametrize(
    ("kind", "attempts", "in_flight"),
    [("bad_request", 1, 0), ("not_sent", 0, 1), ("not_sent", 2, 1), ("stopped", 0, 1)],
)
def test_what_is_in_flight(kind: str, attempts: int, in_flight: int) -> None:
    """A failure ends an attempt only where one was on the wire: not one that was never sent, or not sent again."""
    scene = Scene()
    scene.counts.planned(model(), 9)
    scene.counts.sent(trial())
    scene.counts.failed(trial(), failure(kind, attempts))
    assert scene.sampler.sample().total.in_flight == in_flight


def test_a_price_that_nobody_knows_is_not_shown() -> None:
    """Dollars are said of the whole or not at all."""
    scene = Scene()
    scene.counts.planned(model(), 2)
    unpriced = trial()
    scene.counts.sent(unpriced)
    unknown = replace(unpriced, cell=replace(unpriced.cell, model=replace(model(), prices=Prices())))
    scene.counts.answered(unknown, answer())
    assert "$" not in render.line(scene.sampler.sample())


@pytest.mark.parametrize(
    ("loudness", "said"),
    [
        ("quiet", []),
        ("usual", ["2 requests to send: mini 2", "2 of 2 requests done"]),
        (
            "verbose",
            [
                "2 requests to send: mini 2",
                "mini: rate_limit, again in 3.0 s",
                "mini/poet/rain #1 failed: bad_request: the provider says no",
                "batch b1 of mini is drafted: 12 requests",
                "2 of 2 requests done",
            ],
        ),
    ],
)
def test_how_much_is_said(loudness: str, said: list[str]) -> None:
    """-q says nothing while requests are out, -v each retry, failure and change of a batch, in a log as on a screen."""
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=False)
    with Progress(console, loudness) as observer:  # type: ignore[arg-type]  # a parameter of this test
        observer.planned(model(), 2)
        observer.sent(trial())
        observer.waiting(model(), "rate_limit", 3.0)
        observer.sent(trial())
        observer.answered(trial(), answer())
        observer.failed(trial(), failure())
        observer.batch(entry("b1", 1))
    found = out.getvalue().splitlines()
    assert [line[: len(one)] for line, one in zip(found, said, strict=True)] == said
    assert not is_watched(console)
