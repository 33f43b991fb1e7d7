"""Whether what `runner stats` says of differences holds: data whose truth is known, made again and again.

    python benchmarks/calibration.py [--quick] [--write]

Scores are a text's level, a model's liking for single texts (`model x text`, the study's is 10 to 15 points), a
persona's own, and noise from repetition to repetition. Nothing differs between models, vendors or personas, so 5 % of
their tests may have p below .05; an interval must hold the truth in 95 %; a p below .05 must mean that the interval
leaves 0 out. Every world has a seed of its own. --write puts the table into benchmarks/CALIBRATION.md.

Thousands of data sets are tested at once by the functions that `runner stats` itself calls (inference.over_texts and
over_both, the F tests of omnibus), and the first few of each world by the whole way from rows to numbers too: where
the two differ, this program fails.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import defaultdict
from dataclasses import dataclass, field, replace
from importlib import import_module
from itertools import combinations, product
from math import erf, exp, pi, sqrt
from pathlib import Path

import goals
import numpy as np
import pandas as pd
from scipy.stats import f as fisher

from runner.reporting.stats.differences import paired
from runner.reporting.stats.inference import over_both, over_texts
from runner.reporting.stats.summaries import summaries
from runner.reporting.stats.values import known

tests_of_axes = import_module("runner.reporting.stats.omnibus")
TEXT_SD, NOISE_SD, PERSONA_SD = 20.0, 6.0, 4.0
LOW, HIGH = 0.0, 100.0
PERSONAS, VENDORS = 2, 4
AT_ONCE = 250
"""Data sets that are made and tested together: bounds the memory."""
COMPARED = 3
"""Data sets of a world that also go the whole way from rows to numbers."""
MARGIN = 5.0


@dataclass(frozen=True)
class World:
    """How scores come about: standard deviations in points."""

    texts: int
    repetitions: int
    models: int
    liking: float
    """Of model x text."""
    clipped: bool = False
    missing: float = 0.0
    centre: float = 60.0
    model_sd: float = 0.0
    """Of models themselves: only vendors do not differ then."""
    vendor_text: float = 0.0
    """Of vendor x text."""

    @property
    def name(self) -> str:
        """For one line of the output."""
        size = f"{self.texts:2} texts x {self.repetitions:2} x {self.models:2} models, sd {self.liking:2.0f}"
        marks = [*(["clipped"] if self.clipped else []), *([f"{self.missing:.0%} missing"] if self.missing else [])]
        marks += [f"centre {self.centre:.0f}"] if self.centre != 60 else []
        marks += [f"models {self.model_sd:.0f}, vendors x texts {self.vendor_text:.0f}"] if self.model_sd else []
        return f"{size} {', '.join(marks)}"

    @property
    def seed(self) -> list[int]:
        """One that no other world has."""
        numbers = (self.texts, self.repetitions, self.models, self.liking, self.clipped, 100 * self.missing,
                   self.centre, self.model_sd, self.vendor_text)  # fmt: skip
        return [int(number) for number in numbers]

    @property
    def truth(self) -> float:
        """The mean of a model over all texts: of clipped scores, that of a clipped normal distribution."""
        if not self.clipped:
            return self.centre
        sd = sqrt(TEXT_SD**2 + self.liking**2 + PERSONA_SD**2 + NOISE_SD**2 + self.model_sd**2 + self.vendor_text**2)
        return LOW + _above(self.centre - LOW, sd) - _above(self.centre - HIGH, sd)


def _above(mean: float, sd: float) -> float:
    """E max(0, X) of a normal X."""
    z = mean / sd
    return mean * (1 + erf(z / sqrt(2))) / 2 + sd * exp(-(z**2) / 2) / sqrt(2 * pi)


def made(world: World, rounds: int, random: np.random.Generator) -> np.ndarray:
    """Scores of so many data sets: rounds x models x personas x texts x repetitions, NaN where missing."""
    m, t, of = world.models, world.texts, np.arange(world.models) * VENDORS // max(VENDORS, world.models)

    def normal(sd: float, *shape: int) -> np.ndarray:
        return random.normal(0, sd, (rounds, *shape)) if sd else np.zeros((rounds, *shape))

    score = world.centre + normal(TEXT_SD, 1, 1, t, 1) + normal(world.liking, m, 1, t, 1)
    score = score + normal(world.model_sd, m, 1, 1, 1) + normal(world.vendor_text, VENDORS, 1, t, 1)[:, of]
    score = score + normal(PERSONA_SD, 1, PERSONAS, t, 1)
    score = score + normal(NOISE_SD, m, PERSONAS, t, world.repetitions)
    if world.clipped:
        score = np.clip(score, LOW, HIGH)
    if world.missing:
        score[random.random(score.shape) < world.missing] = np.nan
    return score


# ---- what is counted -------------------------------------------------------------------------------------------------


@dataclass
class Shares:
    """Name of a test -> its p-values; of an interval -> whether it held the truth."""

    p: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    held: list[bool] = field(default_factory=list)
    disagreed: int = 0

    def false(self, name: str) -> float:
        """The share of p below .05."""
        return float(np.mean(np.array(self.p[name]) < 0.05)) if self.p.get(name) else float("nan")

    @property
    def coverage(self) -> float:
        """The share of intervals that held the truth."""
        return float(np.mean(self.held)) if self.held else float("nan")


def simulate(world: World, rounds: int, seed: int) -> Shares:
    """Tests and intervals of so many data sets."""
    random, found = np.random.default_rng([seed, *world.seed]), Shares()
    for start in range(0, rounds, AT_ONCE):
        scores = made(world, min(AT_ONCE, rounds - start), random)
        at = {name: len(of) for name, of in found.p.items()}
        held = len(found.held)
        with np.errstate(invalid="ignore"):
            cells = _mean(scores, axis=4)
            _pairs(world, cells, found)
            _means(world, scores, found)
            _axes(world, cells, found)
        if not start:
            _compare(world, scores, found, at, held)
    return found


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    """The mean of what is there; NaN of nothing."""
    there = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(there, values, 0.0).sum(axis=axis) / there.sum(axis=axis)


def _over_texts(values: np.ndarray) -> object:
    """over_texts of an array whose first axis are groups, the last but one texts; NaN are left out."""
    groups, _, texts, _ = np.indices(values.shape)
    there = ~np.isnan(values)
    return over_texts(values[there], groups[there], texts[there], len(values))


def _pairs(world: World, cells: np.ndarray, found: Shares) -> None:
    """Two models; all pairs as one family; two one-sided tests where the truth is the margin."""
    if world.model_sd:
        return
    two = _over_texts((cells[:, 0] - cells[:, 1])[..., None])
    low, high = two.bounds()  # type: ignore[attr-defined]
    p = two.p_value()  # type: ignore[attr-defined]
    there = ~np.isnan(p)
    found.p["pair"] += p[there].tolist()
    found.disagreed += int(((p < 0.05) != ((low > 0) | (high < 0)))[there].sum())
    at_margin = replace(two, value=two.value + MARGIN)  # type: ignore[type-var, attr-defined]
    found.p["equivalence"] += at_margin.p_equivalent(MARGIN)[there].tolist()  # type: ignore[attr-defined]
    if world.models > 2:
        pairs = list(combinations(range(world.models), 2))
        all_of = np.concatenate([cells[:, left] - cells[:, right] for left, right in pairs])
        family = _over_texts(all_of[..., None]).p_value().reshape(len(pairs), -1)  # type: ignore[attr-defined]
        found.p["family"] += np.minimum(1, np.nanmin(family, axis=0) * len(pairs)).tolist()


def _means(world: World, scores: np.ndarray, found: Shares) -> None:
    if world.model_sd:
        return
    low, high = _over_texts(scores[:, 0]).bounds()  # type: ignore[attr-defined]
    low, high = np.maximum(low, LOW), np.minimum(high, HIGH)
    there = ~np.isnan(low)
    found.held += ((low <= world.truth) & (world.truth <= high))[there].tolist()


def _axes(world: World, cells: np.ndarray, found: Shares) -> None:
    """The F tests of models, personas and vendors, as omnibus has them of tables of levels by texts."""
    by_model, by_persona = _mean(cells, axis=2), _mean(cells, axis=1)
    if not world.model_sd:
        found.p["models"] += _crossed(by_model)
        found.p["personas"] += _crossed(by_persona)
    if world.models > VENDORS:
        found.p["vendors"] += _nested(by_model)


def _crossed(tables: np.ndarray) -> list[float]:
    """P of each table of levels by texts."""
    _, levels, texts = tables.shape
    whole = ~np.isnan(tables).any(axis=(1, 2))
    full = tables[whole]
    by_level, by_text = full.mean(axis=2, keepdims=True), full.mean(axis=1, keepdims=True)
    centre = full.mean(axis=(1, 2), keepdims=True)
    between = texts * ((by_level - centre) ** 2).sum(axis=(1, 2)) / (levels - 1)
    df = (levels - 1) * (texts - 1)
    within = ((full - by_level - by_text + centre) ** 2).sum(axis=(1, 2)) / df
    found = np.full(len(tables), np.nan)
    found[whole] = fisher.sf(between / within, levels - 1, df)
    for place in np.flatnonzero(~whole):
        test = tests_of_axes._crossed(pd.DataFrame(tables[place]), "", "")  # noqa: SLF001  one table at a time
        found[place] = known(test.p) if known(test.p) is not None else np.nan
    return found[~np.isnan(found)].tolist()  # type: ignore[no-any-return]


def _nested(tables: np.ndarray) -> list[float]:
    models = tables.shape[1]
    vendors = pd.Series([f"v{place * VENDORS // models}" for place in range(models)])
    tests = (tests_of_axes._nested(pd.DataFrame(table), vendors, "") for table in tables)  # noqa: SLF001
    return [p for test in tests if (p := known(test.p)) is not None]


# ---- the whole way ---------------------------------------------------------------------------------------------------


def table(scores: np.ndarray) -> pd.DataFrame:
    """A table as stats.table gives it, of models x personas x texts x repetitions, of one question named `q`."""
    m, p, t, r = (place.ravel() for place in np.indices(scores.shape))
    score = scores.ravel()
    vendor = m * VENDORS // max(VENDORS, scores.shape[0])
    names = {
        "cell": [f"m{a}/p{b}" for a, b in zip(m, p, strict=True)],
        "vendor": [f"v{a}" for a in vendor],
        "model": [f"m{a}" for a in m],
        "persona": [f"p{a}" for a in p],
        "text": [f"t{a}" for a in t],
        "temperature": [""] * len(m),
        "outcome": np.where(np.isnan(score), "unscorable", "scored"),
        "problem": np.where(np.isnan(score), "no_score", ""),
    }
    frame = pd.DataFrame({name: pd.Categorical(values) for name, values in names.items()})
    frame.insert(0, "job", 0)
    frame["rung"] = frame["placement"] = frame["asked"] = pd.Categorical(["q"] * len(m))
    frame["repetition"], frame["again"], frame["answer"], frame["score:q"] = r, False, np.arange(len(m)), score
    return frame


def _compare(world: World, scores: np.ndarray, found: Shares, at: dict[str, int], held: int) -> None:
    """The first data sets by `paired`, `summaries` and `omnibus`: the same p and intervals, or a failure."""
    if np.isnan(_mean(scores, axis=4)).any():
        return  # what is left out shifts places; the same worlds without missing scores are compared
    for place in range(min(COMPARED, len(scores))):
        frame = table(scores[place])
        told = {"models": "model", "personas": "persona", "vendors": "vendor"}
        tests = {one.axis: known(one.p) for one in tests_of_axes.omnibus(frame)}
        seen = {name: tests.get(axis) for name, axis in told.items() if name in found.p}
        if not world.model_sd:
            (pair,) = paired(frame[frame["model"] == "m0"], frame[frame["model"] == "m1"])
            seen["pair"] = known(pair.p)
            (mean,) = (one for one in summaries(frame, axes=["model"]) if one.level == "m0")
            ends = [known(mean.interval.low), known(mean.interval.high)]
            inside = ends[0] is not None and ends[1] is not None and ends[0] <= world.truth <= ends[1]
            assert inside == found.held[held + place], world
        for name, p in seen.items():
            assert p is not None, (world, name)
            assert abs(p - found.p[name][at.get(name, 0) + place]) < 1e-9, (world, name)


# ---- texts and personas, both drawn ----------------------------------------------------------------------------------


def both(texts: int, personas: int, sds: tuple[float, float, float], rounds: int, seed: int) -> tuple[float, float]:
    """(false positives, coverage) of differences over texts and personas like these; sds of text, persona and both."""
    from scipy.stats import t

    random = np.random.default_rng([seed, texts, personas, *map(int, sds)])
    hits = []
    for _ in range(rounds):
        values = random.normal(0, sds[0], (texts, 1)) + random.normal(0, sds[1], (1, personas))
        mean, se, df = over_both(values + random.normal(0, sds[2], (texts, personas)))
        hits.append(abs(mean) > t.ppf(0.975, df) * se)
    return float(np.mean(hits)), 1 - float(np.mean(hits))


# ---- all of it -------------------------------------------------------------------------------------------------------


def worlds(*, quick: bool) -> list[World]:
    """Those that the goals name: every combination."""
    sizes = product((3, 5, 10, 30), (1, 3, 10), (2, 12), (0.0, 8.0, 15.0), (False, True), (0.0, 0.1))
    every = [World(*size) for size in sizes]
    return every[::13] if quick else every


def further() -> list[World]:
    """Vendors whose models differ and who read single texts alike; questions most of whose scores are 0."""
    vendors = [World(t, 3, 12, 8.0, model_sd=5.0, vendor_text=sd) for t in (3, 10, 30) for sd in (0.0, 5.0)]
    floor = [World(t, 3, m, 8.0, clipped=True, centre=0.0) for t in (3, 5, 10, 30) for m in (2, 12)]
    return [*vendors, *floor]


TESTS = ("pair", "family", "equivalence", "models", "personas", "vendors")


def line(world: World, found: Shares) -> str:
    """What came of a world."""
    tests = "  ".join(f"{name} {found.false(name):.3f}" for name in TESTS if found.p.get(name))
    return f"{world.name:60} coverage {found.coverage:.3f}  {tests}"


def main() -> int:
    """Print a line for each world, and the goals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--seed", type=int, default=20_261_128)
    words = parser.parse_args()
    rounds = words.rounds or (250 if words.quick else 1000)
    done: dict[World, Shares] = {}
    for world in [*worlds(quick=words.quick), *([] if words.quick else further())]:
        done[world] = simulate(world, rounds, words.seed)
        print(line(world, done[world]), flush=True)
    crossed = {}
    for texts, personas, sds in product((3, 10, 30), (5, 20), ((8.0, 0.0, 5.0), (8.0, 4.0, 5.0), (0.0, 4.0, 5.0))):
        crossed[texts, personas, sds] = both(texts, personas, sds, rounds, words.seed)
        print(f"{texts:2} texts x {personas:2} personas, sds {sds}: p<.05 {crossed[texts, personas, sds][0]:.3f}")
    _goals({world: shares for world, shares in done.items() if world.centre == 60})
    if words.write:
        from calibration_page import write

        write(Path(__file__).with_name("CALIBRATION.md"), done, crossed, rounds=rounds, seed=words.seed)
    return 0


def _goals(done: dict[World, Shares]) -> None:
    for name in ("pair", "models", "personas", "vendors"):
        shares = [found.false(name) for found in done.values() if found.p.get(name)]
        goals.at_least(f"calibration, {name}, least share of p < .05", 0.03, min(shares))
        goals.at_most(f"calibration, {name}, largest share of p < .05", 0.07, max(shares))
    for name in ("family", "equivalence"):
        goals.at_most(f"calibration, {name}, largest share of p < .05", 0.07,
                      max(found.false(name) for found in done.values() if found.p.get(name)))  # fmt: skip
    covered = [found.coverage for found in done.values() if found.held]
    goals.at_least("calibration, coverage, least share", 0.93, min(covered))
    goals.at_most("calibration, coverage, largest share", 0.97, max(covered))
    disagreed = sum(found.disagreed for found in done.values())
    goals.at_most("calibration, p and interval that disagree", 0, disagreed)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
