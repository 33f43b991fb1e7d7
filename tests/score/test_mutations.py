"""A thousand replies made up from known scores: no score is invented, and what is plain is read."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from score_mutations import Maker

from runner import score
from runner.records import Scored

if TYPE_CHECKING:
    from score_mutations import Mutation

A_RUN = 1_000


def _mutations(seed: int) -> list[Mutation]:
    maker = Maker(random.Random(seed))  # noqa: S311  reproducible, and no secret
    return [maker.make() for _ in range(A_RUN)]


@pytest.mark.parametrize("seed", [13, 20261128])
def test_no_score_is_invented_and_what_is_plain_is_read(seed: int) -> None:
    """Each score that is read is one that the reply states for its question; a plain reply has all of them read."""
    invented: list[tuple[str, str]] = []
    lost: list[tuple[str, str]] = []
    for mutation in _mutations(seed):
        reading = score.read(mutation.reply, mutation.questions, mutation.fmt)
        wrong = {
            name: value
            for name, value in reading.scores.items()
            if value is not None and value not in mutation.allowed[name]
        }
        if wrong:
            invented.append((f"{mutation.kind}: {wrong}", mutation.text))
        elif mutation.plain and not isinstance(reading, Scored):
            lost.append((f"{mutation.kind}: {reading.problem}", mutation.text))
    assert invented == []
    assert lost == []


def test_the_mutations_are_many_kinds_in_both_languages() -> None:
    """A run holds every kind several times, plain and distracted replies, and both languages."""
    made = _mutations(13)
    kinds = Counter(mutation.kind.split(" [")[0].split(" {")[0] for mutation in made)
    assert len(kinds) > 60
    assert 300 < sum(mutation.plain for mutation in made) < 700
    assert min(sum(f"[{language}" in mutation.kind for mutation in made) for language in ("ja", "en")) > 300
