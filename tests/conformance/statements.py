"""What the Bedrock batch contract states, sections 1 to 5, in our own words: an id, how sure it is, the statement.

How sure: A read in the service model, or run against botocore; B read in AWS's documentation; C someone's record of
live behaviour; D public code that assumes it; E inference. Where two letters could stand, the weaker one does.

A test holds a statement by `@pytest.mark.conforms(<id>)`; `docs/conformance.md` is made from these and the marks. Where
the contract says that something is not known, the statement says what the simulator does instead. `differs` tells why
nothing holds a statement; there is no third way: an id with neither a test nor a reason fails.
"""

from typing import NamedTuple


class Statement(NamedTuple):
    id: str
    sure: str
    text: str
    differs: str = ""


S = Statement

STATEMENTS: tuple[Statement, ...] = (
    # ------------------------------------------------------------------ 1.1 wire basics
    S("C1.1-service", "A", "The service is `bedrock`, API 2023-04-20, rest-json, signed as `bedrock`"),
    S("C1.1-signing", "A", "A request is signed by SigV4 or carries a bearer token; either is answered"),
    S("C1.1-region", "E", "A request that is signed for another region is refused"),
    S("C1.1-paginator", "A", "List has the one paginator; its token goes in and comes out as `nextToken`"),
    S("C1.1-no-waiters", "A", "No waiter exists for a job: whoever waits must ask again"),
    S(
        "C1.1-four-operations",
        "A",
        "A job can be created, read, listed and stopped; nothing updates, deletes or restarts it",
    ),
    S(
        "C1.1-arn-in-path",
        "A",
        "An ARN stands percent-encoded in the path, its slash too, and is decoded after routing",
    ),
    S("C1.1-timestamps", "A", "Times are ISO 8601 in bodies and in query strings, and may have fractions of a second"),
    S(
        "C1.1-error-header",
        "A",
        'An error is `{"message"}` with its code in `x-amzn-ErrorType`; clients drop what follows a colon',
    ),
    S("C1.1-error-in-body", "A", "A client takes the code from `__type` in the body as well"),
    S(
        "C1.1-fresh-token",
        "A",
        "boto3 makes a fresh UUID4 for `clientRequestToken` at each call, so a retry by hand needs its own",
    ),
    S("C1.1-unknown-status", "A", "boto3 hands an unknown status on: the enum binds requests, not answers"),
    S(
        "C1.1-boto3-checks",
        "A",
        "boto3 checks required and unknown members, types, unions and minima before it sends; maxima, patterns and enums it does not",
    ),
    S("C1.1-service-checks", "A", "So the service refuses maxima, patterns and enums itself, with ValidationException"),
    S(
        "C1.1-retries",
        "A",
        "boto3's standard mode asks three times in all after throttling and after 500, 502, 503 and 504, and does not after the 400s, 403 and 404",
    ),
    S(
        "C1.1-retry-default",
        "A",
        "From botocore 1.44.0 on, standard is the default mode of retries",
        "the botocore that is pinned here is older and its default is legacy; Quarry and these tests set the mode themselves",
    ),
    # ------------------------------------------------------------------ 1.2 create
    S("C1.2-route", "A", "Create is `POST /model-invocation-job` and answers 200"),
    S("C1.2-idempotent", "A", "Create is idempotent by its client token"),
    S("C1.2-required", "A", "Job name, role, model, input and output must be given"),
    S(
        "C1.2-job-name",
        "A",
        "A job name has 1 to 63 characters: a letter or digit, then also `+ - .`; no underscore, space or slash",
    ),
    S("C1.2-role-arn", "A", "A role is an IAM role's ARN of at most 2048 characters"),
    S("C1.2-model-id", "A", "A model identifier has 1 to 2048 characters in one of the known forms"),
    S("C1.2-input-config", "A", "The input is a union of which `s3InputDataConfig` must be set"),
    S("C1.2-output-config", "A", "The output is a union of which `s3OutputDataConfig` must be set"),
    S(
        "C1.2-client-token",
        "A",
        "A client token has 1 to 256 letters, digits and inner hyphens; a UUID fits, an underscore or dot does not",
    ),
    S("C1.2-timeout", "A", "The timeout is 24 to 168 whole hours"),
    S("C1.2-invocation-type", "A", "The invocation type is `InvokeModel` or `Converse`"),
    S("C1.2-default-invocation", "B", "Without an invocation type it is `InvokeModel`"),
    S(
        "C1.2-vpc",
        "A",
        "A VPC has 1 to 16 subnets and 1 to 5 security groups, both required, ids of letters, digits and hyphens",
    ),
    S("C1.2-tags", "A", "A request carries at most 200 tags; keys have 1 to 128 characters, values up to 256"),
    S("C1.2-tags-50", "A", "A resource holds 50 tags; the exception for more is declared on TagResource only"),
    S("C1.2-input-format", "A", "The only input format is `JSONL`"),
    S("C1.2-bucket-owner", "A", "A bucket's owner is an account of twelve digits"),
    S("C1.2-encryption-key", "A", "A key for the output is a key's or alias's ARN, a key's UUID or an alias"),
    S(
        "C1.2-key-place",
        "A",
        "The key stands inside `s3OutputDataConfig`; one level up it is no member, and boto3 refuses it",
    ),
    S("C1.2-s3-uri", "A", "An S3 URI has at most 1024 characters of the model's pattern"),
    S(
        "C1.2-s3-uri-characters",
        "A",
        "In an S3 URI no `= + @ : ~`, space, `//`, non-ASCII, nor bucket names with capitals or `_`; a bucket's root, a trailing slash and `_ - . ! * ' ( )` are fine",
    ),
    S("C1.2-answer", "A", "Create answers `jobArn` only, whose id is twelve lower-case letters and digits; no status"),
    S("C1.2-errors", "A", "Create's errors are the declared seven; a full quota is a 400, not a 429"),
    # ------------------------------------------------------------------ 1.3 get
    S("C1.3-route", "A", "Get is `GET /model-invocation-job/{jobIdentifier}`"),
    S("C1.3-identifier", "A", "A job is named by its ARN or by the bare twelve characters"),
    S("C1.3-name-is-no-identifier", "A", "A job's name does not identify it"),
    S("C1.3-not-found", "A", "An unknown job is ResourceNotFoundException, 404"),
    S(
        "C1.3-members",
        "A",
        "Get answers the modelled members, the required six always, counts as whole numbers of at least 0",
    ),
    S("C1.3-message", "A", "`message` has at most 2048 characters and may be absent"),
    S("C1.3-no-tokens-no-tags", "A", "Get tells neither tokens nor tags"),
    S("C1.3-model-arn", "C", "`modelId` comes back as the full ARN even if the short id was sent"),
    S("C1.3-owner-filled", "C", "The buckets' owner is filled in though not sent; the input's format is not echoed"),
    S("C1.3-timeout-filled", "C", "The timeout is 24 when not sent"),
    S("C1.3-modified-after-end", "C", "A completed job was last modified 0.4 to 1.3 s after its end"),
    S(
        "C1.3-expired-end",
        "C",
        "An expired job's `endTime` lies minutes after its submission, its last change 16 to 42 s after the timeout",
    ),
    S("C1.3-counts-from-0", "B", "Counts are 0 until records are processed; progress is processed over total"),
    S("C1.3-total-0-in-validating", "C", "The total too is 0 while the job is Submitted or Validating"),
    S("C1.3-failed-counts-0", "C", "A job that failed its validation shows 0 of 0: a placeholder, no measurement"),
    # ------------------------------------------------------------------ 1.4 list
    S("C1.4-route", "A", "List is `GET /model-invocation-jobs`"),
    S(
        "C1.4-query",
        "A",
        "Its filters, order and page are checked: up to 1000 a page, `nameContains` is itself a job name, one sort key",
    ),
    S("C1.4-filters", "A", "It filters by time of submission, one status and a part of the name, and sorts up or down"),
    S("C1.4-no-other-filters", "A", "No filter by tag, model or client token exists"),
    S("C1.4-summaries", "A", "A summary has the members of Get, the job's name always"),
    S("C1.4-order", "E", "The order without a wish is not documented; here the newest come first"),
    # ------------------------------------------------------------------ 1.5 stop
    S("C1.5-route", "A", "Stop is `POST /model-invocation-job/{jobIdentifier}/stop` and answers 200 without members"),
    S(
        "C1.5-charged",
        "B",
        "After a stop only what was processed is charged: the summary's tokens are those of the records that were",
    ),
    S(
        "C1.5-ended",
        "C",
        "Stopping a completed job is a ValidationException that says `State was: Completed`; other ends are taken to answer alike",
    ),
    # ------------------------------------------------------------------ 1.6 models
    S(
        "C1.6-accepted",
        "A",
        "Short ids, geographic and global profiles, and ARNs of foundation models, inference profiles, application profiles and custom models fit the pattern",
    ),
    S("C1.6-not-matched", "A", "ARNs of provisioned and imported models and of custom-model deployments do not"),
    S("C1.6-no-proof", "A", "The pattern lets any word through: it is no proof that a model exists"),
    # ------------------------------------------------------------------ 1.7 tags, history
    S("C1.7-tagging", "A", "Tags are set, removed and listed by POST; the field is `resourceARN`"),
    S("C1.7-job-is-taggable", "A", "A job's ARN is taggable; the tags of Create are its first"),
    S("C1.7-stopped-job", "C", "The tags of a stopping or stopped job cannot be listed; with which error is not known"),
    S("C1.7-too-many-tags", "A", "One tag too many is TooManyTagsException, 400, with `resourceName`"),
    S(
        "C1.7-history",
        "A",
        "Converse jobs and the four counts need boto3 1.42.81; the one that is installed knows both",
    ),
    # ------------------------------------------------------------------ 2 states
    S("C2-statuses", "A", "The ten statuses, no other"),
    S("C2-submitted", "B", "Submitted: accepted, not yet validated"),
    S(
        "C2-validating",
        "B",
        "Validating fails a job whose files do not end in .jsonl, whose lines are no records, or whose sizes or counts are beyond the quota",
    ),
    S("C2-validating-role", "B", "Validating looks whether the role reaches the buckets"),
    S("C2-validating-not-bodies", "B", "Validating does not check `modelInput` against the model"),
    S("C2-scheduled", "B", "Scheduled: valid, and waiting for capacity"),
    S("C2-in-progress", "B", "InProgress: records are being processed, and the counts say how many"),
    S("C2-completed", "B", "Completed: finished, with output"),
    S("C2-partially-completed", "B", "PartiallyCompleted: time ran out; the records that were done have output"),
    S("C2-failed", "B", "Failed: `message` says why"),
    S("C2-expired", "B", "Expired: it was scheduled and never began before its timeout; no output"),
    S("C2-stopping", "B", "Stopping: a stop was asked for; Stopped follows"),
    S("C2-stopped", "C", "Stopped: a part of the output may be there, and must not be mistaken for the whole"),
    S("C2-stop-before-running", "E", "Any job that has not ended can be stopped, before it runs too"),
    S(
        "C2-graph",
        "E",
        "Submitted, Validating, Scheduled, InProgress, in this order, then an end; Failed also from Validating",
    ),
    S("C2-ends-are-final", "E", "Nothing leaves a terminal status"),
    S(
        "C2-errors-complete",
        "C",
        "A job all of whose records failed is Completed, with 0 successes; PartiallyCompleted is about time only",
    ),
    S("C2-too-few-is-late", "C", "Too few records are no error of Create: the job fails later, with the known text"),
    S("C2-timeout-from-submit", "C", "The timeout counts from submission, waiting included"),
    S(
        "C2-durations",
        "C",
        "Real jobs take minutes to hours",
        "how long is a setting; the pace of the default is seconds, so that a demonstration ends",
    ),
    # ------------------------------------------------------------------ 3 events
    S("C3-source", "B", "Source `aws.bedrock`, detail-type `Batch Inference Job State Change`, on the default bus"),
    S(
        "C3-detail",
        "B",
        "The detail's members are named batchJobArn, batchJobName, batchModelId (an ARN), status, failureMessage, creationTime, accountId, version; none as in the API",
    ),
    S("C3-no-more", "B", "An event has no counts, places, tags, client token or end"),
    S("C3-resources", "B", "`resources` holds the job's ARN"),
    S("C3-envelope-time", "E", "The envelope is EventBridge's own, with an RFC 3339 `time`"),
    S("C3-creation-time", "B", "`creationTime` is a Java locale's date without zone, not to be parsed"),
    S("C3-failure-message", "B", "`failureMessage` is empty unless something failed"),
    S("C3-lossy", "B", "Delivery is best effort: an event may never come"),
    S("C3-repeated", "E", "An event may come twice, and out of order"),
    S("C3-every-change", "B", "A change of status makes an event; no particular one before the end is to be relied on"),
    S("C3-completion-pattern", "B", "A rule's pattern can pick statuses, and the five terminal ones are the end"),
    S("C3-name-prefix", "D", "A rule can pick jobs by the prefix of their name"),
    S("C3-before-the-answer", "D", "An event can come before Create's answer was stored"),
    # ------------------------------------------------------------------ 4.1 input
    S("C4.1-jsonl", "B", "A key ends in .jsonl; each line is an object with `modelInput`"),
    S("C4.1-record-id-optional", "B", "`recordId` may be left out; the output then has one"),
    S("C4.1-record-id-any-text", "D", "A record id is any text: UUIDs, `#`, hyphens, long ones"),
    S("C4.1-record-id-twice", "E", "Uniqueness is not enforced: two records with one id give two lines"),
    S("C4.1-extra-members", "D", "Members beside the two are ignored"),
    S("C4.1-invoke-body", "B", "`modelInput` is the body of InvokeModel, or of Converse where the job says so"),
    S("C4.1-no-model-inside", "C", "A model named inside the body fails its record: Extra inputs are not permitted"),
    S("C4.1-one-model", "B", "The job's model answers every line"),
    S("C4.1-folder", "B", "A folder means all its .jsonl files, nested ones too"),
    S("C4.1-outputs-not-picked-up", "E", "Outputs end in .out and are not taken for inputs"),
    S(
        "C4.1-linked-content",
        "B",
        "Content named by S3 URI must lie in the input's folder, and the folder must be the input; here its record fails otherwise",
    ),
    S("C4.1-base64", "E", "Base64 content stands in the line, as in InvokeModel"),
    S("C4.1-tools-invoke", "B", "In a job of type InvokeModel a native body may offer tools, and the model call one"),
    S("C4.1-tools-converse", "B", "A Converse record with `toolConfig` fails with a 400"),
    S(
        "C4.1-structured",
        "B",
        "Structured outputs work with both types: `output_config.format`, `response_format`, `outputConfig.textFormat`",
    ),
    S("C4.1-tool-schema", "C", "A record's tools are checked against the schema of tools, and refused for their form"),
    S("C4.1-no-prompt-cache", "D", "cache_control is accepted and has no effect"),
    S("C4.1-no-guardrail-field", "A", "The job has no field for a guardrail"),
    S(
        "C4.1-blank-lines",
        "E",
        "Blank lines and CRLF are not documented; here blank lines are skipped and CRLF ends a line",
    ),
    # ------------------------------------------------------------------ 4.2 families
    S(
        "C4.2-anthropic",
        "C",
        "Anthropic: `anthropic_version` and `max_tokens` required per record; tokens in `usage.input_tokens`, `usage.output_tokens`",
    ),
    S(
        "C4.2-converse",
        "B",
        "Converse: any chat model; text at `output.message.content[].text`, tokens in `usage.inputTokens`, `outputTokens`, `totalTokens`",
    ),
    S(
        "C4.2-nova",
        "C",
        "Nova: system and messages with text blocks, `inferenceConfig` in both spellings; tokens as in Converse",
    ),
    S(
        "C4.2-titan-text-v2",
        "B",
        "Titan Text Embeddings V2: one text; 1024, 512 or 256 numbers, normalised, as floats or bits; `inputTextTokenCount`",
    ),
    S("C4.2-titan-g1-text", "B", "Titan Embeddings G1 Text has no batch quota: not supported"),
    S("C4.2-titan-multimodal", "E", "Titan Multimodal Embeddings: text or image; 256, 384 or 1024 numbers"),
    S("C4.2-nova-embeddings", "B", "Nova Multimodal Embeddings: a task type and its parameters"),
    S(
        "C4.2-llama",
        "E",
        "Llama: `prompt`, `max_gen_len`; text in `generation`, tokens in `prompt_token_count`, `generation_token_count`",
    ),
    S("C4.2-mistral", "E", "Mistral: chat messages with usage, or a prompt with `outputs[].text`"),
    S(
        "C4.2-openai-like",
        "C",
        "gpt-oss, Qwen3, DeepSeek, Kimi: OpenAI's chat body; tokens in `usage.prompt_tokens`, `completion_tokens`",
    ),
    S("C4.2-cohere-embed", "E", "Cohere Embed has no batch quota: assumed not supported"),
    S("C4.2-cohere-command", "E", "Cohere Command has no batch quota: assumed not supported"),
    S("C4.2-ai21", "E", "AI21 Jamba has no batch quota: assumed not supported"),
    S("C4.2-cut-off", "C", "A record that `max_tokens` cuts off is a success with `stop_reason` max_tokens"),
    # ------------------------------------------------------------------ 4.3, 4.4 output
    S("C4.3-layout", "B", "The output of `x.jsonl` is `<output>/<job id>/x.jsonl.out`, beside `manifest.json.out`"),
    S("C4.3-one-per-input", "B", "One output per input"),
    S(
        "C4.3-encrypted",
        "B",
        "The job's key encrypts its output, and one of AWS's without it: here what the bucket says",
    ),
    S("C4.3-line", "B", "A line has recordId, modelInput and either modelOutput or error"),
    S("C4.3-echo", "B", "`modelInput` is echoed whole"),
    S("C4.3-error", "B", "`error` is a number, `errorCode`, and a text, `errorMessage`"),
    S("C4.3-no-expired-retryable", "E", "`error.expired` and `error.retryable` are in no source, and not here"),
    S("C4.3-unordered", "B", "The output's order is not the input's"),
    S("C4.3-missing-lines", "E", "A record that was not processed has no line"),
    S("C4.3-early-results", "A", "Once InProgress, one may begin to read results (here with `job_output_early`)"),
    S("C4.4-summary", "B", "`manifest.json.out` holds the four counts and the two sums of tokens"),
    S("C4.4-processed", "B", "Processed are successes and errors together"),
    S("C4.4-tokens-only-there", "B", "The job's tokens stand in the summary only, and are the sum over the records"),
    S(
        "C12-stop-reasons",
        "A",
        "Converse knows stop reasons for a full context window and for malformed output and calls",
    ),
    S("C12-claude-sampling", "C", "Claude 4.5 and later refuse `temperature` and `top_p` together, record by record"),
    S("C12-claude-no-sampling", "D", "Opus 4.7 and later, Sonnet 5, Haiku 5.5 and Fable take no sampling parameters"),
    S(
        "C12-claude-limits",
        "E",
        "More output than the model gives, or a thinking budget beyond `max_tokens`, fails a record",
    ),
    S("C12-gpt-oss-reasoning", "C", "gpt-oss puts `<reasoning>` before its answer, counted in `max_tokens`"),
    # ------------------------------------------------------------------ 4.5, 4.6 models and endpoints
    S(
        "C4.5-supported",
        "C",
        "Models with batch quotas or live successes are accepted: Claude, Nova, Titan V2, Llama, Mistral, gpt-oss, Qwen3, DeepSeek, Kimi",
    ),
    S("C4.5-refused-live", "C", "Some newer ones are refused at Create with the known text"),
    S(
        "C4.5-unverified",
        "D",
        "MiniMax, GLM, Nemotron, Kimi K2, Gemma 3 and gpt-oss-safeguard have a batch price: taken, and graded unverified",
    ),
    S("C4.5-unknown", "E", "A model that no source names is refused in other words than one that AWS refuses"),
    S("C4.5-per-region", "B", "Support is per model and region: a model's ARN of another region is refused"),
    S("C4.6-other-api", "B", "OpenAI's batch API is another API, on another endpoint; it is not simulated here"),
    # ------------------------------------------------------------------ 5 quotas
    S("C5-records-min", "C", "At least 100 records; the live text when there are fewer"),
    S("C5-records-min-scout", "B", "Llama 4 Scout takes 50"),
    S("C5-records-file", "B", "At most 50,000 records in a file"),
    S("C5-records-job", "D", "At most 50,000 records in a job"),
    S("C5-file-bytes", "B", "At most 1 GB in a file"),
    S("C5-job-bytes", "B", "At most 5 GB in a job; 100 with Nova Pro"),
    S("C5-concurrency", "B", "20 jobs that have not ended, per base model and region, are allowed"),
    S("C5-concurrency-custom", "B", "Three, with a custom Titan model"),
    S("C5-what-counts", "E", "Submitted, Validating, Scheduled, InProgress and Stopping count"),
    S("C5-above", "D", "Above it, Create refuses or the job waits: sources disagree, and both can be set"),
    S("C5-profiles-share", "E", "All names of one model in a region share one quota"),
    S("C5-throttling", "D", "No rate quota is listed, but Create throttles: ThrottlingException, 429"),
    S("C5-readable", "C", "Batch quotas are listed by Service Quotas under `bedrock`"),
    S(
        "C5-names",
        "B",
        "Quota names carry marketing names; `Records per …` is a part of `Minimum number of records per …`, and the unit stands in the middle or at the end",
    ),
    S("C5-codes", "B", "Quota codes are per model, as in the contract's table"),
    S("C5-name-twice", "E", "A job's name need not be unique (not documented)"),
    S("C5-token-again", "B", "A repeated client token is ignored without error: the same ARN, no second job"),
    S("C5-token-lifetime", "E", "How long a token is remembered is not documented: eight hours here, or as set"),
    S(
        "C5-token-mismatch",
        "E",
        "What a known token with another request does is not documented: the same job here, or Conflict as set; counted",
    ),
    S("C5-profiles", "C", "Many models run through a cross-region profile's id"),
)
