"""What every peer is asked: the same prompts of the same provider, by the words on its command line.

    python with_X.py ROOT PROMPTS_FILE IN_FLIGHT     in an empty folder, which the peer may fill

PROMPTS_FILE holds a JSON list of prompts, each a list of chat messages. The provider's counts start anew at `begin`, so
that neither the peer's imports nor what it asks beforehand are held against it. `end` prints how many were answered.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from pathlib import Path

ROOT, IN_FLIGHT = sys.argv[1], int(sys.argv[3])
BASE = f"{ROOT}/v1"
PROMPTS: list[list[dict[str, str]]] = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
KEY = "a-key-of-no-account"


def begin() -> None:
    """The peer's own work starts now."""
    urllib.request.urlopen(f"{ROOT}/forget").close()  # noqa: S310


def is_score(text: object) -> bool:
    """Whether a reply is what the provider says to a request: JSON with a score in it."""
    return isinstance(text, str) and "score" in json.loads(text)["interesting"]


def end(answered: int) -> None:
    """Every reply has been read."""
    print(json.dumps({"answered": answered}))
