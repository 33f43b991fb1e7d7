"""Rows of results, counted: numbers and short codes only, no reply but each cell's first.

Every table, statistic and metric is a function of tallies, so that what counts is decided here and nowhere else: a
question's score counts wherever it was read. What another question of the same reply lacks costs it nothing, and a
value that is missing never counts as a score. 100,000 rows cost a few megabytes.
"""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from math import nan
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple, Self

from runner import fastjson
from runner.plan.nuisance import PLACEMENT, PLACES
from runner.results.factors import shown

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from runner.records import ItemScale, Row

OF_CELL = ("job", "cell", "vendor", "provider", "model", "model_id", "persona", "temperature")
"""Labels that all trials of a cell and temperature share. `temperature` is the one sent, or "" where none was."""
OF_TRIAL = ("text", "rung", "problem", "placement")
"""Labels that trials of a cell may differ in: which text, how structure was asked for, the kind of problem, and in what
role the persona stood."""
FLAGS = ("replied", "scored", "in_scale", "metadata", "reasoned", "bought")
NUMBERS = ("latency_s", "tokens_input", "tokens_output", "price_usd", "saved_usd", "earlier_usd")


class Served(NamedTuple):
    """A model, and a name under which it answered."""

    model: str
    name: str
    declared: bool
    """Whether the model's file declares that name."""


@dataclass(slots=True)
class LabelColumn:
    """A column of values that rows share, kept as four bytes a row."""

    index: dict[Hashable, int] = field(default_factory=dict)
    codes: array[int] = field(default_factory=lambda: array("i"))

    def append(self, value: Hashable) -> None:
        """Add a row's value."""
        self.codes.append(self.index.setdefault(value, len(self.index)))


@dataclass(slots=True)
class Tally:
    """Everything that the tables need of the rows added so far, in about eighty bytes a row."""

    rows: int = 0
    labels: LabelColumn = field(default_factory=LabelColumn)
    """Each row's values of OF_CELL: hardly more than there are cells."""
    of_trial: dict[str, LabelColumn] = field(default_factory=lambda: {name: LabelColumn() for name in OF_TRIAL})
    flags: bytearray = field(default_factory=bytearray)
    """A bit for each of FLAGS."""
    numbers: dict[str, array[float]] = field(default_factory=lambda: {name: array("d") for name in NUMBERS})
    """NaN where unknown."""
    scores: dict[str, array[float]] = field(default_factory=dict)
    """Question, or scale -> its score in each row, NaN where there is none."""
    choices: dict[str, LabelColumn] = field(default_factory=dict)
    """Question that is no plain number -> its answer in each row, as JSON, or "" where there is none. No words."""
    scales: tuple[ItemScale, ...] = ()
    """Scores that are made of several questions' here: rows do not have them."""
    asked: dict[tuple[int, str], dict[str, None]] = field(default_factory=dict)
    """Job and prompt -> the questions that it asks."""
    factors: dict[str, LabelColumn] = field(default_factory=dict)
    """Each row's factors, as text."""
    prompts: LabelColumn = field(default_factory=LabelColumn)
    """Each row's job and prompt, as in `asked`."""
    answers: array[int] = field(default_factory=lambda: array("q"))
    """A hash of what makes two rows of different jobs one answer. Other processes hash otherwise."""
    first: dict[str, Row] = field(default_factory=dict)
    """Each cell's first row."""
    served: Counter[Served] = field(default_factory=Counter)
    """Which models answered, and how often."""

    last: tuple[Hashable, ...] = ()
    """The trial of the last row, where each question had a request of its own: its next row belongs to it."""

    @classmethod
    def of(cls, rows: Iterable[Row], scales: tuple[ItemScale, ...] = ()) -> Self:
        """A tally of all rows, which may be an iterator over a file."""
        counted = cls(scales=scales)
        for row in rows:
            counted.add(row)
        return counted

    def add(self, row: Row) -> None:
        """Count one trial. The rows of one whose questions were asked one by one follow one another, and are one."""
        if row.question is not None and self._goes_on(row):
            self._join(row)
            return
        self.first.setdefault(row.compared_in, row)
        if row.model_version is not None:
            self.served[Served(row.model, row.model_version, row.served is None)] += 1
        self.labels.append(_labels_of(row))
        for labels, value in zip(self.of_trial.values(), _of_trial(row), strict=True):
            labels.append(value)
        self.flags.append(_flags_of(row))
        for column, number in zip(self.numbers.values(), _numbers_of(row), strict=True):
            column.append(nan if number is None else number)
        prompt = _prompt_of(row)
        self.prompts.append(prompt)
        if row.factors or self.factors:
            self._add_factors(row)
        self._score(row, prompt)
        self.answers.append(hash((row.key, row.model, row.persona, row.text, row.repetition, *row.scores.values())))
        self.rows += 1
        if row.answers or self.choices:
            self._choose(row)
        if self.scales:
            self._add_scales(prompt)

    def _score(self, row: Row, prompt: tuple[int, str]) -> None:
        if not row.scores.keys() <= self.asked.setdefault(prompt, {}).keys():
            self.asked[prompt] |= dict.fromkeys(row.scores)
            for question in row.scores:
                self.scores.setdefault(question, array("d", [nan]) * self.rows)
        for question, column in self.scores.items():
            score = row.scores.get(question)
            column.append(nan if score is None else score)

    def _goes_on(self, row: Row) -> bool:
        """Whether a row is another request of the last row's trial."""
        before, self.last = self.last, (*_prompt_of(row), row.compared_in, row.text, row.repetition)
        return before == self.last

    def _join(self, row: Row) -> None:
        """Take up another question of the last trial: whole where all are, and paid for each."""
        together = sum(1 << FLAGS.index(name) for name in FLAGS if name != "bought")
        now, new = self.flags[-1], _flags_of(row)
        self.flags[-1] = (now & new & together) | ((now | new) & ~together)
        for column, number in zip(self.numbers.values(), _numbers_of(row), strict=True):
            column[-1] = nan if number is None else column[-1] + number
        problems = self.of_trial["problem"]
        if row.problem is not None and problems.codes[-1] == problems.index.get(""):
            problems.codes[-1] = problems.index.setdefault(row.problem.kind, len(problems.index))
        for question, score in row.scores.items():
            column = self.scores.setdefault(question, array("d", [nan]) * self.rows)
            column[-1] = nan if score is None else score
        self.asked[_prompt_of(row)] |= dict.fromkeys(row.scores)
        self.answers[-1] = hash((self.answers[-1], row.key, *row.scores.values()))
        if row.answers:
            self._choose(row, joined=True)
        if self.scales:
            self._add_scales(_prompt_of(row))

    def _choose(self, row: Row, *, joined: bool = False) -> None:
        """Take up the answers that are no plain numbers."""
        for question, given in row.answers.items():
            if given is not None and isinstance(given.value, str) and given.label is None:
                continue  # words of a model's own, which nobody counts
            self.asked[_prompt_of(row)].setdefault(question)
            column = self.choices.get(question)
            if column is None:
                column = self.choices[question] = LabelColumn({"": 0}, array("i", [0]) * (self.rows - (not joined)))
            if joined:
                column.codes.pop()
            column.append("" if given is None else fastjson.dumps(given.value).decode())
        for column in self.choices.values():
            if len(column.codes) < self.rows:
                column.append("")

    def _add_scales(self, prompt: tuple[int, str]) -> None:
        """The scales' scores of the last trial: the mean of the items', where its prompt asks all and all are there."""
        for scale in self.scales:
            if not self.scores.keys() >= {*scale.items}:
                continue  # asked one by one, and the first trial's have not all come
            column = self.scores.setdefault(scale.name, array("d", [nan]) * self.rows)
            column.extend([nan] * (self.rows - len(column)))
            if self.asked[prompt].keys() >= {*scale.items}:
                self.asked[prompt][scale.name] = None
                column[-1] = sum(self.scores[item][-1] for item in scale.items) / len(scale.items)

    def _add_factors(self, row: Row) -> None:
        for name in row.factors:
            if name not in self.factors:
                self.factors[name] = LabelColumn({"": 0}, array("i", bytes(4 * self.rows)))
        for name, labels in self.factors.items():
            value = row.factors.get(name)
            labels.append(value if type(value) is str else shown(value))


_FIELDS = {"cell": "compared_in", "model": "answered_by"}
"""Columns whose values are not those of the field of their name."""
_LABELS_OF = attrgetter(*(_FIELDS.get(name, name) for name in OF_CELL[:-1]))


def _prompt_of(row: Row) -> tuple[int, str]:
    """The job and the prompt of a row."""
    return row.job, str(row.factors.get("prompt", ""))


def _labels_of(row: Row) -> tuple[Hashable, ...]:
    """In the order of OF_CELL."""
    temperature = row.sent.get("temperature")
    return (*_LABELS_OF(row), "" if temperature is None else f"{temperature:g}")


def _of_trial(row: Row) -> tuple[str, str, str, str]:
    """In the order of OF_TRIAL."""
    merged = row.factors.get(PLACEMENT) == PLACES[1] or any(one.parameter == "system" for one in row.dropped)
    placement = "user" if merged else "system"
    return row.text, row.rung, row.problem.kind if row.problem else "", placement


def _flags_of(row: Row) -> int:
    """The bits of FLAGS, the first one lowest."""
    replied, scored = row.outcome != "failed", row.outcome == "scored"
    in_scale = scored or row.problem is None or row.problem.kind != "out_of_range"
    metadata = bool(replied and row.model and row.persona and row.text and row.key) and _is_time(row.time)
    has_reasons = bool(row.reasons or row.answers)  # words of a model's own have none
    reasoned = replied and has_reasons and all(reason and reason.strip() for reason in row.reasons.values())
    bought = row.source == "bought"
    return replied | scored << 1 | in_scale << 2 | metadata << 3 | reasoned << 4 | bought << 5


def _is_time(time: str | None) -> bool:
    try:
        datetime.fromisoformat(time or "")
    except ValueError:
        return False
    return True


def _numbers_of(row: Row) -> tuple[float | None, ...]:
    """In the order of NUMBERS."""
    return (row.latency_s, row.tokens.input, row.tokens.output, row.price_usd, row.saved_usd, row.earlier_usd)
