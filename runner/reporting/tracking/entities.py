"""What a run in MLflow holds, within MLflow's limits: parameters, metrics, tags, and the texts as datasets."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

from runner.results.summary import metric_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mlflow.entities import DatasetInput, Metric, Param, Run, RunTag

    from runner.records import Text
    from runner.results.manifest import Status

LOGGED_TAG = "runner.logged"
"""Digest of what a run holds, written with the last of it: a run without it is not complete, whatever its status."""
TEXTS_AS_DATASETS = 100
"""Most texts that are dataset inputs one by one; more become a single one, or every cell would repeat them all."""
_MOST_METRICS, _MOST_OTHERS, _MOST_BYTES = 800, 90, 400_000
"""One log_batch: below MLflow's 1,000 entities, 100 params, 100 tags and 1 MB of JSON (mlflow.utils.validation)."""
_LONGEST_PARAM, _LONGEST_TAG = 6000, 8000
_HASH_DIGITS = 12


@dataclass(frozen=True, slots=True)
class CellRun:
    """A child run."""

    name: str
    """Unique in its launch."""
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    failed: bool = False
    """True if none of its trials has a reply."""
    status: Status | None = None
    """Of its job, which may have been done before the launch was stopped; None: the launch's own."""


def missing(existing: Run | None, run: CellRun, digest: str, end_ms: int) -> list[Param | Metric | RunTag]:
    """What `existing` has not, or has otherwise; a param cannot change. The mark that all is logged comes last."""
    from mlflow.entities import Metric, Param, RunTag

    params = existing.data.params if existing else {}
    metrics = existing.data.metrics if existing else {}
    numbers = {key(name): float(value) for name, value in run.metrics.items() if isfinite(value)}
    labels = tags_of(run.tags)
    tags = existing.data.tags if existing else labels
    # Of two values with one time MLflow keeps the greater one, so a corrected value needs a later time.
    times = {name: now_ms() if name in metrics else end_ms for name in numbers}
    return [
        *(
            Param(key(name), _cut(str(value), _LONGEST_PARAM))
            for name, value in run.params.items()
            if key(name) not in params
        ),
        *(Metric(name, value, times[name], 0) for name, value in numbers.items() if metrics.get(name) != value),
        *(RunTag(tag, value) for tag, value in labels.items() if tags.get(tag) != value),
        RunTag(LOGGED_TAG, digest),
    ]


def tags_of(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags under names and with values that MLflow takes."""
    return {key(tag): _cut(value, _LONGEST_TAG) for tag, value in tags.items()}


def batches(entities: Iterable[Param | Metric | RunTag]) -> Iterator[dict[str, list[Any]]]:
    """Arguments for log_batch, in order, each within MLflow's limits for one call."""
    from mlflow.entities import Metric, Param

    batch: dict[str, list[Any]] = {"params": [], "metrics": [], "tags": []}
    n_bytes = 0
    for entity in entities:
        kind = "metrics" if isinstance(entity, Metric) else "params" if isinstance(entity, Param) else "tags"
        cost = 200 + len(json.dumps([entity.key, str(entity.value)]))
        most = _MOST_METRICS if kind == "metrics" else _MOST_OTHERS
        if len(batch[kind]) >= most or n_bytes + cost > _MOST_BYTES:
            yield batch
            batch, n_bytes = {"params": [], "metrics": [], "tags": []}, 0
        batch[kind].append(entity)
        n_bytes += cost
    yield batch


def datasets(texts: Sequence[Text]) -> list[DatasetInput]:
    """The texts as MLflow's dataset inputs: name, digest of the content, where it came from, and its length."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    parts = [(text.name, _digest(text.content), text.origin, {"characters": len(text.content)}) for text in texts]
    if len(parts) > TEXTS_AS_DATASETS:
        every = _digest(json.dumps([(name, digest) for name, digest, _, _ in parts]))
        parts = [(f"{len(parts)} texts", every, "", {"texts": len(parts)})]
    context = InputTag("mlflow.data.context", "scoring")
    return [
        DatasetInput(
            Dataset(_cut(name, 500), digest, "local", json.dumps({"uri": origin}), None, json.dumps(profile)), [context]
        )
        for name, digest, origin, profile in parts
    ]


def content_digest(run: CellRun, inputs: Sequence[DatasetInput], start_ms: int, end_ms: int) -> str:
    """A short name for all that a run holds but its tags."""
    metrics = sorted((name, float(value)) for name, value in run.metrics.items() if isfinite(value))
    texts = [(one.dataset.name, one.dataset.digest) for one in inputs]
    return _digest(json.dumps([sorted(run.params.items()), metrics, texts, start_ms, end_ms]))


def key(name: str) -> str:
    """A name as MLflow takes it."""
    return metric_name(*name.split("/"))


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def _cut(value: str, longest: int) -> str:
    """A value that is too long, cut: two that differ behind the cut still differ, by digits of their own hash."""
    if len(value) <= longest:
        return value
    return f"{value[: longest - _HASH_DIGITS - 1]}-{_digest(value)[:_HASH_DIGITS]}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
