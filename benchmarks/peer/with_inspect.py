"""Inspect: a task with a sample for each prompt, one `generate`, and a scorer that reads the reply as JSON."""

from __future__ import annotations

from asked import BASE, IN_FLIGHT, KEY, PROMPTS, begin, end, is_score
from inspect_ai import Task, eval  # noqa: A004
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessageSystem, ChatMessageUser
from inspect_ai.scorer import Score, Scorer, Target, accuracy, scorer
from inspect_ai.solver import TaskState, generate

ROLES = {"system": ChatMessageSystem, "user": ChatMessageUser}


@scorer(metrics=[accuracy()])
def scored() -> Scorer:
    """1 where the reply is a score."""

    async def score(state: TaskState, target: Target) -> Score:  # noqa: ARG001
        return Score(value=float(is_score(state.output.completion)))

    return score


samples = [
    Sample(input=[ROLES[message["role"]](content=message["content"]) for message in messages]) for messages in PROMPTS
]
task = Task(dataset=MemoryDataset(samples), solver=generate(), scorer=scored())
begin()
(log,) = eval(
    task,
    model="openai-api/local/m",
    model_base_url=BASE,
    model_args={"api_key": KEY},
    max_connections=IN_FLIGHT,
    max_samples=IN_FLIGHT,
    max_tokens=1024,
    max_retries=0,
    cache=False,
    display="plain",
    log_realtime=False,
    log_dir="logs",
)
end(sum(sample.scores["scored"].value == 1.0 for sample in log.samples or []))
