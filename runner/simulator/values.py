"""A refusal and a stored file: what the simulated APIs and their state both speak of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RefusalKind = Literal[
    "key_missing",
    "key_wrong",
    "not_found",
    "model_not_found",
    "bad_request",
    "too_large",
    "conflict",
    "rate_limit",
    "server",
]


class Refused(Exception):  # noqa: N818  it is an answer of the provider, not an error of this program
    """The provider says no. `kind` decides status and error type in the provider's own words."""

    def __init__(
        self, kind: RefusalKind, message: str, *, param: str | None = None, code: str | None = None, retry_s: float = 0
    ) -> None:
        super().__init__(message)
        self.kind: RefusalKind = kind
        self.message = message
        self.param = param
        self.code = code
        self.retry_s = retry_s
        self.headers: dict[str, str] = {}


@dataclass(slots=True)
class StoredFile:
    """A file at a provider. A result file's bytes are its batch's lines, so it has none of its own."""

    id: str
    api: str
    account: str
    name: str
    purpose: str
    created: float
    data: bytes = b""
    mime: str = "application/octet-stream"
    job: str | None = None
    part: str = ""
    """Of a result file: its batch, and which of the batch's files it is."""
