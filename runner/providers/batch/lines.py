"""A line of a batch's results -> Item, as far as the APIs agree; what they call their states and errors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from runner.errors import ProviderError, TransientError
from runner.providers.batch.api import Item
from runner.providers.body import TOO_LARGE
from runner.providers.received import accept
from runner.providers.refusals import error_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runner.providers.batch.api import Ending, State
    from runner.providers.received import Dialect
    from runner.records import Json

GOOGLE_STATES: Mapping[str, State] = {
    "SUCCEEDED": "ended",
    "PARTIALLY_SUCCEEDED": "ended",
    "FAILED": "failed",
    "EXPIRED": "expired",
    "CANCELLED": "cancelled",
}
"""What follows JOB_STATE_ or BATCH_STATE_; every other word (QUEUED, PENDING, RUNNING, PAUSED, UPDATING, CANCELLING)
is a batch that may still end well."""

RPC_STATUS: Mapping[int, int] = {
    1: 499,
    3: 400,
    4: 504,
    5: 404,
    7: 403,
    8: 429,
    9: 400,
    10: 409,
    11: 400,
    12: 400,
    13: 500,
    14: 503,
    15: 500,
    16: 401,
}
"""google.rpc.Code as HTTP statuses, after the comments of google/rpc/code.proto, except that what is not implemented
(12) is no passing trouble. Any other code counts as 500."""
CANCELLED_STATUS = 499


def google_state(word: str) -> State:
    """JOB_STATE_X and BATCH_STATE_X alike."""
    return GOOGLE_STATES.get(word.partition("_STATE_")[2], "running")


def parse(line: bytes) -> dict[str, Json] | None:
    """A line as a JSON object, or None."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def inner(value: Json, *keys: str) -> Json:
    """What lies at the end of the keys, or None where there is no such path."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def objects(value: Json) -> list[dict[str, Json]]:
    """The objects in a list, or none."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def text(value: Json) -> str:
    """A string, or "" for anything else."""
    return value if isinstance(value, str) else ""


def whole(value: Json) -> int:
    """A count, which Google writes as a string; 0 where there is none, or it is unknown (-1)."""
    try:
        return max(0, int(value))
    except (TypeError, ValueError, OverflowError):
        return 0


def dumped(value: Json) -> bytes:
    """JSON as the codecs write it; half a surrogate pair, which UTF-8 cannot hold, stays escaped."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def wrapped(item_id: str, id_field: str, body_field: str, body: bytes, more: bytes = b"") -> bytes:
    """A request's line: the body's bytes unchanged, behind our id and other fields."""
    return b'{"%s":%s,%s"%s":%s}' % (id_field.encode(), dumped(item_id), more, body_field.encode(), body)


def succeeded(item_id: str, body: Json, line: bytes, dialect: Dialect) -> Item:
    """An item with a reply: only what is one, by the judge that live replies have, and only if it says whose it is."""
    if not item_id:
        return unreadable(line)
    raw = dumped(body)
    try:
        accept(raw, dialect)
    except ProviderError as error:
        return failed(item_id, line, error)
    return Item(item_id, "succeeded", raw, line)


class Oversized(bytes):
    """The beginning of a line that is longer than is taken."""


def one_line(read: Callable[[bytes], Item]) -> Callable[[bytes], Item]:
    """An adapter's reading of a line, made safe: whatever a line holds costs that line, and never the run."""

    def item(line: bytes) -> Item:
        if isinstance(line, Oversized):
            message = "its line in the results is longer than limits.max_reply_bytes allows"
            return Item("", "failed", None, line, TOO_LARGE, message)
        try:
            return read(line)
        except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError):
            return unreadable(line)

    return item


def unreadable(line: bytes, item_id: str = "") -> Item:
    """A line that is not of the documented shape."""
    return Item(item_id, "retry", None, line, "malformed", "the line cannot be read")


def failed(item_id: str, line: bytes, error: ProviderError) -> Item:
    """An item that ended in an error."""
    if error.status == CANCELLED_STATUS:
        return Item(item_id, "cancelled", None, line, "cancelled", str(error))
    ending: Ending = "retry" if isinstance(error, TransientError) else "failed"
    return Item(item_id, ending, None, line, error.kind, error.explained)


def google_error(error: Json) -> ProviderError:
    """A google.rpc.Status, or an HTTP error of Google's form: both have `code` and `message`."""
    code = whole(inner(error, "code"))
    status = code if code >= 100 else RPC_STATUS.get(code, 500)
    return error_for(status, text(inner(error, "message")) or "the provider gives no reason")
