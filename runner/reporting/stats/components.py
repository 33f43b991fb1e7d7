"""Where the variation of a question's scores comes from: texts, models, personas, how these meet, and repetitions.

A crossed random-effects model: a score is a general mean, an effect of each factor's level, one of each combination of
levels that the design tells apart, and the noise from one repetition to the next. Its variances are estimated

    anova    where every combination of levels has a score: from the mean squares of the cells' means, each set equal to
             what is expected of it (Searle, Casella and McCulloch, Variance Components, 1992, chapter 4), with the
             harmonic mean of the repetitions for cells of unequal size. For a balanced design that is REML, where no
             estimate is negative. Intervals by Satterthwaite's chi-square.
    reml     otherwise: by the package mixedlm, which maximises lme4's criterion (Bates et al., 2015).
    largest  where that is not installed, does not converge, or has too many scores: `anova` on the levels that are left
             when those with holes are left out.

A variance cannot be negative: an estimate below 0 is set to 0, and marked.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from runner.reporting.stats.frame import SCORE, codes_of, factors_of, questions_of
from runner.reporting.stats.inference import LEVEL
from runner.reporting.stats.values import Component, Components, Undefined

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from runner.reporting.stats.values import ComponentMethod, Number

    Terms = Mapping[tuple[str, ...], tuple[float, float]]
    """Factors -> variance, and its degrees of freedom (NaN where unknown)."""

REPETITION = "repetition"
MOST_CELLS = 5_000_000
"""Most combinations of levels in a table of cell means: 40 MB."""
MOST_FITTED = 20_000
"""Most scores that are given to mixedlm, whose time grows faster than they."""


def components(frame: pd.DataFrame) -> tuple[Components, ...]:
    """The variance components of each question that has a factor with two levels; `frame` as stats.table gives it."""
    return tuple(found for question in questions_of(frame) if (found := components_of(frame, question)) is not None)


def components_of(frame: pd.DataFrame, question: str, further: Sequence[str] = ()) -> Components | None:
    """Those of one question; None where nothing was scored, or no factor has two levels.

    `further` are columns that are factors beside those that tell two cells of a run apart.
    """
    scored = frame.loc[frame[SCORE + question].notna()]
    factors = [name for name in dict.fromkeys((*factors_of(scored), *further)) if scored[name].nunique() > 1]
    if not factors:
        return None
    factors.sort(key=lambda name: (name != "text", name != "model"))
    if _is_complete(scored, factors):
        return anova(scored, question, factors)
    found = _reml(scored, question, factors) if len(scored) <= MOST_FITTED else None
    return found or anova(largest_complete(scored, factors), question, factors, "largest")


# ---- mean squares ----------------------------------------------------------------------------------------------------


def anova(
    scored: pd.DataFrame, question: str, factors: Sequence[str], method: ComponentMethod = "anova"
) -> Components | None:
    """From the mean squares of a table in which no combination of the factors' levels lacks a score.

    None where a factor is left with one level.
    """
    import numpy as np
    import pandas as pd

    codes, sizes = [], []
    for name in factors:
        code, levels = pd.factorize(scored[name])
        codes.append(code)
        sizes.append(len(levels))
    if min(sizes, default=0) < 2 or np.prod(sizes, dtype=float) > MOST_CELLS:
        return None
    cell = np.ravel_multi_index(codes, sizes)
    values = scored[SCORE + question].to_numpy(dtype=np.float64)
    count = np.bincount(cell, minlength=int(np.prod(sizes)))
    mean = np.bincount(cell, weights=values, minlength=len(count)) / count
    df_within = len(values) - len(count)
    within = float(((values - mean[cell]) ** 2).sum()) / df_within if df_within else np.nan
    harmonic = len(count) / float((1 / count).sum())
    squares = mean_squares(mean.reshape(sizes))
    terms = _terms(squares, sizes, (within, float(df_within), harmonic))
    named = {tuple(factors[place] for place in places): found for places, found in terms.items()}
    return _shared_out(question, method, scored, named, factors, confounded=not df_within)


def mean_squares(table: NDArray[np.float64]) -> dict[tuple[int, ...], tuple[float, int]]:
    """Mean square and df of each set of axes, of a table of single values; an axis has two levels or more."""
    import numpy as np

    axes = range(table.ndim)
    found = {}
    for chosen in _subsets(axes):
        rest = tuple(axis for axis in axes if axis not in chosen)
        effect = table.mean(axis=rest, keepdims=True)
        for axis in chosen:
            effect = effect - effect.mean(axis=axis, keepdims=True)
        df = int(np.prod([table.shape[axis] - 1 for axis in chosen]))
        copies = int(np.prod([table.shape[axis] for axis in rest], dtype=np.int64))
        found[chosen] = copies * float((effect**2).sum()) / df, df
    return found


def _subsets(of: Sequence[int]) -> Iterator[tuple[int, ...]]:
    for size in range(1, len(of) + 1):
        yield from combinations(of, size)


def _terms(
    squares: Mapping[tuple[int, ...], tuple[float, int]], sizes: Sequence[int], within: tuple[float, float, float]
) -> dict[tuple[int, ...], tuple[float, float]]:
    """Variance and degrees of freedom of each set of factors, and of repetitions as ()."""
    import numpy as np

    noise, df_noise, harmonic = within
    whole = tuple(range(len(sizes)))
    found = {}
    for chosen in squares:
        over = [other for other in squares if set(other) >= set(chosen)]
        parts: list[tuple[float, float]] = [
            ((-1.0) ** (len(other) - len(chosen)) * squares[other][0], squares[other][1]) for other in over
        ]
        if chosen == whole and df_noise:
            parts.append((-noise / harmonic, df_noise))  # else the last interaction and the repetition are one
        variance = sum(part for part, _ in parts)
        below = sum(part**2 / df for part, df in parts)
        copies = float(np.prod([size for axis, size in enumerate(sizes) if axis not in chosen]))
        found[chosen] = variance / copies, variance**2 / below if below > 0 else np.nan
    if df_noise:
        found[()] = noise, df_noise
    return found


# ---- tables with holes -----------------------------------------------------------------------------------------------


def _is_complete(scored: pd.DataFrame, factors: Sequence[str]) -> bool:
    import numpy as np

    most = float(np.prod([scored[name].nunique() for name in factors], dtype=float))
    return len(scored) >= most and int(codes_of(scored, factors).max()) + 1 == most


def largest_complete(scored: pd.DataFrame, factors: Sequence[str]) -> pd.DataFrame:
    """The rows left when the level with the largest share of holes is left out, again and again until there is none."""
    import numpy as np
    import pandas as pd

    while not _is_complete(scored, factors):
        coded = [pd.factorize(scored[name]) for name in factors]
        sizes = [len(levels) for _, levels in coded]
        if max(sizes) < 2 or np.prod(sizes, dtype=float) > MOST_CELLS:
            return scored.iloc[:0]
        there = np.zeros(sizes, dtype=bool)
        there[tuple(codes for codes, _ in coded)] = True
        _, axis, level = max(
            (1 - float(share), axis, int(level))
            for axis in range(len(factors))
            if sizes[axis] > 2 or max(sizes) <= 2
            for level, share in enumerate(there.mean(axis=tuple(a for a in range(len(factors)) if a != axis)))
        )
        scored = scored.loc[coded[axis][0] != level]
    return scored


def _reml(scored: pd.DataFrame, question: str, factors: Sequence[str]) -> Components | None:
    """By mixedlm; None where it is not installed, or does not converge."""
    import warnings

    import pandas as pd

    try:
        import mixedlm
    except ImportError:
        return None
    data = {"y": scored[SCORE + question].to_numpy()}
    names: dict[str, tuple[str, ...]] = {}
    met: dict[tuple[str, ...], int] = {}
    for places in _subsets(range(len(factors))):
        chosen = tuple(factors[place] for place in places)
        codes = codes_of(scored, chosen)
        met[chosen] = int(codes.max()) + 1
        within = [met[fewer] for fewer in met if set(fewer) < set(chosen)]
        if met[chosen] == len(scored) or met[chosen] in within:
            continue  # every score is a group of its own, or the groups are those of fewer factors
        names[f"g{len(names)}"] = chosen
        data[f"g{len(names) - 1}"] = codes.astype(str)
    formula = "y ~ 1 + " + " + ".join(f"(1|{name})" for name in names)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of few levels, which is said here in other words
            fit = mixedlm.lmer(formula, pd.DataFrame(data))
            given = fit.VarCorr()
    except (ValueError, ArithmeticError, RuntimeError):  # numpy's LinAlgError is a ValueError
        return None
    if not fit.converged:
        return None
    by_name = given.as_dict()
    terms = {chosen: (float(by_name[name]["(Intercept)"]), float("nan")) for name, chosen in names.items()}
    terms[()] = float(given.residual), float("nan")
    repeated = int(codes_of(scored, factors).max()) + 1 < len(scored)
    return _shared_out(question, "reml", scored, terms, factors, confounded=not repeated)


# ---- the table -------------------------------------------------------------------------------------------------------


def _shared_out(
    question: str,
    method: ComponentMethod,
    scored: pd.DataFrame,
    terms: Terms,
    factors: Sequence[str],
    *,
    confounded: bool,
) -> Components:
    """Each component with its share of the sum."""
    total = sum(max(0.0, variance) for variance, _ in terms.values())
    last = max(terms, key=len)
    parts = []
    for chosen, (variance, df) in terms.items():
        name = " x ".join(chosen) if chosen else REPETITION
        if confounded and (chosen == last if method != "reml" else not chosen):
            name = f"{' x '.join(last)} and {REPETITION}" if method != "reml" else f"rest and {REPETITION}"
        kept = max(0.0, variance)
        low, high = _interval(kept, df)
        parts.append(Component(name, chosen, kept**0.5, kept / total if total else 0.0, low, high, variance < 0))
    levels = {name: int(scored[name].nunique()) for name in factors}
    return Components(question, method, len(scored), levels, tuple(parts), confounded)


def _interval(variance: float, df: float) -> tuple[Number, Number]:
    """Of the standard deviation."""
    from scipy.stats import chi2

    if not variance > 0 or not df > 0:
        why = "the variance is 0" if not variance > 0 else "REML gives the estimate alone"
        return Undefined(why), Undefined(why)
    ends = chi2.ppf([(1 + LEVEL) / 2, (1 - LEVEL) / 2], df)
    low, high = (df * variance / ends) ** 0.5 if ends[1] > 0 else (0.0, float("inf"))
    return float(low), float(high) if high < 1e6 else Undefined("there are too few levels")
