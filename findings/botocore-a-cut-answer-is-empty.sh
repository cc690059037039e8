#!/bin/sh
# botocore 1.44: an answer whose connection breaks after the head is an answer, with everything in its body missing.
#
# Most would expect: Content-Length says how long the body is, so an answer that ends before it raises, and is retried as
# any broken connection is; urllib3, requests, http.client and aiobotocore do that. botocore turns urllib3's check off
# (`enforce_content_length=False`), and reads an empty body as an answer without a field: an SQS queue without messages
# or attributes, a DynamoDB table without the item. (DynamoDB itself sends a checksum, which would give it away.)
#
# Output seen:
#   botocore 1.44.8, urllib3 2.8.0
#   urllib3 alone:         IncompleteRead
#   sqs receive_message:   no error, no messages
#   sqs queue attributes:  no error, no attributes
#   dynamodb get_item:     no error, no item
#
# Exits with 1 if that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check boto3==1.44.8 botocore==1.44.8 urllib3==2.8.0
cat > "$folder/ask.py" <<'PYTHON'
import socket
import sys
import threading

import boto3
import botocore
import urllib3
from botocore.config import Config

listening = socket.create_server(("127.0.0.1", 0))
url = f"http://127.0.0.1:{listening.getsockname()[1]}"


def serve():
    while True:
        asked, _ = listening.accept()
        with asked:
            asked.recv(1 << 16)
            # 300 bytes are promised, and the connection breaks before the first of them.
            asked.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: 300\r\n\r\n")


threading.Thread(target=serve, daemon=True).start()
print(f"botocore {botocore.__version__}, urllib3 {urllib3.__version__}")


def seen(ask):
    try:
        return ask()
    except Exception as error:
        return type(getattr(error, "args", [error])[-1]).__name__


def client(service):
    return boto3.client(
        service,
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=Config(retries={"mode": "standard", "total_max_attempts": 1}),
    )


def without(answer, field, name):
    return f"no error, {f'{field} are there' if field in answer else name}"


sqs, dynamodb = client("sqs"), client("dynamodb")
found = {
    "urllib3 alone": seen(lambda: urllib3.PoolManager(retries=False).request("GET", url)),
    "sqs receive_message": seen(lambda: without(sqs.receive_message(QueueUrl=url), "Messages", "no messages")),
    "sqs queue attributes": seen(
        lambda: without(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"]), "Attributes", "no attributes")
    ),
    "dynamodb get_item": seen(
        lambda: without(dynamodb.get_item(TableName="t", Key={"pk": {"S": "p"}}), "Item", "no item")
    ),
}
for name, what in found.items():
    print(f"{name + ':':22} {what}")
expected = ["IncompleteRead", "no error, no messages", "no error, no attributes", "no error, no item"]
sys.exit(list(found.values()) != expected)
PYTHON
"$folder/venv/bin/python" "$folder/ask.py"
