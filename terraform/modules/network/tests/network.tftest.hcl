# Planned with the real provider and no account: policies and addresses are computed locally.

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
}

variables {
  place              = { env = "dev", region = "us-east-1", account_id = "123456789012" }
  availability_zones = ["us-east-1a", "us-east-1b"]
}

run "subnets_are_private_and_apart" {
  command = plan

  variables {
    availability_zones = ["us-east-1a", "us-east-1b", "us-east-1c"]
    egress             = "nat"
  }

  assert {
    condition     = { for key, subnet in aws_subnet.private : subnet.availability_zone => subnet.cidr_block } == { us-east-1a = "10.60.0.0/22", us-east-1b = "10.60.4.0/22", us-east-1c = "10.60.8.0/22" }
    error_message = "Each zone gets its quarter of the range."
  }
  assert {
    condition     = aws_subnet.public["on"].cidr_block == "10.60.12.0/24"
    error_message = "The public subnet lies in the last quarter."
  }
  assert {
    condition     = alltrue([for subnet in concat(values(aws_subnet.private), values(aws_subnet.public)) : subnet.map_public_ip_on_launch == false])
    error_message = "No subnet gives public addresses."
  }
  assert {
    condition     = aws_vpc.this.enable_dns_hostnames && aws_vpc.this.enable_dns_support
    error_message = "Private names need the VPC's DNS."
  }
}

run "nat_is_one_gateway_and_no_interface_endpoints" {
  command = plan

  variables {
    egress = "nat"
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 1 && length(aws_vpc_endpoint.interface) == 0 && length(aws_security_group.endpoints) == 0
    error_message = "nat makes one gateway and no interface endpoint."
  }
  assert {
    condition     = aws_route.nat["on"].destination_cidr_block == "0.0.0.0/0" && aws_route.internet["on"].destination_cidr_block == "0.0.0.0/0"
    error_message = "Private subnets leave by the NAT, the NAT by the internet gateway."
  }
  assert {
    condition     = [for rule in aws_vpc_security_group_egress_rule.anywhere : "${rule.ip_protocol} ${rule.from_port}-${rule.to_port} ${rule.cidr_ipv4}"] == ["tcp 443-443 0.0.0.0/0"]
    error_message = "Out by TLS only."
  }
  assert {
    condition     = length(aws_vpc_security_group_egress_rule.endpoints) + length(aws_vpc_security_group_egress_rule.gateways) == 0
    error_message = "One rule says it all where everything may be called."
  }
}

run "where_nothing_is_asked_on_demand_its_endpoint_is_not_paid_for" {
  command = plan

  variables { on_demand = false }

  assert {
    condition     = length(aws_vpc_endpoint.interface) == 7 && !contains(keys(aws_vpc_endpoint.interface), "bedrock-runtime")
    error_message = "Seven interface endpoints are enough without it."
  }
}

run "endpoints_leave_no_way_to_the_internet" {
  command = plan

  assert {
    condition     = { for name, endpoint in aws_vpc_endpoint.interface : name => endpoint.service_name } == { for name in ["bedrock", "bedrock-runtime", "ecr.api", "ecr.dkr", "events", "logs", "sqs", "sts"] : name => "com.amazonaws.us-east-1.${name}" }
    error_message = "Eight interface endpoints, by their services' names."
  }
  assert {
    condition     = alltrue([for endpoint in aws_vpc_endpoint.interface : endpoint.private_dns_enabled && endpoint.vpc_endpoint_type == "Interface"])
    error_message = "The SDK's own host names must lead to the endpoints."
  }
  assert {
    condition     = length(aws_internet_gateway.this) + length(aws_nat_gateway.this) + length(aws_subnet.public) + length(aws_route.nat) + length(aws_vpc_security_group_egress_rule.anywhere) == 0
    error_message = "No way to the internet."
  }
  assert {
    condition     = keys(aws_vpc_security_group_egress_rule.gateways) == ["dynamodb", "s3"] && alltrue([for rule in concat(values(aws_vpc_security_group_egress_rule.gateways), values(aws_vpc_security_group_egress_rule.endpoints), values(aws_vpc_security_group_ingress_rule.endpoints)) : rule.ip_protocol == "tcp" && rule.from_port == 443 && rule.to_port == 443 && rule.cidr_ipv4 == null])
    error_message = "Groups let TLS to the endpoints pass, and nothing else."
  }
}

run "the_s3_endpoint_lets_pass_three_kinds_of_bucket" {
  command = plan

  variables {
    source_buckets = ["tickets-lake", "archive.example"]
  }

  assert {
    condition = jsondecode(aws_vpc_endpoint.s3.policy) == {
      Version = "2012-10-17"
      Statement = [
        {
          Sid       = "TheEnvironmentsBucket"
          Effect    = "Allow"
          Principal = "*"
          Action    = ["s3:PutObject", "s3:ListBucket", "s3:GetObjectVersion", "s3:GetObject", "s3:GetBucketLocation", "s3:DeleteObject", "s3:AbortMultipartUpload"]
          Resource  = ["arn:aws:s3:::dev-quarry-123456789012/*", "arn:aws:s3:::dev-quarry-123456789012"]
        },
        {
          Sid       = "ReadSources"
          Effect    = "Allow"
          Principal = "*"
          Action    = ["s3:ListBucket", "s3:GetObjectVersion", "s3:GetObject", "s3:GetBucketLocation"]
          Resource  = ["arn:aws:s3:::tickets-lake/*", "arn:aws:s3:::tickets-lake", "arn:aws:s3:::archive.example/*", "arn:aws:s3:::archive.example"]
        },
        {
          Sid       = "LayersOfImages"
          Effect    = "Allow"
          Principal = "*"
          Action    = "s3:GetObject"
          Resource  = "arn:aws:s3:::prod-us-east-1-starport-layer-bucket/*"
        },
      ]
    }
    error_message = "The S3 endpoint's policy differs."
  }
  assert {
    condition     = aws_vpc_endpoint.s3.service_name == "com.amazonaws.us-east-1.s3" && aws_vpc_endpoint.s3.vpc_endpoint_type == "Gateway" && aws_vpc_endpoint.dynamodb.service_name == "com.amazonaws.us-east-1.dynamodb" && aws_vpc_endpoint.dynamodb.vpc_endpoint_type == "Gateway"
    error_message = "S3 and DynamoDB are gateway endpoints."
  }
}

run "without_sources_there_is_no_statement_for_them" {
  command = plan

  assert {
    condition     = [for statement in jsondecode(aws_vpc_endpoint.s3.policy).Statement : statement.Sid] == ["TheEnvironmentsBucket", "LayersOfImages"]
    error_message = "No empty statement."
  }
}

run "the_dynamodb_endpoint_leads_to_the_ledger_alone" {
  command = plan

  assert {
    condition = jsondecode(aws_vpc_endpoint.dynamodb.policy) == {
      Version = "2012-10-17"
      Statement = [{
        Sid       = "TheLedger"
        Effect    = "Allow"
        Principal = "*"
        Action = [
          "dynamodb:UpdateItem", "dynamodb:Query", "dynamodb:PutItem", "dynamodb:GetItem", "dynamodb:DescribeTimeToLive",
          "dynamodb:DescribeTable", "dynamodb:DescribeContinuousBackups", "dynamodb:DeleteItem",
          "dynamodb:BatchGetItem",
        ]
        Resource = "arn:aws:dynamodb:us-east-1:123456789012:table/dev-quarry-ledger"
      }]
    }
    error_message = "The DynamoDB endpoint's policy differs."
  }
}

run "no_flow_logs_unless_asked_for" {
  command = plan

  assert {
    condition     = length(aws_flow_log.this) + length(aws_iam_role.flows) + length(aws_cloudwatch_log_group.flows) == 0
    error_message = "Flow logs cost money: only where they are asked for."
  }
}

run "flow_logs_write_to_their_own_group" {
  command = plan

  variables {
    flow_logs                = { retention_days = 30 }
    permissions_boundary_arn = "arn:aws:iam::123456789012:policy/boundary"
  }

  assert {
    condition = jsondecode(aws_iam_role.flows["on"].assume_role_policy) == {
      Version = "2012-10-17"
      Statement = [{
        Sid       = "FlowLogsOfThisAccount"
        Effect    = "Allow"
        Action    = "sts:AssumeRole"
        Principal = { Service = "vpc-flow-logs.amazonaws.com" }
        Condition = {
          StringEquals = { "aws:SourceAccount" = "123456789012" }
          ArnLike      = { "aws:SourceArn" = "arn:aws:ec2:us-east-1:123456789012:vpc-flow-log/*" }
        }
      }]
    }
    error_message = "The flow logs' trust differs."
  }
  assert {
    condition = jsondecode(aws_iam_role_policy.flows["on"].policy) == {
      Version = "2012-10-17"
      Statement = [{
        Sid      = "WriteFlows"
        Effect   = "Allow"
        Action   = ["logs:PutLogEvents", "logs:DescribeLogStreams", "logs:CreateLogStream"]
        Resource = "arn:aws:logs:us-east-1:123456789012:log-group:/vpc/dev-quarry-flows:*"
      }]
    }
    error_message = "The flow logs' policy differs."
  }
  assert {
    condition     = aws_iam_role.flows["on"].permissions_boundary == "arn:aws:iam::123456789012:policy/boundary"
    error_message = "The boundary must be the role's."
  }
  assert {
    condition     = aws_cloudwatch_log_group.flows["on"].name == "/vpc/dev-quarry-flows" && aws_cloudwatch_log_group.flows["on"].retention_in_days == 30 && aws_flow_log.this["on"].traffic_type == "ALL"
    error_message = "All flows, in the group that the policy names, for the days asked for."
  }
}

run "endpoints_let_pass_what_quarry_calls" {
  command = plan

  assert {
    condition     = length(aws_vpc_endpoint.interface) == 8 && alltrue([for endpoint in aws_vpc_endpoint.interface : endpoint.policy != null])
    error_message = "Each interface endpoint has a policy."
  }
  assert {
    condition = jsondecode(data.aws_iam_policy_document.interface["sqs"].json) == {
      Version = "2012-10-17"
      Statement = [{
        Sid       = "TheEnvironmentsQueues"
        Effect    = "Allow"
        Principal = "*"
        Action = [
          "sqs:SendMessage",
          "sqs:ReceiveMessage",
          "sqs:GetQueueUrl",
          "sqs:GetQueueAttributes",
          "sqs:DeleteMessage",
          "sqs:ChangeMessageVisibility",
        ]
        Resource  = "arn:aws:sqs:us-east-1:123456789012:dev-quarry-*"
        Condition = { StringEquals = { "aws:PrincipalAccount" = "123456789012" } }
      }]
    }
    error_message = "What passes to SQS differs."
  }
  assert {
    condition = alltrue([for statement in jsondecode(data.aws_iam_policy_document.interface["bedrock-runtime"].json).Statement :
      statement.Action == "bedrock:InvokeModel" && statement.Condition == { StringEquals = { "aws:PrincipalAccount" = "123456789012" } }
    ])
    error_message = "Only models may be asked through bedrock-runtime, and only by the account."
  }
  assert {
    condition     = jsondecode(data.aws_iam_policy_document.interface["events"].json).Statement[0].Resource == "arn:aws:events:us-east-1:123456789012:event-bus/default"
    error_message = "Events go to the account's default bus."
  }
}

run "refuses_one_zone" {
  command = plan
  variables {
    availability_zones = ["us-east-1a"]
  }
  expect_failures = [var.availability_zones]
}

run "refuses_a_zone_twice" {
  command = plan
  variables {
    availability_zones = ["us-east-1a", "us-east-1a"]
  }
  expect_failures = [var.availability_zones]
}

run "refuses_zones_of_another_region" {
  command = plan
  variables {
    availability_zones = ["eu-west-1a", "eu-west-1b"]
  }
  expect_failures = [var.availability_zones]
}

run "refuses_a_range_that_is_too_small" {
  command = plan
  variables {
    cidr = "10.0.0.0/25"
  }
  expect_failures = [var.cidr]
}

run "refuses_another_egress" {
  command = plan
  variables {
    egress = "internet"
  }
  expect_failures = [var.egress]
}

run "refuses_a_bucket_given_as_uri" {
  command = plan
  variables {
    source_buckets = ["s3://tickets-lake"]
  }
  expect_failures = [var.source_buckets]
}

run "refuses_days_that_cloudwatch_does_not_know" {
  command = plan
  variables {
    flow_logs = { retention_days = 31 }
  }
  expect_failures = [var.flow_logs]
}

run "a_secret_of_tasks_has_an_endpoint_for_itself_alone" {
  command = plan

  variables {
    egress      = "endpoints"
    secret_arns = ["arn:aws:secretsmanager:us-east-1:123456789012:secret:dev-quarry-page-AbCdEf"]
  }

  assert {
    condition = jsondecode(aws_vpc_endpoint.interface["secretsmanager"].policy).Statement == [{
      Sid       = "ReadSecretsOfTasks"
      Effect    = "Allow"
      Principal = "*"
      Action    = "secretsmanager:GetSecretValue"
      Resource  = "arn:aws:secretsmanager:us-east-1:123456789012:secret:dev-quarry-page-AbCdEf"
      Condition = { StringEquals = { "aws:PrincipalAccount" = "123456789012" } }
    }]
    error_message = "That secret is read through it, by this account, and nothing else."
  }
}
