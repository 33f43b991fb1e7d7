"""Persona + text -> the system and user strings that every model is sent, and the shape of the reply asked for.

Templates are Jinja in a sandbox. They see, and nothing else:

    persona        the persona's description, in the prompt's language
    text           content, title, author, language, name ("" where the text has none)
    questions      for each: number (from 1), name, label, wording, low, high, kind, step, options, least, most,
                   max_chars
                   and of its options, for each: number (from 1), name, label
    reply_format   how to write the answers; added below the user template where neither template places it

Every name in a template is checked when the manager is made, so a typo costs no request. A text is a value, never a
template: braces in it stay as they are. Nothing random is offered, so that equal inputs give equal strings and keys.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import TYPE_CHECKING, NoReturn

from jinja2 import TemplateSyntaxError, meta, nodes

from runner.config import templates
from runner.config.templates import RENDERING_ERRORS
from runner.errors import ConfigError, nearest
from runner.plan.reply_format import QuestionView, folded, question_view, reply_format, reply_schema, untold
from runner.records import Prompt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jinja2 import Template
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    from runner.records import Json, Persona, PromptTemplate, Text

VARIABLES = ("persona", "text", "questions", "reply_format")
KEPT = 1024
"""Rendered strings that a manager keeps: its personas' systems and, mostly, its texts' users."""


@dataclass(frozen=True, slots=True)
class TextView:
    """What a template sees of a text: nothing that is not for the model, such as its path."""

    content: str
    title: str
    author: str
    language: str
    name: str


class PromptManager:
    """One prompt's templates, checked and compiled: get_prompt for each persona and text, reply_schema for all.

    ConfigError, naming the prompt's file and the key, for a syntax error, an unknown name, or a template that cannot
    be rendered.
    """

    def __init__(self, template: PromptTemplate) -> None:
        self.template = template
        self.where = f"prompt/{template.name}.yaml"
        self.questions = tuple(question_view(number, q) for number, q in enumerate(template.questions, start=1))
        self.reply_format = reply_format(template)
        environment = templates.environment()
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
        """JSON schema of the reply; None where labelled lines are asked for."""
        return reply_schema(self.template)

    def untold(self) -> list[str]:
        """Of each question whose range or options the prompt never tells, the sentence that it lacks."""
        shown = self._rendered("a reader", TextView("words", "", "", "", "name"))
        rendered = folded(f"{shown.system}\n{shown.user}")
        missing = (untold(question, rendered, self.template.language) for question in self.template.questions)
        return [sentence for sentence in missing if sentence is not None]

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


# ---- templates ------------------------------------------------------------------------------------------------------


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
