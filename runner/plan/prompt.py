"""Persona + text -> the system and user strings that every model is sent, and the shape of the reply asked for.

Templates are Jinja in a sandbox. They see, and nothing else:

    persona        the persona's description, in the prompt's language
    text           content, title, author, language, name ("" where the text has none)
    questions      for each: number (from 1), name, label, wording, low, high
    reply_format   how to write the answers; added below the user template where neither template places it

Every name in a template is checked when the manager is made, so a typo costs no request. A text is a value, never a
template: braces in it stay as they are. Nothing random is offered, so that equal inputs give equal strings and keys.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import TYPE_CHECKING, NoReturn

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from runner.errors import ConfigError, nearest
from runner.plan.reply_keys import reply_keys
from runner.records import Prompt

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jinja2 import Template

    from runner.records import Json, Persona, PromptTemplate, Question, Text

VARIABLES = ("persona", "text", "questions", "reply_format")
KEPT = 1024
"""Rendered strings that a manager keeps: its personas' systems and, mostly, its texts' users."""
RENDERING_ERRORS = (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError)
"""What a template of the user's can raise. Jinja lets Python's own errors through as they are."""


@dataclass(frozen=True, slots=True)
class TextView:
    """What a template sees of a text: nothing that is not for the model, such as its path."""

    content: str
    title: str
    author: str
    language: str
    name: str


@dataclass(frozen=True, slots=True)
class QuestionView:
    """What a template sees of a question. Whole numbers are ints, so that 100.0 is written 100."""

    number: int
    name: str
    label: str
    wording: str
    low: int | float
    high: int | float


@dataclass(frozen=True, slots=True)
class Words:
    """The fixed words of the reply format in one language."""

    json: str
    labelled: str
    value: str
    reason: str
    sentence: str


WORDS: Mapping[str, Words] = {
    "en": Words(
        json='Reply with one JSON object and nothing else. It has the keys {}, and under each an object with "score", '
        'the number, and "reason", one short sentence about the text.',
        labelled="Reply with these lines and nothing else:",
        value="value",
        reason="reason",
        sentence="one short sentence",
    ),
    "ja": Words(
        json="JSONオブジェクトを一つだけ返し、ほかには何も書かないでください。キーは{}とし、それぞれに "
        '"score"（数値）と"reason"（日本語の短い一文）を持つオブジェクトを入れてください。',
        labelled="次の形の行だけで答え、ほかには何も書かないでください。",
        value="数値",
        reason="理由",
        sentence="短い一文",
    ),
}
"""Language -> words. A prompt in another language gets the English ones, unless its template writes its own."""


class PromptManager:
    """One prompt's templates, checked and compiled: get_prompt for each persona and text, reply_schema for all.

    ConfigError, naming the prompt's file and the key, for a syntax error, an unknown name, or a template that cannot
    be rendered.
    """

    def __init__(self, template: PromptTemplate) -> None:
        self.template = template
        self.where = f"prompt/{template.name}.yaml"
        self.questions = tuple(_question_view(number, q) for number, q in enumerate(template.questions, start=1))
        self.reply_format = reply_format(template)
        environment = _environment()
        trees = {key: self._parsed(environment, key) for key in ("system", "user")}
        self._names = {key: meta.find_undeclared_variables(tree) for key, tree in trees.items()}
        placed = any("reply_format" in names for names in self._names.values())
        self._suffix = "" if placed else f"\n\n{self.reply_format}"
        self._compiled = {key: environment.from_string(tree) for key, tree in trees.items()}
        self._render_once = lru_cache(KEPT)(self._render)
        self._try_out()

    def get_prompt(self, persona: Persona, text: Text) -> Prompt:
        """The same two strings for every model; what a model cannot take is capability's to adapt.

        ConfigError where the persona has no description in the prompt's language, nor one for every language ("*").
        """
        return self._rendered(
            self._description(persona),
            TextView(text.content, text.title, text.author, text.language, text.name),
        )

    def reply_schema(self) -> dict[str, Json] | None:
        """JSON schema of the reply; None where labelled lines are asked for. The same shape for one question or many.

        All keys (see reply_keys) are required and no others allowed, as OpenAI's strict mode wants. The score precedes
        its reason, as in the labelled lines: both formats then measure the same thing, a first rating and then its
        grounds.
        """
        if self.template.reply == "labelled":
            return None
        bound = self.template.reason_max_chars
        keys = reply_keys(self.template.questions)
        return _object({key: _answer(question, bound) for key, question in zip(keys, self.questions, strict=True)})

    def names(self, variable: str) -> bool:
        """Whether a template makes use of one of VARIABLES."""
        return any(variable in names for names in self._names.values())

    def _description(self, persona: Persona) -> str:
        language = self.template.language
        description = persona.description.get(language) or persona.description.get("*")
        if description:
            return description
        has = ", ".join(sorted(persona.description)) or "none"
        raise ConfigError(
            f"persona '{persona.name}' has no description in '{language}', which prompt '{self.template.name}' is in; "
            f"it has: {has}",
            where=f"persona/{persona.name}.yaml",
            key=f"description.{language}",
            advice=f"runner '++persona.{persona.name}.description.{language}=\"...\"'",
        )

    def _rendered(self, persona: str, text: TextView) -> Prompt:
        return Prompt(system=self._string("system", persona, text), user=self._string("user", persona, text))

    def _string(self, key: str, persona: str, text: TextView) -> str:
        """One template rendered, once for all personas or texts that it does not name."""
        names = self._names[key]
        return self._render_once(key, persona if "persona" in names else "", text if "text" in names else None)

    def _render(self, key: str, persona: str, text: TextView | None) -> str:
        compiled: Template = self._compiled[key]
        try:
            rendered = compiled.render(
                persona=persona, text=text, questions=self.questions, reply_format=self.reply_format
            )
        except RENDERING_ERRORS as error:
            self._refuse(key, f"the template cannot be rendered: {error}", error)
        return rendered + self._suffix if key == "user" else rendered

    def _try_out(self) -> None:
        """Render with every field filled and with every optional one empty, to meet both sides of most conditions."""
        self._rendered("a reader", TextView("words", "title", "author", "en", "name"))
        self._rendered("a reader", TextView("words", "", "", "", "name"))

    def _parsed(self, environment: ImmutableSandboxedEnvironment, key: str) -> nodes.Template:
        source = (self.template.system if key == "system" else self.template.user).strip("\n")
        try:
            tree = environment.parse(source)
            undeclared = meta.find_undeclared_variables(tree)  # compiles, so it finds unknown filters too
        except TemplateSyntaxError as error:
            self._refuse(key, f"line {error.lineno}: {error.message}", error)
        for name in sorted(undeclared - {*VARIABLES}):
            self._refuse(key, f"the template names an unknown variable '{name}': {nearest(name, VARIABLES)}")
        for attribute, line, owner, known in _unknown_attributes(tree):
            self._refuse(key, f"line {line}: '{owner}' has no '{attribute}': {nearest(attribute, known)}")
        return tree

    def _refuse(self, key: str, message: str, cause: Exception | None = None) -> NoReturn:
        advice = f"runner --cfg job --package prompt.{self.template.name}"
        raise ConfigError(message, where=self.where, key=key, advice=advice) from cause


def reply_format(template: PromptTemplate) -> str:
    """The ready instruction on how to write the answers, for JSON or labelled lines, in the prompt's language."""
    words = WORDS.get(template.language, WORDS["en"])
    questions = [_question_view(number, question) for number, question in enumerate(template.questions, start=1)]
    if template.reply == "labelled":
        return "\n".join(
            [words.labelled, *(line for question in questions for line in _labelled_lines(question, words))]
        )
    # Told, not shown: a very small model copies whatever could stand in a reply, placeholders and example values alike.
    keys = reply_keys(template.questions)
    listed = ", ".join(f'"{key}"' for key in keys)
    named = zip(keys, template.questions, strict=True)
    stand_ins = ", ".join(f"{key}: {question.label}" for key, question in named if key != question.name)
    return words.json.format(f"{listed} ({stand_ins})" if stand_ins else listed)


def _labelled_lines(question: QuestionView, words: Words) -> Iterator[str]:
    head = f"Q{question.number}. {question.label}"
    yield f"{head}({words.value}): <{question.low}-{question.high}>"
    yield f"{head}({words.reason}): <{words.sentence}>"


def _question_view(number: int, question: Question) -> QuestionView:
    low, high = (int(end) if float(end).is_integer() else end for end in (question.low, question.high))
    return QuestionView(number, question.name, question.label, question.wording, low, high)


def _answer(question: QuestionView, reason_max_chars: int) -> dict[str, Json]:
    whole = isinstance(question.low, int) and isinstance(question.high, int)
    score = {"type": "integer" if whole else "number", "minimum": question.low, "maximum": question.high}
    return _object({"score": score, "reason": {"type": "string", "minLength": 1, "maxLength": reason_max_chars}})


def _object(properties: dict[str, Json]) -> dict[str, Json]:
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


# ---- templates ------------------------------------------------------------------------------------------------------


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined,
        autoescape=False,  # plain text for a model: escaping would change what it reads
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # Equal inputs must give equal strings.
    del environment.filters["random"], environment.globals["lipsum"]
    return environment


def _unknown_attributes(tree: nodes.Template) -> Iterator[tuple[str, int, str, tuple[str, ...]]]:
    """(attribute, line, owner, valid names) for each misnamed field of `text`, a question, or the plain strings.

    Found in the syntax tree, since a try-out reaches only the branches that its values open.
    """
    known = _fields_by_name(tree)
    accesses: list[nodes.Getattr | nodes.Getitem] = [*tree.find_all(nodes.Getattr), *tree.find_all(nodes.Getitem)]
    for access in accesses:
        owner = access.node.name if isinstance(access.node, nodes.Name) else ""
        attribute = _attribute(access)
        if owner in known and attribute is not None and attribute not in known[owner]:
            yield attribute, access.lineno, owner, known[owner]


def _fields_by_name(tree: nodes.Template) -> dict[str, tuple[str, ...]]:
    """Variable -> the names that may follow its dot, for those whose kind is certain."""
    known = {"text": tuple(f.name for f in fields(TextView)), "persona": _STRING, "reply_format": _STRING}
    questions = tuple(f.name for f in fields(QuestionView))
    for loop in tree.find_all(nodes.For):
        if isinstance(loop.target, nodes.Name) and isinstance(loop.iter, nodes.Name) and loop.iter.name == "questions":
            known[loop.target.name] = questions
    stored = [name.name for name in tree.find_all(nodes.Name) if name.ctx != "load"]
    return {name: valid for name, valid in known.items() if stored.count(name) == (1 if valid is questions else 0)}


def _attribute(access: nodes.Getattr | nodes.Getitem) -> str | None:
    if isinstance(access, nodes.Getattr):
        return access.attr
    constant = access.arg.value if isinstance(access.arg, nodes.Const) else None
    return constant if isinstance(constant, str) else None


_STRING = tuple(name for name in dir(str) if not name.startswith("_"))
