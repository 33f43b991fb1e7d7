"""A persona's description as a template over the columns of its table.

    persona.table.description: "A {{ age }}-year-old {{ occupation }}."

A column is known by its name, and by `columns["its name"]` where that is no word. An empty cell is "", so that
`{% if age %}` asks whether there is one. Checked before the first row: an unknown name costs no request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from runner.config.templates import RENDERING_ERRORS, environment
from runner.errors import ConfigError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.records import Json


class DescriptionTemplate:
    """Templates by language ("*" for every one), compiled. ConfigError for a syntax error or an unknown column."""

    def __init__(self, templates: Mapping[str, str], names: Sequence[str], where: str) -> None:
        self.where = where
        self._compiled = {language: self._checked(language, text, names) for language, text in templates.items()}

    def rendered(self, cells: Mapping[str, Json], row: str) -> dict[str, str]:
        """The descriptions of one row, whose columns have these values; `row` says which, for errors."""
        own = {name: "" if value is None else value for name, value in cells.items()}
        return {language: self._rendered(language, own, row) for language in self._compiled}

    def _rendered(self, language: str, own: dict[str, Json], row: str) -> str:
        try:
            said: str = self._compiled[language].render(**_words(own), columns=own)
        except RENDERING_ERRORS as error:
            self._refuse(language, f"{row}: the template cannot be rendered: {error}", error)
        if not said.strip():
            self._refuse(language, f"{row}: the template gives no word")
        return said

    def _checked(self, language: str, text: str, names: Sequence[str]) -> Any:
        from jinja2 import TemplateSyntaxError, meta

        made = environment()
        try:
            tree = made.parse(text)
            unknown = sorted(meta.find_undeclared_variables(tree) - {*names, "columns"})
        except TemplateSyntaxError as error:
            self._refuse(language, f"line {error.lineno}: {error.message}", error)
        for name in unknown:
            self._refuse(language, f"the template names '{name}', which is no column: {nearest(name, names)}")
        return made.from_string(text)

    def _refuse(self, language: str, message: str, cause: Exception | None = None) -> NoReturn:
        key = "description" if language == "*" else f"description.{language}"
        advice = f"runner --cfg job --package {self.where.removesuffix('.yaml').replace('/', '.')}"
        raise ConfigError(message, where=self.where, key=key, advice=advice) from cause


def _words(own: Mapping[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in own.items() if name.isidentifier() and name != "columns"}
