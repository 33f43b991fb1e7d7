"""How much of the design has a score, question by question, and why the rest has none.

The design is what an experiment asks for, every model, persona, text and repetition. A trial of it that has no row, as
in the table of an import, counts as one without a score, for the reason `absent`: a share is of what was to be asked,
not of what came.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

from runner.plan.nuisance import repetitions_of
from runner.reporting.stats.frame import SCORE, asked_of, codes_of, further, is_covariate, questions_of
from runner.reporting.stats.values import Coverage
from runner.results.frame import CHOICE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd

    from runner.records import Experiment, PromptTemplate

ABSENT = "absent"
"""Outcome, and kind of problem, of a trial of the design of which there is no row."""
MOST_PLACES = 2_000
"""Most texts of models that are listed for one question."""
PROMPT = "prompt"


def with_absent(frame: pd.DataFrame, experiments: Mapping[int, Experiment]) -> pd.DataFrame:
    """The table with a line for each trial that a job's experiment asks for and that has no row.

    `experiments` by the job's number. A line has what another of its model and persona has, as their temperature.
    """
    import pandas as pd

    lacking = [
        lines for job, experiment in experiments.items() if len(lines := _absent(frame, job, experiment))
    ]  # most often there is none
    if not lacking:
        return frame
    both = pd.concat([frame.astype(_plain(frame)), *lacking], ignore_index=True)
    both.attrs.update(frame.attrs)
    return both.astype(dict.fromkeys(_plain(frame), "category"))


def _plain(frame: pd.DataFrame) -> dict[Any, type]:
    return {name: object for name in frame.columns if str(frame[name].dtype) == "category"}


def _planned(experiment: Experiment, prompts: Sequence[PromptTemplate]) -> list[int]:
    """How often each text was to be asked, in the order of models, personas, texts, prompts."""
    models = experiment.models
    each = {(one.name, prompt.name): repetitions_of(experiment, prompt, one) for one in models for prompt in prompts}
    items = models, experiment.personas, experiment.texts, prompts
    return [each[model.name, prompt.name] for model, _, _, prompt in product(*items)]


def _absent(frame: pd.DataFrame, job: int, experiment: Experiment) -> pd.DataFrame:
    """The lines of one job: none where it has as many rows as trials, whatever models answered."""
    import numpy as np
    import pandas as pd

    own = frame[frame["job"] == job]
    items: dict[str, Sequence[Any]] = {
        "model": experiment.models,
        "persona": experiment.personas,
        "text": experiment.texts,
    }
    if PROMPT in own.columns and experiment.further_prompts:
        items[PROMPT] = experiment.prompts
    place, names = [*items], [[one.name for one in some] for some in items.values()]
    planned = _planned(experiment, experiment.prompts if PROMPT in items else (experiment.prompt,))
    if own.empty or len(own) >= sum(planned):
        return own.iloc[:0]
    there = own.groupby([own[name].astype(str) for name in place]).size()
    there = there.reindex(pd.MultiIndex.from_product(names, names=place), fill_value=0)
    wanted = (pd.Series(planned, index=there.index) - there).clip(lower=0)
    lines = wanted[wanted > 0].reset_index(name="count")
    lines = lines.loc[lines.index.repeat(lines["count"])].drop(columns="count")
    of_cell = own.astype({"model": str, "persona": str}).drop_duplicates(["model", "persona"])
    like = of_cell.set_index(["model", "persona"])[["temperature", "rung", "placement"]].astype(object)
    lines = lines.join(like, on=["model", "persona"]).fillna({"temperature": "", "rung": "", "placement": ""})
    vendors = {model.name: model.vendor for model in experiment.models}
    lines = lines.assign(**_like_their_own(lines, own))
    scores = {name: np.nan for name in frame.columns if str(name).startswith(SCORE)}
    choices = {name: "" for name in frame.columns if str(name).startswith(CHOICE)}
    whole = lines.assign(
        job=job, cell=lines["model"] + "/" + lines["persona"], vendor=lines["model"].map(vendors), outcome=ABSENT,
        problem=ABSENT, again=False, answer=0, **scores, **choices,
    )  # fmt: skip
    return whole[list(frame.columns)]


def _like_their_own(lines: pd.DataFrame, own: pd.DataFrame) -> dict[str, Any]:
    """The factors of lines without a row: what the rows of their persona, or text, or of the whole job have in common.

    And `asked`, which is of the prompt.
    """
    found: dict[str, Any] = {}
    for name in ("asked", *further(own)):
        if name in lines.columns:
            continue
        group = name.partition(".")[0] if is_covariate(own, name) else PROMPT if PROMPT in lines.columns else None
        if group is None:
            values = own[name].astype(str).unique()
            found[name] = values[0] if len(values) == 1 else ""
        else:
            by = dict(zip(own[group].astype(str), own[name].astype(str), strict=True))
            found[name] = lines[group].astype(str).map(by).fillna("")
    return found


def coverage(frame: pd.DataFrame) -> tuple[Coverage, ...]:
    """Each question as a whole, and then the texts of models that lack scores, the worst first."""
    return tuple(one for question in questions_of(frame) for one in _of_question(asked_of(frame, question), question))


def _of_question(frame: pd.DataFrame, question: str) -> Iterator[Coverage]:
    import numpy as np
    import pandas as pd

    there = frame[SCORE + question].notna().to_numpy()
    reasons = reasons_of(frame, question, np.zeros(len(frame), dtype=np.int64))
    yield Coverage(question, None, None, len(frame), int(there.sum()), reasons.get(0, {}))
    places = codes_of(frame, ("model", "text"))
    planned, n = np.bincount(places), np.bincount(places, weights=there).astype(int)
    firsts = frame.iloc[np.unique(places, return_index=True)[1]]
    why = reasons_of(frame, question, places)
    short = pd.Series(n / planned)[n < planned].sort_values(kind="stable").index[:MOST_PLACES]
    texts, models = firsts["text"].astype(str).to_list(), firsts["model"].astype(str).to_list()
    for place in short:
        yield Coverage(question, texts[place], models[place], int(planned[place]), int(n[place]), why.get(place, {}))


def reasons_of(frame: pd.DataFrame, question: str, codes: Any) -> dict[int, dict[str, int]]:
    """By the code of each trial's group: kind of problem -> trials without a score of the question that have it."""
    unread = frame[SCORE + question].isna().to_numpy() & (frame["problem"] != "").to_numpy()
    problems = frame["problem"].astype(str)[unread]
    found: dict[int, dict[str, int]] = {}
    counts = problems.groupby([codes[unread], problems]).size()
    for code, kind, count in counts.rename("count").rename_axis(["code", "kind"]).reset_index().itertuples(index=False):
        found.setdefault(int(code), {})[str(kind)] = int(count)
    return found
