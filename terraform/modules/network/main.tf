locals {
  prefix = "${var.place.env}-quarry"

  # Positions, not zones, are the keys: a zone's quarter of the range then does not move when another is added.
  subnets = { for position, zone in var.availability_zones : tostring(position) => zone }
}

module "names" {
  source = "../names"
  place  = var.place
}

resource "aws_vpc" "this" {
  cidr_block           = var.cidr
  enable_dns_support   = true
  enable_dns_hostnames = true # the private names of interface endpoints need both

  tags = { Name = local.prefix }
}

# What is started without a group of its own must reach nothing: the default group is taken over and emptied.
resource "aws_default_security_group" "closed" {
  vpc_id = aws_vpc.this.id

  tags = { Name = "${local.prefix}-default-closed" }
}

resource "aws_subnet" "private" {
  for_each = local.subnets

  vpc_id                  = aws_vpc.this.id
  availability_zone       = each.value
  cidr_block              = cidrsubnet(var.cidr, 2, tonumber(each.key))
  map_public_ip_on_launch = false

  tags = { Name = "${local.prefix}-private-${each.value}" }
}

resource "aws_route_table" "private" {
  vpc_id = aws_vpc.this.id

  tags = { Name = "${local.prefix}-private" }
}

resource "aws_route_table_association" "private" {
  for_each = local.subnets

  subnet_id      = aws_subnet.private[each.key].id
  route_table_id = aws_route_table.private.id
}

# The services' group: nobody may call them (a scraper is let in where it stands, by module ecs_services), and they may
# call out by TLS. The VPC's own DNS resolver is not subject to groups.
resource "aws_security_group" "services" {
  name        = "${local.prefix}-services"
  description = "Services of Quarry: TLS out, nothing in"
  vpc_id      = aws_vpc.this.id

  tags = { Name = "${local.prefix}-services" }
}
