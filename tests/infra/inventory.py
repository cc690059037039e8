"""What stands in an embedded AWS, as a set of names: to see that nothing is left after a destroy."""

from __future__ import annotations

from typing import Any

from quarry_local.clients import Clients

# service, operation, arguments, where the list is, what names one of it
LISTS: tuple[tuple[str, str, dict[str, Any], str, str], ...] = (
    ("s3", "list_buckets", {}, "Buckets", "Name"),
    ("dynamodb", "list_tables", {}, "TableNames", ""),
    ("sqs", "list_queues", {}, "QueueUrls", ""),
    ("sns", "list_topics", {}, "Topics", "TopicArn"),
    ("events", "list_rules", {}, "Rules", "Name"),
    ("scheduler", "list_schedules", {}, "Schedules", "Name"),
    ("iam", "list_roles", {}, "Roles", "RoleName"),
    ("iam", "list_policies", {"Scope": "Local"}, "Policies", "PolicyName"),
    ("iam", "list_instance_profiles", {}, "InstanceProfiles", "InstanceProfileName"),
    ("kms", "list_aliases", {}, "Aliases", "AliasName"),
    ("logs", "describe_log_groups", {}, "logGroups", "logGroupName"),
    ("cloudwatch", "describe_alarms", {}, "MetricAlarms", "AlarmName"),
    ("cloudtrail", "describe_trails", {}, "trailList", "Name"),
    ("ecr", "describe_repositories", {}, "repositories", "repositoryName"),
    ("ecs", "list_clusters", {}, "clusterArns", ""),
    ("servicediscovery", "list_namespaces", {}, "Namespaces", "Name"),
    ("ec2", "describe_vpcs", {}, "Vpcs", "VpcId"),
    ("ec2", "describe_subnets", {}, "Subnets", "SubnetId"),
    ("ec2", "describe_security_groups", {}, "SecurityGroups", "GroupId"),
    ("ec2", "describe_route_tables", {}, "RouteTables", "RouteTableId"),
    ("ec2", "describe_internet_gateways", {}, "InternetGateways", "InternetGatewayId"),
    ("ec2", "describe_addresses", {}, "Addresses", "AllocationId"),
    ("ec2", "describe_flow_logs", {}, "FlowLogs", "FlowLogId"),
)
# Deleted things of these stay listed for a while, marked by their state.
FADING = (
    ("ec2", "describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId", {"deleting", "deleted"}),
    ("ec2", "describe_nat_gateways", "NatGateways", "NatGatewayId", {"deleting", "deleted"}),
)


def standing(clients: Clients) -> set[str]:
    """Names like `sqs list_queues http://...`; those that AWS itself brings are there before and after."""
    found: set[str] = set()
    for service, operation, arguments, where, name in LISTS:
        answer = getattr(clients.client(service), operation)(**arguments)
        found |= {f"{service} {operation} {one[name] if name else one}" for one in answer.get(where, [])}
    for service, operation, where, name, gone in FADING:
        answer = getattr(clients.client(service), operation)()
        found |= {f"{service} {operation} {one[name]}" for one in answer.get(where, []) if one["State"] not in gone}
    kms = clients.client("kms")
    for key in kms.list_keys()["Keys"]:
        if kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"] != "PendingDeletion":
            found.add(f"kms list_keys {key['KeyId']}")
    return found
