"""By what each kind of error is known: codes that providers give, words that they write, and the statuses of both."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.errors import Scope
    from runner.providers.refusals.answer import Told

TOP_UP = "add credit or raise the spending limit in the provider's console, then run the same command again"
WAIT_FOR_QUOTA = "run the same command again then, or raise the account's quota"
ENABLE = "this account has no quota for the model: enable billing, or choose another model"
CHECK_KEY = "check the API key and what it may do"
CHECK_MODEL = "check the model's id: runner models"
SHORTEN = "shorten the text, or choose a model with a longer context"


@dataclass(frozen=True, slots=True)
class Rule:
    """Errors of one kind, and by what they are known."""

    kind: str
    scope: Scope
    statuses: frozenset[int]
    codes: frozenset[str] = frozenset()
    words: re.Pattern[str] | None = None
    advice: str | None = None

    def fits(self, told: Told) -> bool:
        """Whether an answer is such an error."""
        if told.status not in self.statuses:
            return False
        return bool(self.codes & told.codes) or (self.words is not None and self.words.search(told.words) is not None)


def _either(*parts: str) -> re.Pattern[str]:
    return re.compile("|".join(parts))


FORM = frozenset({400, 403, 413, 422, 451, 500, 501})
"""What is wrong with a request comes as these; 500 from servers that do not tell a client's fault from their own."""
DENIED = frozenset({400, 401, 402, 403, 404, 429})
LONG = (
    r"(?:\b(?:per|an?|each|every)|/|_per)[ _-]?(?:day|month|week)\b|by_?day\b"
    r"|\b(?:daily|monthly|weekly)\b|\b[rt]p[dw]\b"
)
"""How providers write that a quota is a day's or longer."""
SHORT = r"(?:\b(?:per|an?|each|every)|/|_per)[ _-]?(?:min(?:ute)?|sec(?:ond)?)(?:\b|_)|\b[rt]p[ms]\b"
"""And that it is a minute's or a second's."""

FORM_CODES = Rule(
    "bad_request",
    "model",
    FORM,
    frozenset(
        {
            "unknown_parameter", "unsupported_parameter", "unsupported_value", "missing_required_parameter",
            "invalid_type", "invalid_json_schema", "invalid_function_parameters", "integer_below_min_value",
            "decimal_above_max_value", "invalid_schema",
        }
    ),
)  # fmt: skip

UNLUCKY = Rule(
    "malformed",
    "attempt",
    frozenset({400, 422, 500}),
    frozenset({"tool_use_failed", "json_validate_failed", "output_parse_failed", "malformed_function_call"}),
    _either(
        r"(?:failed|unable|could not|cannot|error)(?: to)? pars(?:e|ing) (?:the |model )*(?:tool|function)[ _-]?calls?",
        r"failed to (?:call a function|generate json)",
        r"generated output (?:that )?could not be parsed",
        r"tool call validation failed",
    ),
)
CLOSED = Rule(
    "key_refused",
    "account",
    frozenset({400, 401, 403}),
    frozenset(
        {
            "account_deactivated",
            "access_terminated",
            "consumer_suspended",
            "service_disabled",
            "unsupported_country_region_territory",
        }
    ),
    _either(
        r"\b(?:account|organi[sz]ation|workspace|team|project|api key)(?: [\w.-]+)?"
        r" (?:has been|was|is|have been) (?:\w+ly )?(?:disabled|deactivated|terminated|suspended|banned|blocked"
        r"|restricted|closed)",
        r"reported as leaked",
    ),
    CHECK_KEY,
)
MONEY = Rule(
    "quota",
    "account",
    DENIED,
    frozenset(
        {
            "insufficient_quota", "billing_not_active", "billing_hard_limit_reached", "billing_error", "credit_limit",
            "billing_disabled", "insufficient_balance", "insufficient_credits", "insufficient_funds", "arrearage",
            "insufficient_user_quota", "exceeded_current_quota_error", "credits_exhausted", "payment_required",
            "budget_exceeded", "spend_limit_exceeded", "credit_balance_exhausted", "invalid_payment_instrument",
        }
    ),
    _either(
        r"credit balance", r"\binsufficient (?:account |credit )?(?:balance|credits?|funds|quota)",
        r"(?:run|ran|out) (?:out )?of (?:\w+ )?(?:credits?|budget|funds)",
        r"all (?:of )?(?:your |the )?available credits",
        r"spend(?:ing)?[ -](?:limit|cap)", r"(?:workspace |specified )(?:api )?usage limits?", r"regain access on",
        r"credit limit", r"(?:requires?|needs?|purchase|buy|add|have any|not enough)(?: more| any| \d+)? credits",
        r"billing (?:hard |soft )?limit", r"account is not active", r"(?:enable|set up|activate) billing",
        r"billing (?:\w+ )?(?:to be |be )?enabled", r"\bbilling (?:is )?(?:disabled|not active|inactive)",
        r"payment (?:required|failed)|(?:no|valid|a) payment method (?:is )?(?:required|on file)",
        r"\barrears?\b|overdue",
        r"good standing", r"credits? (?:\w+ ){0,3}(?:depleted|exhausted|used up)", r"budget (?:has been |is )?exceeded",
        r"\bkey limit exceeded", r"purchase (?:a )?(?:plan|more)", r"topp?(?:ing)?[ -]?up|\brecharge\b",
        r"exceeded your current quota",
    ),
    TOP_UP,
)  # fmt: skip
LONG_QUOTA = Rule(
    "quota",
    "account",
    frozenset({402, 403, 429}),
    frozenset({"free_tier_daily", "openrouter_free_tier_daily", "daily_limit_exceeded", "dailylimitexceeded"}),
    re.compile(LONG),
    WAIT_FOR_QUOTA,
)
KEY = Rule(
    "key_refused",
    "account",
    frozenset({400, 401, 403}),
    frozenset(
        {
            "invalid_api_key", "api_key_invalid", "authentication_error", "invalid_authentication", "unauthenticated",
            "unrecognizedclientexception", "invalidsignatureexception", "expiredtokenexception", "invalid_key",
            "incorrect_api_key", "api_key_service_blocked", "invalidapikey", "missing_api_key",
        }
    ),
    _either(
        r"(?:incorrect|invalid|wrong|missing|expired|no|bad) (?:x-)?api[ -_]?(?:key|token)", r"invalid x-api-key",
        r"api[ -_]?key (?:is |was |has )?(?:not valid|invalid|expired|not found|missing|incorrect|wrong)",
        r"authentication fail", r"no auth credentials", r"security token included in the request is",
        r"invalid (?:auth\w*|access|bearer|user) token",
        r"signature we calculated", r"unable to locate credentials", r"unregistered callers",
    ),
    CHECK_KEY,
)  # fmt: skip
FORBIDDEN = Rule(
    "key_refused", "model", frozenset({400, 401, 403}), frozenset({"accessdeniedexception"}), advice=CHECK_KEY
)
"""The key is right, and may not ask this model."""
TOO_LONG = Rule(
    "too_long",
    "item",
    FORM,
    frozenset(
        {
            "context_length_exceeded", "request_too_large", "context_window_exceeded", "tokens_limit_reached",
            "exceed_context_size_error", "prompt_too_long", "input_too_long", "model_context_window_exceeded",
        }
    ),
    _either(
        r"maximum (?:context|prompt|input) length", r"exceeds? (?:the )?(?:\w+ )?(?:model'?s? )?(?:\w+ )?context",
        r"(?:longer|larger|greater|more) than (?:the )?(?:model'?s? )?(?:maximum )?context",
        r"context (?:length|window|size)",
        r"(?:prompt|input|request|text|message|content|payload)s? (?:is|are|was) too (?:long|large)",
        r"(?:prompt|input|request|payload|entity) too (?:long|large)", r"too many input tokens",
        r"input (?:token count|tokens|length)\b.*exceed", r"exceeds? the maximum number of (?:input )?tokens",
        r"`inputs` (?:tokens|must have)", r"payload size exceeds", r"current length is .* while limit is",
        r"too many tokens: ", r"expected maxlength: ",
        r"reduce (?:the |your )(?:length|size|prompt|input|message|text)",
        r"range of input length", r"input length should",
    ),
    SHORTEN,
)  # fmt: skip
REFUSED = Rule(
    "refused",
    "item",
    frozenset(FORM - {413}),
    frozenset(
        {
            "content_filter", "content_policy_violation", "responsibleaipolicyviolation", "invalid_prompt", "safety",
            "cyber_policy_violation", "cyber_policy", "moderation_blocked", "content_moderated", "content_blocked",
            "data_inspection_failed", "datainspectionfailed", "prohibited_content", "recitation", "blocklist", "spii",
            "policy_violation", "content_violation", "guardrail_intervened", "unsafe_content", "prompt_blocked",
            "content_filter_policy", "sensitive_content", "moderation_error", "image_safety", "contentfilter",
            "bio_policy_violation", "safety_violation", "usage_policy_violation", "flagged_content", "1301",
        }
    ),
    _either(
        r"content (?:management|filter|filtering|moderation|safety|usage) (?:polic|system|guideline)",
        r"content[ _]filter", r"content polic", r"usage (?:polic|guideline)", r"\bflagged\b", r"\bmoderation\b",
        r"safety (?:system|filter|reason|check|setting|polic|guideline)", r"safety_check_type", r"responsible ai",
        r"content exists risk", r"inappropriate content", r"(?:output|response|prompt|input|content|reply)"
        r" (?:was |is |has been )?(?:blocked|filtered|rejected by)", r"prohibited (?:use|content)", r"\brecitation\b",
        r"\bharmful\b", r"sensitive (?:content|information|words?|material)", r"unsafe (?:content|prompt|output)",
        r"violat(?:es?|ing|ions?|ed) (?:of )?(?:the )?(?:our|openai|usage|content|provider|anthropic|google|terms"
        r"|acceptable)",
        r"guardrail", r"high[- ]risk content", r"不安全|敏感内容|违规",
    ),
)  # fmt: skip
NO_MODEL = Rule(
    "not_found",
    "model",
    frozenset({400, 403, 404, 410, 422}),
    frozenset(
        {
            "model_not_found", "model_decommissioned", "invalid_model", "deploymentnotfound", "model_not_available",
            "resourcenotfoundexception", "model_not_exist", "unknown_model", "unsupported_model",
            "operationnotsupported",
        }
    ),
    _either(
        r"model not exist", r"model\b.{0,160}\b(?:does not exist|not found|no longer (?:supported|available))",
        r"(?:is not a valid|invalid|unknown|unsupported) model\b(?! (?:output|input|parameter))", r"not a chat model",
        r"model identifier is invalid", r"has been (?:decommissioned|deprecated|retired|shut down)",
        r"no endpoints found", r"not supported in the v1/chat/completions",
        r"model(?: id)? .{0,80}with on-demand throughput",
        r"must be verified to use the model", r"unable to access (?:non-serverless )?model",
        r"only supported in v1/responses",
    ),
    CHECK_MODEL,
)  # fmt: skip
BAD_TEXT = Rule(
    "bad_text",
    "item",
    frozenset({400, 422}),
    words=_either(
        r"non-(?:empty|whitespace)",
        r"(?:content|text|prompt|message|input)s?\b.{0,60}(?:is|are|be|being) (?:blank|empty)",
        r"surrogate", r"invalid (?:unicode|utf-8)", r"must have a text parameter",
    ),
    advice="look at the trial's text: runner plan --show",
)  # fmt: skip
THROTTLED = Rule(
    "rate_limit",
    "attempt",
    frozenset({400, 403, 498, 429}),
    frozenset(
        {
            "throttlingexception", "rate_limit_exceeded", "rate_limit_error", "rate_limited", "resource_exhausted",
            "toomanyrequestsexception", "servicequotaexceededexception", "rate_limit_reached",
            "engine_overloaded_error",
        }
    ),
)  # fmt: skip
TROUBLED = Rule(
    "server",
    "attempt",
    frozenset({400, 403, 404, 409, 424, 429}),
    frozenset(
        {
            "overloaded_error", "modelerrorexception", "modelnotreadyexception", "internalserverexception",
            "serviceunavailableexception", "modeltimeoutexception", "service_unavailable", "aborted",
        }
    ),
    _either(r"^overloaded", r"server (?:is )?(?:had|overloaded|busy)"),
)  # fmt: skip

FREE_MODELS = Rule(
    "quota",
    "model",
    frozenset({402, 403, 429}),
    words=re.compile(r"free[- _]models?[- _]per[- _]day"),
    advice=WAIT_FOR_QUOTA,
)
ABOVE_LIMIT = Rule("too_long", "item", frozenset({429}), words=re.compile(r"request too large"), advice=SHORTEN)
"""One request is more than the account may send in a minute."""
MINUTE = Rule("rate_limit", "attempt", frozenset({429}), words=re.compile(SHORT))
NO_QUOTA = Rule("quota", "model", DENIED, advice=ENABLE)
BRIEF = Rule("rate_limit", "attempt", DENIED)
MODELS_QUOTA = Rule("quota", "model", DENIED, advice=WAIT_FOR_QUOTA)

RULES = (
    UNLUCKY, FORM_CODES, CLOSED, TOO_LONG, ABOVE_LIMIT, FREE_MODELS, MINUTE, MONEY, LONG_QUOTA, KEY, FORBIDDEN, REFUSED,
    NO_MODEL, BAD_TEXT, THROTTLED, TROUBLED,
)  # fmt: skip
"""In the order in which they are asked: the first that fits."""

TRANSIENT: Mapping[int, str] = {
    408: "timeout", 425: "timeout", 499: "timeout", 504: "timeout", 409: "server", 423: "server", 424: "server",
    429: "rate_limit", 498: "rate_limit",
}  # fmt: skip
FATAL: Mapping[int, tuple[str, Scope, str | None]] = {
    401: ("key_refused", "account", CHECK_KEY),
    402: ("quota", "account", TOP_UP),
    403: ("key_refused", "model", CHECK_KEY),
    404: ("not_found", "model", CHECK_MODEL),
    410: ("not_found", "model", CHECK_MODEL),
    413: ("too_long", "item", SHORTEN),
    451: ("refused", "item", None),
}
"""Any other status from 500 up is transient (server), from 400 up fatal (bad_request), below malformed."""
