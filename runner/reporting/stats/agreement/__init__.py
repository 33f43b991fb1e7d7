"""How far repetitions, and models, agree on scores, and how many repetitions make a mean reliable."""

from __future__ import annotations

from runner.reporting.stats.agreement.coefficients import agreement, reliability, reliability_of
from runner.reporting.stats.agreement.sheets import agreement_sheet, reliability_sheet

__all__ = ["agreement", "agreement_sheet", "reliability", "reliability_of", "reliability_sheet"]
