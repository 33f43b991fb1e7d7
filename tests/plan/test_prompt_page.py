"""docs/prompts.md, where template variables are documented."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from runner.plan.prompt import VARIABLES, TextView
from runner.plan.reply_format import QuestionView

PAGE = Path(__file__).resolve().parents[2] / "docs" / "prompts.md"


def test_the_page_names_exactly_the_variables_there_are() -> None:
    """Every name that a template may use is in the page's table, and the table has no other."""
    told = re.findall(r"^\| `([\w.]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    of_text = [f"text.{field.name}" for field in fields(TextView)]
    of_question = [f"question.{field.name}" for field in fields(QuestionView)]
    plain = [name for name in VARIABLES if name != "text"]
    assert sorted(told) == sorted([*plain, *of_text, *of_question])
