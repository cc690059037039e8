#!/bin/bash
# litellm 1.110.2: what it sends to Bedrock holds sentences that nobody wrote, in the user's turn.
#
# A system message after the first turn, which OpenAI's API allows, becomes the user's, behind "Operator note (not from
# the user): …". An empty text becomes "[System: Empty message content sanitised to satisfy protocol]". It is so in a
# batch's file and in Converse requests, with no warning.
#
# Most would expect: a system message is moved to `system`, and an empty text is refused, as Bedrock itself does.
#
# Seen:
#   litellm 1.110.2
#   batch     system in the middle -> user: 'Operator note (not from the user): the following was originally a mid-conversation system-role reminder.'
#   batch     empty text           -> user: '[System: Empty message content sanitised to satisfy protocol]'
#   Converse  system in the middle -> user: 'Operator note (not from the user): the following was originally a mid-conversation system-role reminder.'
#
# Exits with 1 if that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check litellm==1.110.2
cd "$folder"
cat > try.py <<'PY'
import importlib.metadata, os, sys

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # nothing is fetched
from litellm.llms.bedrock.chat.converse_transformation import AmazonConverseConfig
from litellm.llms.bedrock.files.transformation import BedrockFilesConfig

print("litellm", importlib.metadata.version("litellm"))
MODEL = "anthropic.claude-3-haiku-20240307-v1:0"
middle = [
    {"role": "user", "content": "A"},
    {"role": "assistant", "content": "B"},
    {"role": "system", "content": "S"},
    {"role": "user", "content": "C"},
]
empty = [{"role": "user", "content": ""}]


def batch(messages):
    body = {"model": f"bedrock/{MODEL}", "messages": messages, "max_tokens": 10}
    line = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": body}
    return BedrockFilesConfig()._transform_openai_jsonl_content_to_bedrock_jsonl_content([line])[0]["modelInput"]


def converse(messages):
    return AmazonConverseConfig().transform_request(MODEL, messages, {"maxTokens": 10}, {}, {})


def said(request, *own):
    """The texts of the user's turns that are not the user's."""
    texts = [block["text"] for one in request["messages"] if one["role"] == "user" for block in one["content"]]
    return [text for text in texts if text not in own]


found = {
    "batch     system in the middle": said(batch(middle), "A", "S", "C"),
    "batch     empty text          ": said(batch(empty), ""),
    "Converse  system in the middle": said(converse(middle), "A", "S", "C"),
}
for what, texts in found.items():
    for text in texts:
        print(f"{what} -> user: {text!r}")
sys.exit(0 if [len(texts) for texts in found.values()] == [1, 1, 1] else 1)
PY
venv/bin/python try.py
