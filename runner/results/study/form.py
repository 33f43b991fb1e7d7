"""What is the same in every file of the study: its questions, its personas, its columns.

Facts and formats of N. Shirahama's study (llm-literary-analysis): four questions from 0 to 100 with a reason each,
asked in Japanese, answered in labelled lines.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from runner.records import PromptTemplate, Question, Row, Scored, Tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.records import Reading

QUESTIONS = (
    Question("interesting", "面白さ", "どのくらい面白いと感じましたか。"),
    Question("surprise", "驚き", "どのくらい驚きましたか。"),
    Question("sadness", "悲しみ", "どのくらい悲しくなりましたか。"),
    Question("anger", "怒り", "どのくらい怒りを覚えましたか。"),
)
PROMPT = PromptTemplate("study", "ja", system="", user="", questions=QUESTIONS, reply="labelled")
"""Says how replies are read and written. What was sent is not in the study's files."""

PERSONAS = {"p1": "大学１年生", "p2": "文学研究者", "p3": "感情豊かな詩人", "p4": "無感情なロボット"}


def row_of(
    names: Mapping[str, str],
    *,
    repetition: int,
    temperature: float | None,
    reading: Reading,
    reply: str | None,
    time: str | None,
) -> Row:
    """A trial of the study as a row. `names` holds vendor, model, model_id, persona and text.

    `time` has no zone, because the study's files give none. `run` is filled in when the whole import is known. Nothing
    was bought, so there is neither a source nor a price.
    """
    sampling = {} if temperature is None else {"temperature": temperature}
    identity = {**names, "repetition": repetition, **sampling}
    return Row(
        run="",
        job=0,
        cell=f"{names['model']}/{names['persona']}",
        key=hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest(),
        model=names["model"],
        model_id=names["model_id"],
        provider=names["vendor"],
        vendor=names["vendor"],
        persona=names["persona"],
        text=names["text"],
        repetition=repetition,
        route="live",
        outcome="scored" if isinstance(reading, Scored) else "unscorable",
        scores=reading.scores,
        reasons=reading.reasons,
        answers=reading.answers,
        reply=reply,
        problem=None if isinstance(reading, Scored) else reading.problem,
        requested=sampling,
        sent=sampling,
        dropped=(),
        rung="prompt",
        attempts=1,
        latency_s=None,
        tokens=Tokens(),
        price_usd=None,
        model_version=None,
        fingerprint=None,
        time=time,
        source=None,
    )
