"""A drift in MLflow: a dated run of its own beside those of the run, tagged with the run that was asked again."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from runner.reporting.tracking import store

if TYPE_CHECKING:
    from runner.records import Tracking
    from runner.reporting.drift import DriftReport
    from runner.results.again.drift import Drift

KIND_TAG = "runner.kind"
OF_TAG = "runner.drift_of"
DATE_TAG = "runner.date"


def log(drift: Drift, found: DriftReport, tracking: Tracking) -> dict[str, Any]:
    """Log a drift, or what is missing of it; where it is. TrackingError where MLflow cannot be reached or refuses."""
    day = drift.started[:10]
    logged = store.log(
        store.LoggedLaunch(
            id=drift.id,
            name=f"drift of {drift.of}, {day}",
            experiment=tracking.experiment,
            status=drift.status,
            params={
                "run": drift.of,
                "budget_usd": f"{drift.budget_usd:g}",
                "margin": f"{drift.margin:g}",
                "seed": str(drift.seed),
                "sample": f"{len(drift.sample)} of {drift.population}",
                "command": drift.command,
            },
            metrics=_metrics(drift, found),
            tags={KIND_TAG: "drift", OF_TAG: drift.of, DATE_TAG: day},
            cells=[],
            artifacts=[(drift.folder / name, "") for name in ("drift.json", "results.jsonl")],
            texts=[],
            start_ms=_milliseconds(drift.started),
            end_ms=_milliseconds(drift.ended or drift.started),
            note=found.sentence,
            folder=str(drift.folder),
        ),
        tracking,
    )
    return {"uri": logged.uri, "run": logged.parent_id, "url": logged.url}


def _metrics(drift: Drift, found: DriftReport) -> dict[str, float]:
    metrics = {"asked": float(found.asked), "scored": float(found.scored), "requests_sent": float(drift.requests_sent)}
    if drift.spent_usd is not None:
        metrics["spent_usd"] = drift.spent_usd
    for each in found.moved:
        of = f"{each.model}/{each.question}"
        metrics[f"difference/{of}"] = each.difference
        if each.p_equivalent is not None:
            metrics[f"p_equivalent/{of}"] = each.p_equivalent
    verdicts = [each.verdict for each in found.moved]
    return metrics | {verdict: float(verdicts.count(verdict)) for verdict in ("equivalent", "changed", "undecided")}


def _milliseconds(time: str) -> int:
    return int(datetime.fromisoformat(time).timestamp() * 1000)
