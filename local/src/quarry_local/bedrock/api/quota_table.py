"""The quotas of Amazon Bedrock that matter to batch jobs, as Service Quotas names and codes them. Pure.

Names are exact, with their traps (contract section 5):
- batch quotas use a model's marketing name without its provider, on-demand quotas another one with it
  ("Claude 3.5 Sonnet v2", "Anthropic Claude 3.5 Sonnet V2"); neither is linked to a model's id;
- "Records per batch inference job for X" is, in lower case, a part of "Minimum number of records per ... for X";
- "Claude 3.5 Sonnet" is the beginning of "Claude 3.5 Sonnet v2";
- "(in GB)" stands in the middle or at the end; once "Cross-Region" has a capital R;
- models that batch inference takes may be missing: here Claude Sonnet 4.6, Opus 5 and all newer ones.

Codes are AWS's own where they are known. The others (`-` below) are invented, from the name's hash, and look the same:
a client must find a quota by its name, for codes differ from model to model.

`default` is what AWS documents; `value` is what this simulator enforces at the moment.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from quarry_local.bedrock.api.rates import limits_of
from quarry_local.bedrock.jobs.limits import own_limits, quota_of
from quarry_local.bedrock.models.catalogue import entries
from quarry_local.bedrock.models.identity import CUSTOM, Model
from quarry_local.bedrock.settings import LiveSettings

_GB = 1 << 30


@dataclass(frozen=True, slots=True)
class Quota:
    code: str
    name: str
    default: float
    value: float
    adjustable: bool


@dataclass(frozen=True, slots=True)
class _Batch:
    """A model's batch quotas."""

    model: str
    pool: str
    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Rate:
    """A model's rates on demand, in one scope."""

    scope: str
    model: str
    id: str
    """A base model's, or a profile's."""
    requests_code: str
    tokens_code: str

    @property
    def base_id(self) -> str:
        return self.id if self.scope == "On-demand" else self.id.partition(".")[2]


# name | base model id | codes: minimum records, records per job, records per file, job size, file size, base-model jobs
_BATCH = """
Claude 3 Haiku | anthropic.claude-3-haiku-20240307-v1:0 | L-AE7F26D4 L-1F644C2A L-EBB72C32 L-79301C5B L-42ABE687 L-1570CF9E
Claude 3 Sonnet | anthropic.claude-3-sonnet-20240229-v1:0 | L-FE6BC3E4 L-16E25672 L-E93C745B L-AB971C9B L-067F7E01 L-67BD0D49
Claude 3 Opus | anthropic.claude-3-opus-20240229-v1:0 | L-FA9A1EBB L-E8FA49DB L-642905B5 L-320F5AFC L-0E729086 -
Claude 3.5 Haiku | anthropic.claude-3-5-haiku-20241022-v1:0 | L-B48488BD L-274AA31F L-C39B6D57 L-987C98F5 L-B688EFA5 L-220B8A25
Claude 3.5 Sonnet | anthropic.claude-3-5-sonnet-20240620-v1:0 | L-1E0DA3DF L-1E2B9998 L-5AB0EE48 L-6284B54D L-934360E8 L-4E7EE0B5
Claude 3.5 Sonnet v2 | anthropic.claude-3-5-sonnet-20241022-v2:0 | L-1FA30AE7 L-6EBFEB27 L-897F8151 L-A3D5E9F8 L-5CBDB5BC L-C2FA9AEC
Claude 3.7 Sonnet | anthropic.claude-3-7-sonnet-20250219-v1:0 | L-BFA0FE84 L-FABEE48F L-A985813D L-02D6293C L-F8B0126D -
Claude Sonnet 4 | anthropic.claude-sonnet-4-20250514-v1:0 | L-F72F26EE L-8A6B31EE L-02DB18B4 L-E31283B0 L-F611997D -
Claude Sonnet 4.5 | anthropic.claude-sonnet-4-5-20250929-v1:0 | - - - - - -
Claude Haiku 4.5 | anthropic.claude-haiku-4-5-20251001-v1:0 | - - - - - -
Claude Opus 4.5 | anthropic.claude-opus-4-5-20251101-v1:0 | - L-2767B9A9 - - - -
Nova Micro V1 | amazon.nova-micro-v1:0 | L-534E6885 L-57DC56A1 L-D56DF585 L-C79C2150 L-F36E54E0 L-564C017C
Nova Lite V1 | amazon.nova-lite-v1:0 | L-39FA8DCA L-916C9264 L-B8626674 L-19E52681 L-F60B56CC L-E2ED42E6
Nova Pro V1 | amazon.nova-pro-v1:0 | L-2A3EB975 L-89197AE6 L-9B651738 L-26B15D4D L-68FC8D47 L-FE130012
Titan Text Embeddings V2 | amazon.titan-embed-text-v2:0 | L-6F2B2616 L-AAC5F6D6 L-D1151D45 L-F687AD4D L-3CAACDCF L-1AC1CABC
Titan Multimodal Embeddings G1 | amazon.titan-embed-image-v1:0 | L-1A69C08F L-3BD2251E L-81E26054 L-4C584163 L-447BB329 L-7F2C6F33
Llama 3.1 8B Instruct | meta.llama3-1-8b-instruct-v1:0 | L-87482B04 L-FA06C205 L-AFE8E0CD L-8F302008 L-F3A3096C -
Llama 3.1 70B Instruct | meta.llama3-1-70b-instruct-v1:0 | L-1EC9C5DF L-8D07E980 L-E038D932 L-B2ADD004 L-1CF3E033 -
Llama 3.1 405B Instruct | meta.llama3-1-405b-instruct-v1:0 | L-A5CEDB91 L-AA411D03 L-8651ED26 L-D50EA4E4 L-BCF9AED9 -
Llama 3.2 1B Instruct | meta.llama3-2-1b-instruct-v1:0 | L-539B5996 L-FF73AE42 L-478319B0 L-F777E93B L-B8DED09F -
Llama 3.2 3B Instruct | meta.llama3-2-3b-instruct-v1:0 | L-185CB521 L-982DE2DB L-F2E6F90D L-4090E58E L-8111AFAC -
Llama 3.2 11B Instruct | meta.llama3-2-11b-instruct-v1:0 | L-5BF45557 L-95CACD43 L-D30E6B4B L-8D4EA85C L-8E129B28 -
Llama 3.2 90B Instruct | meta.llama3-2-90b-instruct-v1:0 | L-D4C72CE2 L-4821684D L-51B0DEE7 L-CAF2175F L-ACA7B6C2 -
Llama 3.3 70B Instruct | meta.llama3-3-70b-instruct-v1:0 | L-E06E7FD6 L-E293C7C7 L-F77743B5 L-3A7ED9C0 L-CBAEEDF6 L-FE24F76E
Llama 4 Scout | meta.llama4-scout-17b-instruct-v1:0 | - - - - - -
Llama 4 Maverick | meta.llama4-maverick-17b-instruct-v1:0 | - - - - - -
Mistral Small | mistral.mistral-small-2402-v1:0 | L-DE0A7679 L-072E11FC L-E6489B37 L-0F052E16 L-D32CEBC2 -
Mistral Large 2 (24.07) | mistral.mistral-large-2407-v1:0 | L-F12318F0 L-CA80888F L-BAE2EB93 L-A83ECA24 L-9F13DDE7 -
OpenAI GPT OSS 20b | openai.gpt-oss-20b-1:0 | L-5D07A961 L-F361DF0F L-EF804815 L-5594A7BA L-0EF69BEA -
OpenAI GPT OSS 120b | openai.gpt-oss-120b-1:0 | L-4B244563 L-3C5D1B25 L-9EF11C18 L-052AA08C L-E855A326 -
Qwen3 32B | qwen.qwen3-32b-v1:0 | L-9D2E32B8 L-09A792C8 L-BF8FAABD L-AED2B25B L-37B69F3F -
Qwen3 235B | qwen.qwen3-235b-a22b-2507-v1:0 | L-9CFEE1D8 L-BA9E2685 L-295FBA3E L-94612705 L-0D428547 -
Qwen3 Coder 30B | qwen.qwen3-coder-30b-a3b-v1:0 | L-00CA92AA L-DFDD7036 L-8B216E37 L-F4B97433 L-A7382519 -
Qwen3 Coder 480B | qwen.qwen3-coder-480b-a35b-v1:0 | L-5818283A L-B87081C1 L-8CB739C8 L-007D91B8 L-BEAE3E04 L-C3BA7ADC
DeepSeek v3 | deepseek.v3-v1:0 | L-BC0281B9 L-F81D0C4B L-EA319DB4 L-CB18C933 L-E5418429 L-0C5F7593
Gemma 3 12B | google.gemma-3-12b-it | - - - - - -
"""

# scope | name | whose rate it is | codes: requests, tokens
_RATES = """
On-demand | Anthropic Claude 3 Haiku | anthropic.claude-3-haiku-20240307-v1:0 | L-2DC80978 L-8CE99163
On-demand | Anthropic Claude 3 Sonnet | anthropic.claude-3-sonnet-20240229-v1:0 | L-F406804E L-4C35BB2A
On-demand | Anthropic Claude 3.5 Sonnet | anthropic.claude-3-5-sonnet-20240620-v1:0 | L-254CACF4 L-A50569E5
On-demand | Amazon Titan Text Embeddings V2 | amazon.titan-embed-text-v2:0 | L-26C560CE L-DE641971
On-demand | Amazon Titan Multimodal Embeddings G1 | amazon.titan-embed-image-v1:0 | L-DF0E34D4 L-ABC24664
On-demand | OpenAI GPT OSS 20B | openai.gpt-oss-20b-1:0 | L-AF7F0545 L-036E14D8
On-demand | OpenAI GPT OSS 120B | openai.gpt-oss-120b-1:0 | L-25B50707 L-9DC5F595
On-demand | Qwen3 32B V1 | qwen.qwen3-32b-v1:0 | L-E880C759 L-B7C52139
Cross-region | Anthropic Claude 3 Haiku | us.anthropic.claude-3-haiku-20240307-v1:0 | L-616A3F5B L-DCADBC78
Cross-region | Anthropic Claude 3.5 Sonnet | us.anthropic.claude-3-5-sonnet-20240620-v1:0 | L-F457545D L-479B647F
Cross-Region | Anthropic Claude 3.5 Sonnet V2 | us.anthropic.claude-3-5-sonnet-20241022-v2:0 | L-1D3E59A3 L-FF8B4E28
Cross-region | Anthropic Claude 3.7 Sonnet V1 | us.anthropic.claude-3-7-sonnet-20250219-v1:0 | L-3D8CC480 L-6E888CC2
Cross-region | Anthropic Claude Sonnet 4 V1 | us.anthropic.claude-sonnet-4-20250514-v1:0 | L-559DCC33 L-59759B4A
Cross-region | Anthropic Claude Sonnet 4.5 V1 | us.anthropic.claude-sonnet-4-5-20250929-v1:0 | L-4A6BFAB1 L-F4DDD3EB
Cross-region | Anthropic Claude Haiku 4.5 | us.anthropic.claude-haiku-4-5-20251001-v1:0 | L-CCA5DF70 L-58BE175A
Cross-region | Amazon Nova Micro | us.amazon.nova-micro-v1:0 | L-3F110E0F L-DC7FF66C
Cross-region | Amazon Nova Lite | us.amazon.nova-lite-v1:0 | L-89F8391A L-7C42E72A
Cross-region | Amazon Nova Pro | us.amazon.nova-pro-v1:0 | L-ED46B8C5 L-C0326783
Global cross-region | Anthropic Claude Sonnet 4.5 V1 | global.anthropic.claude-sonnet-4-5-20250929-v1:0 | L-DB84CE56 L-27C57EE8
Global cross-region | Anthropic Claude Haiku 4.5 | global.anthropic.claude-haiku-4-5-20251001-v1:0 | L-E5084BBA L-9A11C666
"""

# In these "(in GB)" stands at the end of both sizes' names.
_UNIT_AT_THE_END = ("Titan Text Embeddings V2", "Qwen3 ", "DeepSeek ")
_CUSTOM = {
    f"{CUSTOM}amazon.titan-embed-image-v1:0": "Titan Multimodal Embeddings G1",
    f"{CUSTOM}amazon.titan-embed-text-v2:0": "Titan Text Embeddings V2",
}

# What AWS documents (contract section 5); for single models, what the catalogue says.
_DEFAULTS = LiveSettings()


def _rows(table: str) -> Iterator[tuple[str, ...]]:
    return (tuple(cell.strip() for cell in line.split("|")) for line in table.strip().splitlines())


_MODELS = [_Batch(model, pool, tuple(codes.split())) for model, pool, codes in _rows(_BATCH)]
_ON_DEMAND = [_Rate(scope, model, named, *codes.split()) for scope, model, named, codes in _rows(_RATES)]


def invented_code(name: str) -> str:
    """The code of a quota whose real one is not known: it looks like a real one and is always the same for a name."""
    return f"L-{sha256(name.encode()).hexdigest()[:8].upper()}"


def quotas(live: LiveSettings) -> dict[str, Quota]:
    """Every quota by its code, in the order of codes."""
    found = [quota for row in _MODELS for quota in _batch(row, live)]
    found += [_custom(model, pool, live) for pool, model in _CUSTOM.items()]
    found += [quota for row in _ON_DEMAND for quota in _rate(row, live)]
    return {quota.code: quota for quota in sorted(found, key=lambda quota: quota.code)}


def _batch(row: _Batch, live: LiveSettings) -> list[Quota]:
    model = row.model
    if model.startswith(_UNIT_AT_THE_END):
        file_size = f"Batch inference input file size for {model} (in GB)"
        job_size = f"Batch inference job size for {model} (in GB)"
    else:
        file_size = f"Batch inference input file size (in GB) for {model}"
        job_size = f"Batch inference job size (in GB) for {model}"
    names = (
        f"Minimum number of records per batch inference job for {model}",
        f"Records per batch inference job for {model}",
        f"Records per input file per batch inference job for {model}",
        job_size,
        file_size,
        f"Sum of in-progress and submitted batch inference jobs using a base model for {model}",
    )
    adjustable = (False, True, True, False, False, True)
    defaults, values = _figures(row.pool, _DEFAULTS), _figures(row.pool, live)
    codes = (invented_code(name) if code == "-" else code for name, code in zip(names, row.codes, strict=True))
    return [Quota(*cells) for cells in zip(codes, names, defaults, values, adjustable, strict=True)]


def _figures(pool: str, live: LiveSettings) -> tuple[float, ...]:
    """A model's six limits, in the order of the table's codes, as they are enforced."""
    entry = entries().get(pool)
    if entry is not None:
        live = own_limits(Model(pool, "", entry.family, entry.limits), live)
    return (
        live.records_min,
        live.records_max,
        live.records_max,
        live.job_bytes_max / _GB,
        live.file_bytes_max / _GB,
        quota_of(pool, live),
    )


def _custom(model: str, pool: str, live: LiveSettings) -> Quota:
    name = f"Sum of in-progress and submitted batch inference jobs using a custom model for {model}"
    return Quota(invented_code(name), name, quota_of(pool, _DEFAULTS), quota_of(pool, live), adjustable=False)


def _rate(row: _Rate, live: LiveSettings) -> list[Quota]:
    default, value = limits_of(row.id, row.base_id, _DEFAULTS), limits_of(row.id, row.base_id, live)
    # In-region rates cannot be raised by a request, those of profiles can.
    adjustable = row.scope != "On-demand"
    start = f"{row.scope} model inference"
    return [
        Quota(row.requests_code, f"{start} requests per minute for {row.model}", default[0], value[0], adjustable),
        Quota(row.tokens_code, f"{start} tokens per minute for {row.model}", default[1], value[1], adjustable),
    ]
