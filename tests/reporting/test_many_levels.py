"""An axis of dozens or hundreds of levels: its test, its variance, shrunken effects and intervals for all together."""

from __future__ import annotations

import json
from time import process_time

import numpy as np
import pandas as pd
import pytest
from made_tables import of_scores

from runner.reporting.stats import View, about, describe, render, to_json
from runner.reporting.stats.components import components_of
from runner.reporting.stats.many_levels import ManyLevels, many_levels, many_levels_sheets
from runner.reporting.stats.omnibus import omnibus
from runner.reporting.stats.shown.render import written
from runner.reporting.stats.values import known


def table(scores: np.ndarray) -> pd.DataFrame:
    """A table as stats.table gives it, of models x personas x texts x repetitions; NaN: not scored."""
    return of_scores(scores[..., None]).rename(columns={"score:q0": "score:q"})


def drawn(
    personas: int, sd: float, *, texts: int = 5, models: int = 1, repetitions: int = 2, seed: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Scores, and the effect that each persona was made with."""
    random = np.random.default_rng(seed)
    effects = random.normal(0, sd, personas)
    scores = 50 + random.normal(0, 15, (1, 1, texts, 1)) + effects[None, :, None, None]
    scores = scores + random.normal(0, 4, (1, personas, texts, 1)) + random.normal(0, 3, (models, 1, texts, 1))
    return scores + random.normal(0, 5, (models, personas, texts, repetitions)), effects


def one(scores: np.ndarray) -> ManyLevels:
    (found,) = many_levels(table(scores))
    return found


@pytest.mark.parametrize("personas", [50, 500])
def test_hundreds_of_personas_are_tested_and_summarised(personas: int) -> None:
    """50 or 500 personas have a test that is the omnibus F, the sd they were made with, and an effect each."""
    scores, effects = drawn(personas, 6.0)
    found = one(scores)
    test = next(each for each in omnibus(table(scores)) if each.axis == "persona")
    assert [found.f, found.df, found.df_error, found.p] == pytest.approx([test.f, test.df, test.df_error, test.p])
    low, sd, high = (known(number) for number in (found.sd_low, found.sd, found.sd_high))
    assert low is not None
    assert sd is not None
    assert high is not None
    assert low < sd < high
    assert sd == pytest.approx(effects.std(ddof=1), rel=0.1)
    assert (found.scope, found.levels, len(found.effects)) == ("texts", personas, personas)
    assert [each.effect for each in found.effects] == sorted((each.effect for each in found.effects), reverse=True)
    parts = {part.factors: part.sd for part in components_of(table(scores), "q").parts}  # type: ignore[union-attr]
    assert sd == pytest.approx(parts["persona",])
    truth = dict(zip(map(str, range(personas)), effects - effects.mean(), strict=True))
    assert sum(each.low <= truth[each.level] <= each.high for each in found.effects) >= personas - 1


def test_shrunken_effects_are_nearer_the_truth() -> None:
    """Over 500 personas the shrunken effects miss by less than the raw ones, and keep their order."""
    scores, effects = drawn(500, 3.0, texts=3, seed=2)
    found = one(scores)
    truth = effects - effects.mean()
    raw = np.array([each.effect - truth[int(each.level)] for each in found.effects])
    shrunken = np.array([known(each.shrunken) or 0.0 for each in found.effects])
    assert (abs(shrunken) <= [abs(each.effect) for each in found.effects]).all()
    missed = shrunken - [truth[int(each.level)] for each in found.effects]
    assert (missed**2).mean() < 0.8 * (raw**2).mean()
    assert (np.diff(shrunken) <= 0).all()


def test_personas_that_do_not_differ_are_seldom_said_to() -> None:
    """Of 120 studies of 60 alike personas 1 to 11% have p < .05, and at most 11% any interval that leaves 0 out."""
    columns = {f"score:q{seed}": drawn(60, 0.0, texts=3, repetitions=1, seed=seed)[0].ravel() for seed in range(120)}
    frame = table(drawn(60, 0.0, texts=3, repetitions=1)[0]).drop(columns="score:q")
    found = many_levels(pd.concat([frame, pd.DataFrame(columns)], axis=1))
    assert len(found) == 120
    excluded = [any(not known(each.low) <= 0 <= known(each.high) for each in one.effects) for one in found]  # type: ignore[operator]
    assert 0.01 <= np.mean([(known(one.p) or 0.0) < 0.05 for one in found]) <= 0.11
    assert np.mean(excluded) <= 0.11


def test_the_interval_of_the_sd_holds_it() -> None:
    """Of 80 studies of 50 personas at least 90% have an interval that holds the sd that personas were drawn with."""
    columns = {f"score:q{seed}": drawn(50, 3.0, texts=5, repetitions=1, seed=seed)[0].ravel() for seed in range(80)}
    frame = table(drawn(50, 3.0, repetitions=1)[0]).drop(columns="score:q")
    found = many_levels(pd.concat([frame, pd.DataFrame(columns)], axis=1))
    assert np.mean([known(each.sd_low) < 3.0 < known(each.sd_high) for each in found]) >= 0.9  # type: ignore[operator]


def test_what_is_missing_moves_little() -> None:
    """A persona without the highest text, and one without a model, keep their effects within a point of the whole."""
    scores, _ = drawn(60, 6.0, models=3, seed=4)
    scores += np.array([0.0, 10.0, 30.0])[:, None, None, None]
    whole = {each.level: each for each in one(scores).effects}
    holes = scores.copy()
    holes[:, 7, int(scores.mean(axis=(0, 1, 3)).argmax())] = np.nan
    holes[2, 9] = np.nan
    found = {each.level: each for each in one(holes).effects}
    assert (found["7"].texts, found["9"].texts) == (4, 5)
    for level in ("7", "9", "20"):
        assert found[level].effect == pytest.approx(whole[level].effect, abs=2.0)


def test_one_text_is_about_that_text() -> None:
    """With one text the repetitions are the unit, which is said; with one repetition as well there is no test."""
    found = one(drawn(60, 6.0, texts=1, repetitions=4)[0])
    assert (found.scope, known(found.df_error)) == ("fixed", 180.0)
    assert (known(found.p) or 1.0) < 1e-6
    alone = one(drawn(60, 6.0, texts=1, repetitions=1)[0])
    assert known(alone.p) is None
    assert known(alone.effects[0].low) is None
    assert shown((alone,))[0][0][:2] == ("q", "60")


def shown(found: tuple[ManyLevels, ...], *, everything: bool = False) -> list[list[tuple[str, ...]]]:
    return [written(sheet) for sheet in many_levels_sheets(found, everything=everything)]


def test_the_tables_show_the_ends() -> None:
    """The three highest and lowest of 60 stand with their intervals, or all of them; few levels have no table."""
    scores, _ = drawn(60, 6.0)
    found = many_levels(table(scores))
    tests, extremes = shown(found)
    assert tests[0][:3] == ("q", "60", "5")
    assert [row[1] for row in extremes] == [each.level for each in (*found[0].effects[:3], *found[0].effects[-3:])]
    assert len(shown(found, everything=True)[1]) == 60
    assert many_levels(table(scores[:, :40])) == ()


def test_runner_stats_shows_them() -> None:
    """What is said of a run of 60 personas has the tables of levels, in text and JSON, and of one question alone."""
    frame = table(drawn(60, 6.0, models=2)[0])
    said = describe(frame)
    for one_of in (said, about(said, "q")):
        assert "The most extreme personas" in render(one_of, width=80)
        text = render(one_of, View(everything=True), width=80)
        assert "The most extreme personas" in text
        assert "Response style" in text
        assert "Test-retest reliability" in text
    assert len(json.loads(to_json(said))["levels"][0]["effects"]) == 60


def test_it_is_fast() -> None:
    """500 personas of 4 models on 3 texts, with holes, take less than a second, and their components few."""
    scores, _ = drawn(500, 5.0, texts=3, models=4, repetitions=2)
    scores[0, ::50, 0] = np.nan
    frame = table(scores)
    begun = process_time()
    many_levels(frame)
    assert process_time() - begun < 1
    components_of(frame, "q")
    assert process_time() - begun < 10
