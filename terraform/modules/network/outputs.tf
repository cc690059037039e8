output "vpc_id" {
  description = "Id of the VPC."
  value       = aws_vpc.this.id
}

output "private_subnet_ids" {
  description = "Ids of the private subnets, in the order of the availability zones."
  value       = [for key in keys(local.subnets) : aws_subnet.private[key].id]
}

output "security_group_id" {
  description = "Id of the services' security group."
  value       = aws_security_group.services.id
}

output "s3_endpoint_id" {
  description = "Id of the S3 gateway endpoint, for a bucket policy that asks for it."
  value       = aws_vpc_endpoint.s3.id
}

output "interface_endpoints" {
  description = "Names of the interface endpoints, such as sqs; none with egress `nat`."
  value       = sort(keys(aws_vpc_endpoint.interface))
}
