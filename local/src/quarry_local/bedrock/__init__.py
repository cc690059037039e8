"""A simulated Amazon Bedrock: model invocation jobs that real AWS clients create, read, list and stop.

It is a second opinion on the Bedrock batch contract ("contract section N" in the comments), so it imports nothing
of Quarry's own code: where both agree, they agree because both read the same contract.

The way of a request and of a job:

    http -> checks -> register -> lifecycle -> (records -> answers -> spool) -> S3
                                      '-> events -> delivery -> the rule's own queue

`jobs`, `models`, `answers`, `policy` and `events` decide and do no I/O; `lifecycle`, `spool`, `records` and `delivery` act.
"""
