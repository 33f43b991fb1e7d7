"""Variance components against lme4's published fit, against what data was made of, and with holes."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pandas as pd
import pytest

from runner.reporting.stats import known
from runner.reporting.stats.components import anova, components_of, largest_complete

PENICILLIN = (
    "272326232321 272326232321 252125242420 262325232320 252226222320 242225232219 "
    "242023212219 262226242421 242124222220 242124232219 262326242421 252226242420 "
    "262426242522 262326232320 262325242422 252225232320 252124232320 252224232319 "
    "242123212119 262326242421 252124222218 252225222220 242124222419 242124222118 "
)
"""lme4's data set Penicillin (Davies and Goldsmith, 1972): a word a plate, a to x; two digits a sample, A to F."""
FACTORS = ("text", "model", "persona")


def _frame(table: np.ndarray, names: tuple[str, ...] = FACTORS) -> pd.DataFrame:
    """A table of texts by models by personas by repetitions, as stats.table gives it; NaN cells have no row."""
    places = np.indices(table.shape)
    columns = {name: [f"{name}{code}" for code in place.ravel()] for name, place in zip(names, places, strict=False)}
    frame = pd.DataFrame(dict.fromkeys((*FACTORS, "temperature"), "") | columns | {"score:q": table.ravel()},
                         index=range(table.size))  # fmt: skip
    return frame[frame["score:q"].notna()]


def _made(seed: int, sizes: tuple[int, int, int, int], sds: dict[tuple[int, ...], float]) -> np.ndarray:
    random, table = np.random.default_rng(seed), np.full(sizes, 50.0)
    for axes, sd in sds.items():
        shape = [size if axis in axes else 1 for axis, size in enumerate(sizes)]
        table = table + random.normal(0, sd, shape)
    return table


SDS = {(0,): 20.0, (1,): 5.0, (0, 1): 12.5, (0, 2): 1.2, (1, 2): 2.0, (0, 1, 2): 3.8, (0, 1, 2, 3): 6.0}


def test_a_balanced_design_equals_lme4() -> None:
    """Penicillin's standard deviations are those that lme4 prints for diameter ~ 1 + (1|plate) + (1|sample)."""
    plates = [[int(word[at : at + 2]) for at in range(0, 12, 2)] for word in "".join(PENICILLIN).split()]
    found = components_of(_frame(np.array(plates, dtype=float), ("text", "model")), "q")
    assert found is not None
    assert found.method == "anova"
    assert found.confounded
    # Bates, Maechler, Bolker and Walker, lme4's vignette and ?Penicillin: 0.8467, 1.9316, 0.5499.
    assert [(part.name, round(part.sd, 4)) for part in found.parts] == [
        ("text", 0.8467), ("model", 1.9316), ("text x model and repetition", 0.5499),
    ]  # fmt: skip


def test_components_are_those_that_data_was_made_of() -> None:
    """With 60 levels each, every standard deviation is found within a tenth, and shares add up to 1."""
    found = components_of(_frame(_made(3, (80, 60, 12, 2), SDS)), "q")
    assert found is not None
    by_name = {part.factors: part for part in found.parts}
    assert sum(part.share for part in found.parts) == pytest.approx(1)
    for axes, sd in SDS.items():
        part = by_name[tuple(FACTORS[axis] for axis in axes if axis < 3) if 3 not in axes else ()]
        assert part.sd == pytest.approx(sd, rel=0.25 if len(axes) == 1 else 0.1), part
        low, high = known(part.low), known(part.high)
        assert low is not None
        assert high is not None
        assert low < sd < high
    assert by_name["persona",].sd < 0.5


def test_a_negative_estimate_is_0_and_is_marked() -> None:
    """Where models differ less than their noise would have it, their variance is 0 and marked as negative."""
    table = _made(5, (6, 4, 1, 1), {(0, 1): 10.0})
    table -= table.mean(axis=0, keepdims=True)
    found = components_of(_frame(table), "q")
    assert found is not None
    model = next(part for part in found.parts if part.name == "model")
    assert (model.sd, model.share, model.negative) == (0.0, 0.0, True)


def test_a_design_with_holes_falls_back_on_its_complete_part() -> None:
    """Models that lack cells are left out, and what is left gives the numbers that it gives alone."""
    table = _made(7, (5, 9, 3, 2), SDS)
    table[2, 4] = np.nan
    table[1, 6, 0] = np.nan
    frame = _frame(table)
    found = anova(largest_complete(frame, FACTORS), "q", FACTORS, "largest")
    assert found is not None
    assert found.levels == {"text": 5, "model": 7, "persona": 3}
    alone = components_of(_frame(np.delete(table, [4, 6], axis=1)), "q")
    assert alone is not None
    assert [part.sd for part in found.parts] == pytest.approx([part.sd for part in alone.parts])


def test_a_design_with_holes_is_fitted_by_reml() -> None:
    """Where mixedlm is installed, it fits a design with holes, and nearly as if there were none."""
    pytest.importorskip("mixedlm")
    reml = import_module("runner.reporting.stats.components")
    table = _made(7, (12, 9, 3, 2), SDS)
    whole = components_of(_frame(table), "q")
    table[2, 4, 1] = np.nan
    found = reml.components_of(_frame(table), "q")
    assert found.method == "reml"
    assert whole is not None
    for part in whole.parts:
        other = next(one for one in found.parts if one.factors == part.factors)
        assert other.sd == pytest.approx(part.sd, abs=0.6)


def test_what_has_no_two_levels_has_no_components() -> None:
    """One text of one model and persona gives none."""
    assert components_of(_frame(_made(1, (1, 1, 1, 5), SDS)), "q") is None


def test_factors_of_as_many_levels_are_told_apart() -> None:
    """Twelve texts beside three personas of four models: that both make twelve groups takes no component away."""
    reml = import_module("runner.reporting.stats.components")
    table = _made(9, (12, 4, 3, 2), SDS)
    table[3, 1, 2] = np.nan
    found = reml.components_of(_frame(table), "q")
    assert found.method == "reml"
    assert ("model", "persona") in {part.factors for part in found.parts}
    assert dict(found.levels) == {"text": 12, "model": 4, "persona": 3}
