"""The page that benchmarks/calibration.py writes of what it found."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from calibration import Shares, World

HEAD = """# Calibration

What `python benchmarks/calibration.py --rounds {rounds} --write` found: {rounds} data sets a world, seed {seed}, every
world with a seed of its own. Nothing differs between models, vendors or personas, so that 5 % of tests may have p below
.05; a 95% interval of a model's mean must hold the truth in 95 %. A share of .05 has a standard error of {error:.3f}.

p below .05 where the interval holds 0, or above it where it does not: {disagreed} of {tested:,} differences.

## All worlds

A line is of twelve worlds: model x text 0, 8 and 15 points, scores as drawn and clipped to 0 to 100, none and 10 %
missing. Least and largest share of the twelve. `pair`: two models; `family`: any of the 66 pairs of 12 models after
Holm; `equivalence`: said to lie within 5 points where the difference is 5 (at most 5 %; less where power is small).

| texts | repetitions | models | pair | models (F) | personas (F) | vendors (F) | family | equivalence | coverage |
|--:|--:|--:|--|--|--|--|--|--|--|
"""
VENDORS = """
## Vendors whose models differ

Models within a vendor differ by 5 points; a vendor's models read single texts alike by 0 or 5 points. Vendors do not
differ. 12 models of 4 vendors, 3 repetitions, model x text 8.

| texts | vendor x text | p < .05 |
|--:|--:|--:|
"""
FLOOR = """
## Where most scores lie on one end

Scores drawn around 0 and clipped to 0 to 100, as anger's are for many models: half of all texts have a mean near 0, and
a few a high one. Differences stay on the safe side. Intervals of a mean cover less than they say, since no symmetric
interval fits so skewed a distribution of texts: more texts mend it, slowly. So read a mean's interval with care where
many scores lie on an end of the scale.

| texts | models | pair | models (F) | coverage |
|--:|--:|--:|--:|--:|
"""
BOTH = """
## Texts and personas like these (scope `personas`)

One difference over texts and personas, both drawn at random; standard deviations in points of what varies with the
text, the persona, and both. Where only one of the two varies the method is on the safe side or near 5 %.

| texts | personas | text, persona, both | p < .05 | coverage |
|--:|--:|--|--:|--:|
"""


def write(
    path: Path,
    done: Mapping[World, Shares],
    crossed: Mapping[tuple[int, int, tuple[float, float, float]], tuple[float, float]],
    *,
    rounds: int,
    seed: int,
) -> None:
    """Write the page."""
    grid = {world: found for world, found in done.items() if world.centre == 60 and not world.model_sd}
    disagreed = sum(found.disagreed for found in done.values())
    tested = sum(len(found.p.get("pair", ())) for found in done.values())
    error = (0.05 * 0.95 / rounds) ** 0.5
    lines = [HEAD.format(rounds=rounds, seed=seed, error=error, disagreed=disagreed, tested=tested)]
    for (texts, repetitions, models), worlds in groupby(grid, key=lambda one: (one.texts, one.repetitions, one.models)):
        some = [grid[world] for world in worlds]
        names = ("pair", "models", "personas", "vendors", "family", "equivalence")
        shares = [_span(found.false(name) for found in some if found.p.get(name)) for name in names]
        cover = _span(found.coverage for found in some)
        lines.append(f"| {texts} | {repetitions} | {models} | {' | '.join(shares)} | {cover} |\n")
    lines.append(VENDORS)
    for world, found in done.items():
        if world.model_sd:
            lines.append(f"| {world.texts} | {world.vendor_text:.0f} | {found.false('vendors'):.3f} |\n")
    lines.append(FLOOR)
    for world, found in done.items():
        if world.centre != 60:
            shares = f"{found.false('pair'):.3f} | {found.false('models'):.3f} | {found.coverage:.3f}"
            lines.append(f"| {world.texts} | {world.models} | {shares} |\n")
    lines.append(BOTH)
    for (texts, personas, sds), (false, cover) in crossed.items():
        sizes = ", ".join(f"{sd:.0f}" for sd in sds)
        lines.append(f"| {texts} | {personas} | {sizes} | {false:.3f} | {cover:.3f} |\n")
    path.write_text("".join(lines), encoding="utf-8")


def _span(shares: Iterable[float]) -> str:
    known = [share for share in shares if share == share]  # noqa: PLR0124  not NaN
    return f"{min(known):.3f} to {max(known):.3f}" if known else "-"
