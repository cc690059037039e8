"""Manifests that several suites send."""

# As they stand in the README that introduced them.
OF_OLD = (
    """{
  "dataset_id": "w601sxs/simpleCoT",
  "split": "train",
  "job_name_prefix": "test-cot-job-1",
  "model_id": "anthropic.claude-3-5-sonnet-20240620-v1:0",
  "prompt_id": "question_answering",
  "max_num_jobs": 1
}""",
    """{
  "dataset_id": "w601sxs/simpleCoT",
  "split": "train",
  "job_name_prefix": "demo-run-001",
  "model_id": "anthropic.claude-3-haiku-20240307-v1:0",
  "prompt_id": "question_answering",
  "max_num_jobs": 1,
  "max_records_total": 100
}""",
)
