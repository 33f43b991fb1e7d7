"""Trials as MLflow traces, so that a prompt and its reply can be read beside their run.

One span a trial, made by hand: MLflow's own logging of LiteLLM loses spans, and its queue drops them when it is full.
They are sent one at a time and counted at the end; a missing one is a TrackingError. Each trace bears the name of its
trial, so that logging again adds nothing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from runner.errors import TrackingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from mlflow import MlflowClient

    from runner.records import Row, Trial

SAMPLE = 100
"""About so many traces of a launch with `tracking.traces=sample`."""
TRIAL_TAG = "runner.trial"


@dataclass(frozen=True, slots=True)
class Traced:
    """A trial with the run that it belongs to."""

    trial: Trial
    row: Row
    run_id: str

    @property
    def name(self) -> str:
        """Unique in its launch."""
        return f"{self.row.job}/{self.row.cell}/{self.row.text}/{self.row.repetition}"


def chosen(which: str, row: Row, trials: int) -> bool:
    """Whether a trial of a launch of so many becomes a trace. A sample is the same whenever it is taken."""
    match which:
        case "all":
            return True
        case "failed":
            return row.outcome != "scored"
        case "sample":
            return row.outcome == "failed" or int(row.key[:8], 16) % max(1, trials // SAMPLE) == 0
    return False


def log(
    uri: str,
    experiment_id: str,
    traced: Iterable[Traced],
    run_ids: Sequence[str],
    moved: Callable[[], object] = lambda: None,
) -> int:
    """Log the traces that the runs do not have yet; how many there are then. TrackingError where one is lost.

    `moved` is called after each.
    """
    # Read when MLflow's exporter is made: sent at once, or a full queue would drop some without a word.
    os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"
    import mlflow

    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient(tracking_uri=uri)
    there = {name for run_id in run_ids for name in _names(client, experiment_id, run_id)}
    wanted = set(there)
    for one in traced:
        if one.name not in there:
            _log_one(experiment_id, one)
            moved()
            wanted.add(one.name)
    if wanted != there:
        there = {name for run_id in run_ids for name in _names(client, experiment_id, run_id)}
    if lost := wanted - there:
        raise TrackingError(f"MLflow: {len(lost)} of {len(wanted)} traces were not kept")
    return len(wanted)


def _names(client: MlflowClient, experiment_id: str, run_id: str) -> Iterator[str]:
    token = None
    while True:
        page = client.search_traces(
            locations=[experiment_id],
            filter_string=f"metadata.`mlflow.sourceRun` = '{run_id}'",
            max_results=500,
            page_token=token,
            include_spans=False,
        )
        yield from (trace.info.tags.get(TRIAL_TAG, "") for trace in page)
        token = page.token
        if not token:
            return


def _log_one(experiment_id: str, one: Traced) -> None:
    from mlflow.entities import SpanStatusCode, SpanType
    from mlflow.tracing.fluent import start_span_no_context

    row = one.row
    start_ns, end_ns = _times(row)
    span = start_span_no_context(
        f"{row.model}/{row.persona}/{row.text}",
        span_type=SpanType.CHAT_MODEL,
        inputs={"messages": [dict(message) for message in one.trial.adapted.request.messages]},
        attributes={name: str(value) for name, value in _attributes(row).items()},
        tags={TRIAL_TAG: one.name, "runner.key": row.key, "outcome": row.outcome},
        metadata={"mlflow.sourceRun": one.run_id},
        experiment_id=experiment_id,
        start_time_ns=start_ns,
    )
    span.end(
        outputs={"reply": row.reply, "scores": dict(row.scores), "reasons": dict(row.reasons), **_problem(row)},
        status=SpanStatusCode.ERROR if row.outcome == "failed" else SpanStatusCode.OK,
        end_time_ns=end_ns,
    )


def _attributes(row: Row) -> Mapping[str, Any]:
    return {
        "model_id": row.model_id,
        "rung": row.rung,
        "attempts": row.attempts,
        "route": row.route,
        "price_usd": row.price_usd,
        **{f"sent.{name}": value for name, value in row.sent.items()},
    }


def _problem(row: Row) -> dict[str, str]:
    return {} if row.problem is None else {"problem": f"{row.problem.kind}: {row.problem.message}"}


def _times(row: Row) -> tuple[int | None, int | None]:
    """Nanoseconds of the request's start and end; None where there was no reply: MLflow then takes the present."""
    try:
        end_ns = int(datetime.fromisoformat(row.time or "").timestamp() * 1e9)
    except (ValueError, OverflowError):
        return None, None
    if row.latency_s is None:
        return None, None
    return end_ns - int(row.latency_s * 1e9), end_ns
