"""How far repetitions, and models, agree on scores, and how many repetitions make a mean reliable."""

from __future__ import annotations

from runner.reporting.stats.agreement.coefficients import agreement, reliability, reliability_of
from runner.reporting.stats.agreement.tables import agreement_tables

__all__ = ["agreement", "agreement_tables", "reliability", "reliability_of"]
