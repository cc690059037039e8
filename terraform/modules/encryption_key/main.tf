module "names" {
  source = "../names"
  place  = var.place
}

locals {
  alias = "alias/${var.place.env}-quarry"
}

resource "aws_kms_key" "this" {
  description             = "Files, messages and ledger of Quarry's environment ${var.place.env}"
  enable_key_rotation     = true
  deletion_window_in_days = var.deletion_window_days
  policy                  = data.aws_iam_policy_document.this.json
}

resource "aws_kms_alias" "this" {
  name          = local.alias
  target_key_id = aws_kms_key.this.key_id
}
