"""What is seen while requests are out."""

from __future__ import annotations

from typing import Literal

Loudness = Literal["quiet", "usual", "verbose"]
"""quiet: results and errors alone. verbose: a line also for each retry, failed trial and change of a batch."""
