"""Upload a dataset and put a manifest on the queue, with boto3 alone: sending work needs nothing of Quarry.

python examples/send.py examples/jokes.json examples/jokes.csv

QUARRY_BUCKET and QUARRY_MANIFEST_QUEUE_URL say where; for a local stack: eval "$(quarry local env)".
"""
# ruff: noqa: INP001, T201 - a script that prints, in a folder that is no package

from __future__ import annotations

import os
import sys
from pathlib import Path

import boto3
from botocore.config import Config

# Said, not left to the SDK: its default changed with botocore 1.44, and a variable of the shell would change it too.
CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 5})


def main(manifest: Path, dataset: Path) -> None:
    bucket, queue_url = os.environ["QUARRY_BUCKET"], os.environ["QUARRY_MANIFEST_QUEUE_URL"]
    boto3.client("s3", config=CONFIG).upload_file(str(dataset), bucket, f"inputs/{dataset.name}")
    body = manifest.read_text().replace("YOUR_BUCKET", bucket)
    sent = boto3.client("sqs", config=CONFIG).send_message(QueueUrl=queue_url, MessageBody=body)
    print(f"sent as message {sent['MessageId']}; `quarry runs` shows its run")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
