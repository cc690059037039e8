module "names" {
  source = "../names"
  place  = var.place
}

resource "aws_iam_role" "bedrock" {
  name                 = module.names.roles["bedrock"].name
  description          = "Bedrock runs the batch jobs of environment ${var.place.env} under it"
  assume_role_policy   = data.aws_iam_policy_document.trust.json
  permissions_boundary = var.permissions_boundary_arn
}

resource "aws_iam_role_policy" "access" {
  name   = "access"
  role   = aws_iam_role.bedrock.name
  policy = data.aws_iam_policy_document.access.json
}
