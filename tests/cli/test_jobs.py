"""What a search is told of a job: its objective's value, or why it has none and how the search goes on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from omegaconf import DictConfig
from report_runs import MODELS, experiment
from row_examples import FAILED, SCORED, UNSCORABLE

from runner.cli.jobs import NoValueError, going_on, objective_of
from runner.errors import ConfigError
from runner.results.launch import Counts, JobResult

if TYPE_CHECKING:
    from runner.records import Row


UNREAD = replace(UNSCORABLE, scores=dict.fromkeys(UNSCORABLE.scores))


def result(objective: str | None, *rows: Row) -> JobResult:
    """A job that ended with these rows."""
    asked = replace(experiment(MODELS[:1]), objective=objective)
    scored = sum(row.outcome == "scored" for row in rows)
    job = JobResult(3, Path(), (), asked, Counts(trials=len(rows), scored=scored))
    for row in rows:
        job.note(row)
    return job


@dataclass(frozen=True)
class Nothing:
    """A job without a value, and what is said of it."""

    id: str
    objective: str
    rows: tuple[Row, ...]
    said: str


NOTHING = (
    Nothing("no reply could be read", "score/mean", (UNREAD, UNREAD), "0 of its 2 trials have scores"),
    Nothing("all trials failed", "score/mean", (FAILED,), "0 of its 1 trials have scores"),
    Nothing("a question of its own", "score/interesting/mean", (FAILED, UNREAD), "0 of its 2 trials have scores"),
    Nothing("a price that nobody knows", "price_usd", (replace(SCORED, price_usd=None),), "1 of its 1 trials"),
)


@pytest.mark.parametrize("case", NOTHING, ids=lambda case: case.id)
def test_a_job_without_a_value_says_how_the_search_goes_on(case: Nothing) -> None:
    """It is no misspelt metric: the job is named, and what lets the search go on where its sweeper knows a way."""
    with pytest.raises(NoValueError, match=f"job 3 has no value of '{case.objective}': {case.said}") as caught:
        objective_of(result(case.objective, *case.rows))
    optuna = going_on(caught.value, DictConfig({"n_trials": 9, "max_failure_rate": 0.0}))
    assert isinstance(optuna, ConfigError)
    assert optuna.key == "hydra.sweeper.max_failure_rate"
    assert "hydra.sweeper.max_failure_rate=1 such a job counts as failed" in str(optuna)
    assert going_on(caught.value, DictConfig({"max_batch_size": None})) is caught.value


def test_a_job_with_a_value_gives_it() -> None:
    """The mean of what was read, though other replies could not be; nothing where nothing is maximised."""
    assert objective_of(result("score/mean", SCORED, UNSCORABLE)) == pytest.approx(57.75)
    assert objective_of(result(None, UNSCORABLE)) is None


def test_a_metric_that_no_job_has_is_a_mistake() -> None:
    """A misspelt objective is named with those that there are."""
    with pytest.raises(ConfigError, match=r"no metric of the job is named 'score/maen'.*score/mean"):
        objective_of(result("score/maen", SCORED))
