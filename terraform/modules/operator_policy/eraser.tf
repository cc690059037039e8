# What `quarry erase` needs beside the operator's policy. No policy is made of it and nobody has it: whoever is to erase gets it
# attached by hand, since what it deletes does not come back.

data "aws_iam_policy_document" "eraser" {
  statement {
    sid       = "FindVersions"
    actions   = ["s3:ListBucketVersions"]
    resources = [local.names.bucket_arn]
  }

  # Not inputs/ and prompts/, which belong to whoever brought them.
  statement {
    sid     = "EraseVersions"
    actions = ["s3:DeleteObject", "s3:DeleteObjectVersion"]
    resources = [
      for prefix in ["batch-input", "batch-output", "on-demand", "rows", "plans", "outcomes", "again", "results"] :
      "${local.names.bucket_arn}/${prefix}/*"
    ]
  }

  statement {
    sid       = "EraseItems"
    actions   = ["dynamodb:DeleteItem"]
    resources = [local.names.table_arn]
  }
}
