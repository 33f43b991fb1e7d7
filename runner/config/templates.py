"""The sandbox in which the user's templates are rendered: those of prompts, and of personas' descriptions.

Nothing random is offered, so that equal inputs give equal strings, and with them equal keys.
"""

from __future__ import annotations

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

RENDERING_ERRORS = (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError)
"""What a template of the user's can raise. Jinja lets Python's own errors through as they are."""


def environment() -> ImmutableSandboxedEnvironment:
    """A sandbox of its own, where a name that is not there is an error."""
    made = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined,
        autoescape=False,  # plain text for a model: escaping would change what it reads
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    del made.filters["random"], made.globals["lipsum"]
    return made
