"""The advice for a terminal: designs beside each other, how sure the best is of what, and the command that buys it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from runner.reporting.design.precision import TEXT
from runner.reporting.formatting import count, many, money, plain
from runner.reporting.terminal import empty_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.table import Table

    from runner.reporting.design.search import Advice, Basis, Candidate, Goal

FOLDER = "texts"
"""The folder of texts that a command names where it needs more than there are."""


def tables(advice: Advice) -> Iterator[Table]:
    """The designs, then the standard errors of the best."""
    yield _designs(advice)
    yield _contrasts(advice)


def compared(axis: str) -> str:
    """What a design is judged by, in words."""
    return "one model's mean" if axis == "mean" else f"the difference of two {axis}s"


def _designs(advice: Advice) -> Table:
    from rich.text import Text

    figures = ("texts", "repeti-\ntions", "prompts", "models", "requests", "USD", "SE", "95%\n±", "detect-\nable")
    shown = empty_table(f"Designs for {compared(advice.axis)}, in points", ["design"], figures)
    for one in advice.candidates:
        shown.add_row(*map(Text, _line(one, advice.best)))
    widest = "" if len(advice.basis.questions) < 2 else " Each is judged by the question that it is least sure of."
    shown.caption = Text(
        "Over texts like these: the text is the unit, Student's t with texts - 1 df. detectable: the true difference "
        f"found with p < .05 in 80% of studies, by one comparison alone.{widest}"
    )
    shown.caption_justify = "left"
    return shown


def _line(one: Candidate, best: Candidate) -> tuple[str, ...]:
    fewer = "fewer models" if len(one.models) < len(best.models) else ""
    name = "best" if one is best else "as asked" if one.asked else fewer
    return (
        name,
        count(one.shape.texts),
        f"{one.shape.repetitions}",
        f"{one.shape.levels.get('prompt', 1)}",
        f"{len(one.models)}",
        count(one.shape.requests),
        "?" if one.usd is None else money(one.usd),
        plain(one.widest.se),
        plain(one.widest.halfwidth, 1),
        plain(one.widest.detectable, 1),
    )


def _contrasts(advice: Advice) -> Table:
    from rich.text import Text

    figures = ("SE", "df", "95%\n±", "detect-\nable")
    shown = empty_table("The best design, contrast by contrast", ["contrast", "question"], figures)
    before = ""
    for one in advice.precisions:
        what = compared(one.axis)
        numbers = (plain(one.se), f"{one.df}", plain(one.halfwidth, 1), plain(one.detectable, 1))
        shown.add_row(Text("" if what == before else what), Text(one.question), *numbers)
        before = what
    return shown


# ---- the command -----------------------------------------------------------------------------------------------------


def remarks(advice: Advice) -> Iterator[str]:
    """What is assumed, and the command that buys the best design."""
    best = advice.best
    yield from advice.basis.assumed
    yield f"best:  {said(best)}"
    if advice.basis.overrides is None:
        yield "This run was imported or made by a script: no command of the runner buys it."
        return
    if needs_folder(advice.basis, best):
        yield f"First put {many(best.shape.texts, 'text')} into the folder {FOLDER}/, each a .txt file in UTF-8."
    yield f"buy it: {command(advice.basis, best)}"


def said(one: Candidate) -> str:
    """A design in words."""
    parts = [many(one.shape.texts, "text"), many(one.shape.repetitions, "repetition")]
    parts += [many(size, name) for name, size in one.shape.levels.items()]
    usd = "" if one.usd is None else f", about ${money(one.usd)}"
    return f"{' x '.join(parts)} = {many(one.shape.requests, 'request')}{usd}"


def needs_folder(basis: Basis, best: Candidate) -> bool:
    """Whether the design has more texts than there are, or fewer of which none can be named."""
    return best.shape.texts > basis.shape.texts or (best.shape.texts < basis.shape.texts and not basis.texts)


def command(basis: Basis, best: Candidate) -> str:
    """What buys a design: what the basis was typed with, its texts, repetitions, prompts and models in place of those.

    Prompts that are still to be written are called PROMPT_2 and so on.
    """
    words = [*(basis.overrides or ())]
    if len(best.models) < len(basis.prices):
        words = [*_without(words, "model"), f"model=[{','.join(best.models)}]"]
    if needs_folder(basis, best):
        limit = f"text.folder.limit={best.shape.texts}"
        words = [*_without(words, TEXT), "text=folder", f"text.folder.path={FOLDER}", limit]
    elif best.shape.texts < basis.shape.texts:
        words = [*_without(words, TEXT), f"text=[{','.join(basis.texts[: best.shape.texts])}]"]
    if best.shape.levels.get("prompt", 1) > basis.shape.levels.get("prompt", 1):
        words = _more_prompts(words, basis.shape.levels.get("prompt", 1), best.shape.levels["prompt"])
    return shlex.join(["runner", *words, f"sampling.trials={best.shape.repetitions}"])


def _without(words: Sequence[str], group: str) -> list[str]:
    """The words but those that choose from a config group, or set something in it."""
    return [word for word in words if not word.lstrip("+~").startswith((f"{group}=", f"{group}.", f"{group}@"))]


def _more_prompts(words: Sequence[str], have: int, want: int) -> list[str]:
    own = next((word.partition("=")[2] for word in words if word.startswith("prompt=")), "affect")
    further = (f"PROMPT_{number}" for number in range(have + 1, want + 1))
    swept = [] if "-m" in words else ["-m"]
    rest = [word for word in words if not word.startswith("prompt=")]
    return [*swept, *rest, f"prompt={','.join([own, *further])}"]


def unmet(goal: Goal) -> str:
    """Why no design was found."""
    if goal.halfwidth is not None:
        return f"no design of up to {many(goal.most_texts, 'text')} comes within {goal.halfwidth:g} points"
    asked = many(goal.requests, "request") if goal.requests is not None else f"${goal.budget_usd:g}"
    return f"{asked} buys no two texts, and an interval over texts needs two or more"
