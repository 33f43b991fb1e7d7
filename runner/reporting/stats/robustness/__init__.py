"""How far what the design balances or crosses moves scores, and whether conclusions change with it."""

from __future__ import annotations

from runner.reporting.stats.robustness.conclusions import nuisances_in, robustness
from runner.reporting.stats.robustness.effects import nuisances, places
from runner.reporting.stats.robustness.sheets import nuisance_finding, nuisance_sheet, places_sheet, robustness_sheet

__all__ = [
    "nuisance_finding",
    "nuisance_sheet",
    "nuisances",
    "nuisances_in",
    "places",
    "places_sheet",
    "robustness",
    "robustness_sheet",
]
