# A plan that would destroy this is refused, and with it every plan that destroys the environment, bucket or table, or
# would give them another name. Terraform takes no variable in prevent_destroy and no such line from outside a module, so
# the guard stands here: to take prod down, delete this file first (docs/decisions).
resource "terraform_data" "keep_the_data" {
  triggers_replace = [module.pipeline.bucket_arn, module.pipeline.table_arn]

  lifecycle {
    prevent_destroy = true
  }
}
