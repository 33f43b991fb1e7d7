"""What kind of reply a stored answer is, told from the answer alone: no plan and no questions are at hand.

`not_a_reply` is what today's judge of received bodies would not have taken: ledgers of older versions hold such
answers, and a run that finds one sends nothing for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from runner.config import catalog
from runner.config.pricing import price_of
from runner.errors import ProviderError
from runner.providers.codec import Decoders, Fallback
from runner.providers.received import accept
from runner.providers.services import SERVICES
from runner.records import Capability, Model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runner.ledger.upkeep.entries import StoredEntry
    from runner.providers.received import Dialect
    from runner.records import Reply, Route

NOT_A_REPLY = "not_a_reply"
DAMAGED = "damaged"
REPLY = "reply"
KINDS = (NOT_A_REPLY, DAMAGED, "refused", "truncated", "empty", REPLY)
"""Kinds that need no more than the answer. The kinds of unscorable rows are known of a run alone."""
_DIALECTS: Mapping[str, Dialect] = {
    "chat": "chat", "chat_variant": "chat", "anthropic": "anthropic", "gemini": "gemini",
}  # fmt: skip


def asked_of(endpoint: str, model_id: str) -> Model:
    """The model that an answer names, as far as decoding needs one. See plan.endpoint_of for what an endpoint is."""
    asked, _, base = endpoint.partition("@")
    provider, _, api = asked.partition("+")
    able = Capability(api="responses" if api == "responses" else "chat")
    return Model(model_id, model_id, provider, provider, api_base=base or None, capability=able)


def why_no_reply(endpoint: str, raw: bytes) -> str | None:
    """Why a body is no answer of the API that was asked, in words; None where it is one."""
    model = asked_of(endpoint, "")
    service = SERVICES.get(model.provider)
    try:
        if service is None or (model.provider == "vertex_ai" and model.api_base is None):
            Fallback(model, None).check(raw)
        else:
            accept(raw, "responses" if model.capability.api == "responses" else _DIALECTS[service.format])
    except ProviderError as error:
        return str(error)
    return None


@dataclass(slots=True)
class Judge:
    """Tells kinds and prices, and decodes where they need it; providers' formats are loaded once."""

    decoders: Decoders = field(default_factory=Decoders)
    models: Callable[[], Mapping[tuple[str, str], Model]] = dict
    """Provider and id -> a model whose prices are known, asked when one is needed; of others LiteLLM's map is asked."""

    def kind(self, entry: StoredEntry, raw: bytes) -> str:
        """One of KINDS."""
        if entry.damage is not None:
            return DAMAGED
        if why_no_reply(entry.endpoint, raw) is not None:
            return NOT_A_REPLY
        reply = self.reply(entry, raw)
        if reply is None:
            return NOT_A_REPLY
        if reply.refusal is not None or reply.finish == "content_filter":
            return "refused"
        if reply.finish == "length":
            return "truncated"
        return REPLY if reply.text and not reply.text.isspace() else "empty"

    def reply(self, entry: StoredEntry, raw: bytes) -> Reply | None:
        """It decoded, whatever its structure was asked for by; None where it is no reply."""
        try:
            return self.decoders.decode(asked_of(entry.endpoint, entry.model_id), raw, "tool")
        except ProviderError:
            return None

    def price(self, entry: StoredEntry, raw: bytes) -> float | None:
        """US dollars of an answer at the prices of today's files; None where a price or a count is unknown."""
        reply = self.reply(entry, raw)
        if reply is None or entry.damage is not None:
            return None
        model = asked_of(entry.endpoint, entry.model_id)
        known = self.models().get((model.provider, model.id))
        if known is None:
            if entry.route == "batch":  # at a share of the live price that only a model's file tells
                return None
            known = replace(model, prices=catalog.fill_prices(model.prices, catalog.lookup(model.provider, model.id)))
        route: Route = "batch" if entry.route == "batch" else "live"
        return price_of(reply.tokens, known, route, stated_usd=reply.cost_usd, billed_as=reply.billed_as)
