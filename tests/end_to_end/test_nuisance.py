"""A provider with a planted bias: it is measured as what it is, and a balanced design keeps it out of comparisons."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from commandline import configs
from loopback import QUESTIONS, Provider, Turn

import runner
from runner.cli.main import main
from runner.reporting.stats import View, known, render

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runner.api import Run
    from runner.reporting.stats import PairedDifference

QUICK = ("report=false", "tracking.enabled=false")
ASKED = ("model=[mini,other]", "persona=[poet,robot]", "sampling.trials=4", "design.question_order=balanced")
PLACED = 3
"""Points that every question gets where the persona stands in the user message."""
FIRST = 5
"""Points that the first question of a request gets beside what it would get elsewhere."""
APART = 8
"""Points by which one model is above the other on every question."""
# In one process Hydra leaves its log files to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@dataclass
class Biased:
    """Scores that depend on model, what is asked about, and a little on how often it was; and on a question's place."""

    biased: tuple[str, ...]
    """The models that give the first question more."""

    def __post_init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def __call__(self, body: dict[str, Any]) -> Turn:
        """One reply, whose order is that of the request's schema."""
        asked = [*body["response_format"]["json_schema"]["schema"]["properties"]]
        story = "\n\n".join(message["content"] for message in body["messages"]).partition("----")[0]
        self.seen[place := f"{body['model']}{story}"] += 1
        base = (
            30
            + (PLACED if len(body["messages"]) == 1 else 0)
            + _drawn(story, 20)
            + (APART if body["model"] == "other" else 0)
        )
        noise = [_drawn(f"{place}{self.seen[place]}{name}", 3) for name in asked]
        bias = [FIRST if number == 0 and body["model"] in self.biased else 0 for number in range(len(asked))]
        each = zip(asked, noise, bias, strict=True)
        return Turn(json.dumps({name: {"score": base + one + more, "reason": "so"} for name, one, more in each}))


def _drawn(words: str, below: int) -> int:
    return int(sha256(words.encode()).hexdigest(), 16) % below


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as found:
        yield found


@pytest.fixture
def mine(tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> str:
    """A config folder with two models that answer on loopback."""
    monkeypatch.chdir(tmp_path)
    configs(tmp_path, provider)
    folder = tmp_path / "mine" / "model"
    text = (folder / "mini.yaml").read_text(encoding="utf-8")
    (folder / "other.yaml").write_text(text.replace("mini", "other"), encoding="utf-8")
    return "mine"


def run(mine: str, *words: str) -> Run:
    return runner.run(runner.compose(*ASKED, *words, *QUICK, config_dir=mine))


def of_models(found: runner.Statistics) -> dict[str, PairedDifference]:
    return {one.question: one for one in found.differences["model"]}


def points(number: Any) -> float:
    value = known(number)
    assert value is not None
    return value


def test_a_planted_bias_is_recovered(mine: str, provider: Provider) -> None:
    """Five points for whatever stands first are found within one, and are in no difference between models."""
    provider.answer = Biased(("mini", "other"))
    done = run(mine)
    assert provider.count == 2 * 2 * 3 * 4
    table = done.table()
    orders = {*table["design.question_order"]}
    assert len(orders) == 4
    assert {tuple(sorted(order.split(">"))) for order in orders} == {tuple(sorted(QUESTIONS))}
    assert table.groupby(["model", "question", "design.question_order"]).size().eq(6).all()
    found = done.stats()
    (nuisance,) = found.nuisances
    assert (nuisance.name, nuisance.levels) == ("design.question_order", 4)
    assert abs(points(nuisance.moves) - FIRST) < 1
    assert points(nuisance.interval.low) < FIRST < points(nuisance.interval.high)
    assert [one.question for one in found.places] == ["all questions", *QUESTIONS]
    assert all(abs(points(one.difference) - FIRST) < 2 for one in found.places)
    assert all(abs(points(one.difference) + APART) < 1 for one in of_models(found).values())
    assert (nuisance.comparisons, nuisance.changed) == (8, 0)
    assert nuisance.sign == nuisance.estimates == 32 or nuisance.sign < nuisance.estimates == 32
    assert any("design.question_order" in part.factors for one in found.components for part in one.parts)
    said = f"Order of questions: {points(nuisance.moves):.1f} points between first place and last place"
    shown = " ".join(render(found, View()).split())
    assert said in shown
    assert "conclusions that change with it: 0 of 8." in shown
    assert json.loads(render(found, View(), "json"))["nuisances"][0]["changed"] == 0


def test_a_model_with_the_bias_is_told_from_one_without(mine: str, provider: Provider) -> None:
    """As written, one model's bias is a difference on the first question; balanced, it is spread over all alike."""
    provider.answer = Biased(("mini",))
    fixed = of_models(run(mine, "design.question_order=fixed").stats())
    off = {name: points(one.difference) + APART for name, one in fixed.items()}
    assert abs(off["interesting"] - FIRST) < 1
    assert all(abs(off[name]) < 1 for name in QUESTIONS[1:])
    balanced = run(mine).stats()
    off = {name: points(one.difference) + APART for name, one in of_models(balanced).items()}
    assert all(abs(one - FIRST / 4) < 1 for one in off.values())
    firsts = {
        one.question: {at.level.split(">")[0]: points(at.difference) + APART for at in one.levels}
        for one in balanced.robustness
        if one.axis == "model"
    }
    assert all(abs(by_first[question] - FIRST) < 1.5 for question, by_first in firsts.items())


def test_two_nuisances_are_told_apart(mine: str, provider: Provider) -> None:
    """Order and placement balanced together are each found within a point, and neither is in the other."""
    provider.answer = Biased(("mini",))
    words = ("persona=[poet]", "model=[mini]", "text=[lighthouse,parcel]", "design.placement=balanced")
    found = run(mine, *words, "sampling.trials=8").stats()
    moved = {one.name: points(one.moves) for one in found.nuisances}
    assert abs(moved["design.question_order"] - FIRST) < 1
    assert abs(moved["design.placement"] + PLACED) < 1
    assert {one.left for one in found.differences["design.placement"]} <= {"system", "user"}
    assert "placement: " in " ".join(found.findings)


def test_a_model_without_a_system_role_lacks_nothing(mine: str, provider: Provider) -> None:
    """Crossed, it is asked half as often as its neighbour, and no trial of the design is missing."""
    words = ("model=[mini,other]", "persona=[poet]", "model.other.capability.system=merge", "design.placement=crossed")
    found = runner.run(runner.compose(*words, *QUICK, config_dir=mine)).stats()
    assert (found.planned, found.trials, provider.count) == (9, 9, 9)
    (nuisance,) = found.nuisances
    assert (nuisance.name, nuisance.between) == ("design.placement", ("system", "user"))


def test_a_sweep_over_a_nuisance_says_what_each_trial_was_given(mine: str, provider: Provider) -> None:
    """A trial's own order stands where its job's setting would; and one of its orders is as written, bought once."""
    some = [
        runner.compose("model=[mini]", "persona=[poet]", "text=[rain]", f"design.question_order={how}", *QUICK,
                       config_dir=mine)
        for how in ("fixed", "crossed")
    ]  # fmt: skip
    given = runner.run(some).table().groupby("job")["design.question_order"].unique()
    assert [*given[0]] == ["fixed"]
    assert len(given[1]) == 4
    assert ">".join(QUESTIONS) in given[1]
    assert provider.count == 4


def test_what_is_bought_is_found_and_exported_again(mine: str, provider: Provider, tmp_path: Path) -> None:
    """The same assignment is asked for the second time, read again alike, and comes back from an export."""
    words = ("persona=[poet]", "model=[mini]", "prompt.affect.reply=labelled", "model.mini.capability.structure=prompt")
    provider.answer = lambda body: Turn(_labelled(body["messages"][-1]["content"]))
    done = run(mine, *words)
    assert done.facts["scored"] == 12
    assert {*done.table()["score"]} == {10.0, 20.0, 30.0, 40.0}
    assert done.table().groupby("question")["score"].first().to_dict() == dict(
        zip(QUESTIONS, (10.0, 20.0, 30.0, 40.0), strict=True)
    )
    asked = provider.count
    assert run(mine, *words).facts["from_ledger"] == 12
    assert provider.count == asked == 12
    assert main(["reproduce", str(done.folder)]) == 0
    assert main(["export", str(done.folder), "--format", "csv", "--out", str(tmp_path / "out.csv")]) == 0
    header, first, *_ = (tmp_path / "out.csv").read_text(encoding="utf-8-sig").splitlines()
    assert "design.question_order" in header
    assert any(f">{name}" in first for name in QUESTIONS)


def _labelled(user: str) -> str:
    """The form filled in: each question's number is its place in QUESTIONS, whatever its place in the request."""
    value = {name: 10 * (number + 1) for number, name in enumerate(QUESTIONS)}
    labels = [line.partition(". ")[2].partition("(")[0] for line in user.splitlines() if "(value)" in line]
    return "\n".join(
        f"Q{number}. {label}(value): {value[label]}\nQ{number}. {label}(reason): so"
        for number, label in enumerate(labels, 1)
    )
