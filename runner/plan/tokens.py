"""Text -> how many tokens a model makes of it, without a network, for estimates only.

With the tokenizers that LiteLLM ships: OpenAI's own for OpenAI's models, the one that Anthropic published for Claude,
and LiteLLM's default (OpenAI's cl100k_base) for everyone else, whose own tokenizers make fewer tokens of most texts.
Read from their files, because importing LiteLLM takes seconds. Where a file is missing, a rule of thumb holds.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.records import Model

Count = Callable[[str], int]

RULE = "rule"
"""Name of the rule of thumb, for what has no tokenizer here."""
ANTHROPIC = "anthropic"
DEFAULT = "cl100k_base"
NEWEST_OPENAI = "o200k_base"
"""For an OpenAI model that tiktoken does not know yet, or whose tokenizer is not among FILES."""
FILES = {
    "cl100k_base": "9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
    "o200k_base": "fb374d419588a4632f3f557e76b4b70aebbca790",
    ANTHROPIC: "anthropic_tokenizer.json",
}
"""Tokenizer -> its file in LiteLLM's folder. tiktoken names a file by the SHA-1 of the address it was taken from."""
_PIECE = 20_000
"""Characters given to a tokenizer at once: what it needs of one long run without spaces grows faster than the run."""
_WIDE = "\u2e80"
"""From here on nearly all of Unicode is Chinese, Japanese, Korean or a symbol."""


def tokenizer_of(model: Model) -> str:
    """The name of the tokenizer that counts for a model; RULE where its file is not here."""
    if model.provider == "anthropic":
        name = ANTHROPIC
    else:
        name = _openai_encoding(model.id) if model.provider == "openai" else DEFAULT
    return RULE if counter(name) is by_rule else name


def _openai_encoding(model_id: str) -> str:
    """By tiktoken's own table of OpenAI's models."""
    try:
        from tiktoken.model import encoding_name_for_model

        name = encoding_name_for_model(model_id)
    except (ImportError, KeyError):
        name = NEWEST_OPENAI
    return name if name in FILES else NEWEST_OPENAI


@cache
def counter(name: str) -> Count:
    """The function that counts tokens by a tokenizer's name; `by_rule` where the tokenizer is not here."""
    folder = _folder()
    if folder is None or name not in FILES or not (folder / FILES[name]).is_file():
        return by_rule
    try:
        count = _huggingface(folder / FILES[name]) if name == ANTHROPIC else _tiktoken(name, folder)
    except ImportError:
        return by_rule
    return lambda text: sum(map(count, _pieces(text)))


def by_rule(text: str) -> int:
    """A token for each wide character, for two of another script beyond ASCII, for four of ASCII; rounded up.

    On running text the tokenizers above make 4.3 to 4.8 characters of English a token and 0.9 to 1.2 of Japanese.
    """
    wide = sum(character >= _WIDE for character in text)
    ascii_only = len(text.encode("ascii", "ignore"))
    return -(-(4 * wide + 2 * (len(text) - wide - ascii_only) + ascii_only) // 4)


def _folder() -> Path | None:
    spec = find_spec("litellm")
    for place in (spec.submodule_search_locations if spec is not None else None) or ():
        return Path(place) / "litellm_core_utils" / "tokenizers"
    return None


def _tiktoken(name: str, folder: Path) -> Count:
    import tiktoken

    with _cache_folder(folder):
        encoding = tiktoken.get_encoding(name)
    return lambda piece: len(encoding.encode_ordinary(piece))


def _huggingface(path: Path) -> Count:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    return lambda piece: len(tokenizer.encode(piece).ids)


@contextmanager
def _cache_folder(folder: Path) -> Iterator[None]:
    """Let tiktoken look in this folder, and nowhere else, for the file that it would otherwise download."""
    before = os.environ.get("TIKTOKEN_CACHE_DIR")
    os.environ["TIKTOKEN_CACHE_DIR"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["TIKTOKEN_CACHE_DIR"]
        else:
            os.environ["TIKTOKEN_CACHE_DIR"] = before


def _pieces(text: str) -> Iterator[str]:
    # Half a surrogate pair is no text to a tokenizer.
    whole = text.encode("utf-8", "replace").decode()
    return (whole[start : start + _PIECE] for start in range(0, len(whole), _PIECE))
