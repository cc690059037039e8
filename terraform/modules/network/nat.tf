# One NAT gateway in one zone: if that zone fails, work stops until it is back, and nothing is lost, for all state is in
# queues, ledger and bucket. A gateway in each zone would cost its hours two or three times for batch work that can wait.

locals {
  nat = var.egress == "nat" ? { on = true } : {}
}

resource "aws_internet_gateway" "this" {
  for_each = local.nat

  vpc_id = aws_vpc.this.id

  tags = { Name = local.prefix }
}

resource "aws_subnet" "public" {
  for_each = local.nat

  vpc_id                  = aws_vpc.this.id
  availability_zone       = var.availability_zones[0]
  cidr_block              = cidrsubnet(cidrsubnet(var.cidr, 2, 3), 2, 0)
  map_public_ip_on_launch = false

  tags = { Name = "${local.prefix}-public-${var.availability_zones[0]}" }
}

resource "aws_route_table" "public" {
  for_each = local.nat

  vpc_id = aws_vpc.this.id

  tags = { Name = "${local.prefix}-public" }
}

resource "aws_route" "internet" {
  for_each = local.nat

  route_table_id         = aws_route_table.public[each.key].id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.this[each.key].id
}

resource "aws_route_table_association" "public" {
  for_each = local.nat

  subnet_id      = aws_subnet.public[each.key].id
  route_table_id = aws_route_table.public[each.key].id
}

resource "aws_eip" "nat" {
  for_each = local.nat

  domain = "vpc"

  tags = { Name = "${local.prefix}-nat" }

  depends_on = [aws_internet_gateway.this]
}

resource "aws_nat_gateway" "this" {
  for_each = local.nat

  allocation_id = aws_eip.nat[each.key].id
  subnet_id     = aws_subnet.public[each.key].id

  tags = { Name = local.prefix }

  depends_on = [aws_route.internet]
}

resource "aws_route" "nat" {
  for_each = local.nat

  route_table_id         = aws_route_table.private.id
  destination_cidr_block = "0.0.0.0/0"
  nat_gateway_id         = aws_nat_gateway.this[each.key].id
}

resource "aws_vpc_security_group_egress_rule" "anywhere" {
  for_each = local.nat

  security_group_id = aws_security_group.services.id
  description       = "TLS to AWS and whatever else the tasks call"
  cidr_ipv4         = "0.0.0.0/0" # AWS's public addresses change; which of its resources may be used is said by the roles
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}
