"""Does an axis matter at all? One F test an axis and question, with the text as the unit.

A model's, a persona's and a temperature's levels are asked about the same texts, so that their differences are held
against how levels read single texts: F = MS_level / MS_level_x_text of the table of levels by texts, each cell the mean
of its trials (the F1 of Clark, 1973, with texts in the place of subjects). Of a table with holes both are of
least-squares fits.

A vendor is a label of its models, and says something only where models of one vendor resemble each other. So its levels
are held against the models within vendors, and against vendors' reading of single texts where that shows: a quasi-F
with Satterthwaite's degrees of freedom (Judd, Westfall and Kenny, 2012).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.reporting.stats.confounding import decided_by
from runner.reporting.stats.frame import SCORE, codes_of, pairing_of, questions_of, settings_in
from runner.reporting.stats.inference import ALIKE, satterthwaite
from runner.reporting.stats.summaries import number
from runner.reporting.stats.values import OmnibusTest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pandas as pd

    from runner.reporting.stats.values import Confounded

AXES = ("model", "persona", "temperature")
"""And whatever else was swept or selected."""
POOLED_ABOVE = 0.25
"""p above which vendors' reading of single texts counts as that of their models (Bancroft, 1964). So a test of vendors
who do not differ has p < .05 in 3 to 5% of studies where they read texts as their models do, else in 4 to 8%."""


def omnibus(frame: pd.DataFrame, together: Iterable[Confounded] = ()) -> tuple[OmnibusTest, ...]:
    """The tests of every axis that has two levels or more, each question for itself.

    `together` are the factors that go together: one that another decides has no effect of its own, and no test.
    """
    found = tuple(together)
    return tuple(test for question in questions_of(frame) for test in _on_question(frame, question, found))


def _on_question(frame: pd.DataFrame, question: str, together: tuple[Confounded, ...]) -> Iterator[OmnibusTest]:
    scored = frame.loc[frame[SCORE + question].notna()]
    for axis in dict.fromkeys((*AXES, *settings_in(scored))):
        by = decided_by(together, axis)
        if by is not None and scored[axis].nunique() > 1:
            why = f"each {by} has one {axis} only, so that its effect cannot be told from that of the {by}"
            shape = int(scored[axis].nunique()), int(scored["text"].nunique())
            yield _undefined(axis, question, shape, f"{axis} x text", why)
        elif scored[axis].nunique() > 1:
            shared = scored if axis in AXES else _with_all_levels(scored, axis)
            yield _crossed(_table(shared, axis, question), axis, question)
    vendors = scored.groupby("model", observed=True)["vendor"].first()
    if vendors.nunique() > 1:
        yield _nested(_table(scored, "model", question), vendors.astype(str), question)


def _with_all_levels(scored: pd.DataFrame, axis: str) -> pd.DataFrame:
    """The trials of cells that were scored at every level of an axis: a model that has one level moves no mean."""
    strata = scored[axis].astype(str).groupby(codes_of(scored, pairing_of(scored, axis))).transform("nunique")
    return scored[strata == scored[axis].nunique()]


def _table(scored: pd.DataFrame, axis: str, question: str) -> pd.DataFrame:
    """Levels by texts: the mean over the cells of each, every cell alike."""
    others = [name for name in dict.fromkeys((*AXES, *settings_in(scored))) if name != axis]
    cells = scored.groupby([axis, "text", *others], observed=True, sort=False)[SCORE + question].mean()
    return cells.groupby([axis, "text"], observed=True, sort=False).mean().unstack("text")


def _crossed(table: pd.DataFrame, axis: str, question: str) -> OmnibusTest:
    """Levels against levels by texts. A row a level, a column a text."""
    import numpy as np

    values = table.to_numpy(dtype=np.float64)
    levels, texts = values.shape
    if levels < 2:
        return _undefined(axis, question, (levels, texts), f"{axis} x text", "no cell was scored at all of its levels")
    df = levels - 1
    df_error = int((~np.isnan(values)).sum()) - levels - texts + 1
    if texts < 2 or df_error < 1:
        why = "there is one text only" if texts < 2 else "too few texts were scored at two levels"
        return _undefined(axis, question, (levels, texts), f"{axis} x text", why)
    by_text, both = _squares(values)
    f = (by_text - both) / df / (both / df_error) if both > 0 else float("nan")
    return _test(axis, question, (levels, texts), (f, df, df_error), f"{axis} x text")


def _squares(values: Any) -> tuple[float, float]:
    """Residual sums of squares of the least-squares fits by texts, and by texts and levels."""
    import numpy as np

    there = ~np.isnan(values)
    weights = there.astype(np.float64)
    per_text = weights.sum(axis=0)
    kept = per_text > 0
    weights, values, per_text = weights[:, kept], values[:, kept], per_text[kept]
    centred = np.where(weights > 0, values - np.nansum(values, axis=0) / per_text, 0.0)
    by_text = float((centred**2).sum())
    # Texts taken out, the levels' normal equations are small; their rank is one less than their number.
    normal = np.diag(weights.sum(axis=1)) - (weights / per_text) @ weights.T
    right = centred.sum(axis=1)
    effects = np.linalg.lstsq(normal, right, rcond=None)[0]
    rest = max(0.0, by_text - float(effects @ right))
    return by_text, 0.0 if rest <= ALIKE * by_text else rest  # a difference of sums is no surer than that


def _nested(table: pd.DataFrame, vendors: pd.Series[str], question: str) -> OmnibusTest:
    """Vendors against their models. `table` has a row a model, `vendors` the vendor of each."""
    import numpy as np
    import pandas as pd
    from scipy.stats import f as fisher

    whole = table.dropna(axis=1) if table.isna().to_numpy().any() else table
    values = whole.to_numpy(dtype=np.float64)
    of, names = pd.factorize(vendors.reindex(whole.index))
    models, texts = values.shape
    df, df_models = len(names) - 1, models - len(names)
    error = "models within vendors"
    if texts < 2 or df_models < 1:
        why = "there is one text only" if texts < 2 else "each vendor has one model: see the models"
        return _undefined("vendor", question, (len(names), texts), error, why)
    sizes = np.bincount(of).astype(np.float64)
    of_vendor = np.stack([values[of == code].mean(axis=0) for code in range(len(names))])
    centre, by_text = values.mean(), values.mean(axis=0)
    mean_vendor, mean_model = of_vendor.mean(axis=1), values.mean(axis=1)
    squares = texts * float((sizes * (mean_vendor - centre) ** 2).sum()) / df
    inner = texts * float(((mean_model - mean_vendor[of]) ** 2).sum()) / df_models
    across = of_vendor - mean_vendor[:, None] - by_text[None, :] + centre
    vendor_text = float((sizes[:, None] * across**2).sum()) / (df * (texts - 1))
    rest = values - mean_model[:, None] - of_vendor[of] + mean_vendor[of][:, None]
    model_text = float((rest**2).sum()) / (df_models * (texts - 1))
    below, df_error = inner, float(df_models)
    alike = vendor_text / model_text if model_text > 0 else float("inf") if vendor_text > 0 else 0.0
    if fisher.sf(alike, df * (texts - 1), df_models * (texts - 1)) < POOLED_ABOVE:
        below, df_error = satterthwaite(
            (inner, vendor_text, model_text), (1.0, 1.0, -1.0), (df_models, df * (texts - 1), df_models * (texts - 1))
        )
    f = squares / below if below > 0 else float("nan")
    return _test("vendor", question, (len(names), texts), (f, float(df), df_error), error)


def _test(
    axis: str, question: str, shape: tuple[int, int], found: tuple[float, float, float], error: str
) -> OmnibusTest:
    from scipy.stats import f as fisher

    f, df, df_error = found
    why = "the levels do not vary from text to text"
    p = float(fisher.sf(f, df, df_error))
    return OmnibusTest(
        axis, question, *shape, number(f, why), number(df, why), number(df_error, why), number(p, why), error
    )


def _undefined(axis: str, question: str, shape: tuple[int, int], error: str, why: str) -> OmnibusTest:
    none = number(float("nan"), why)
    return OmnibusTest(axis, question, *shape, none, none, none, none, error)
