"""One environment as Terraform applies it, on an emulator that enforces IAM, and everybody who works there.

Bedrock is not the emulator's: what a caller may do there is judged by `BedrockProxy`, which stands before the simulated
Bedrock and reads the caller's policies from the emulator's IAM, as they are at that moment.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from botocore.exceptions import ClientError

from quarry_local import emulator, environment, launch, loopback, processes
from quarry_local.bedrock.iam.policy import by_identity
from quarry_local.bedrock.models.foundation_models import model_arn
from quarry_local.bedrock.models.identity import resolve
from quarry_local.bedrock.models.profiles import targets
from quarry_local.clients import Clients
from quarry_local.policies import SERVICES, Place
from quarry_local.processes import Running
from tests.infra import enforcing, overrides
from tests.infra.enforcing import Caller
from tests.infra.gateway import Call, Denied, Gateway, lending
from tests.infra.terraform import Workspace

ROOT = "examples/minimal"
ENV = "proof"
CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"
TITAN = "amazon.titan-embed-text-v2:0"
PROFILE = f"us.{CLAUDE}"
OPERATOR = "operator"
BEDROCK = "bedrock"
# A role's inline policy in Terraform.
ACCESS = "access"
CALLS_AT_ONCE = "-parallelism=4"  # with ten at once the emulator has dropped an answer
JOB = "000000000000"
STOP_GRACE_S = 10.0
Document = dict[str, Any]
Asked = tuple[str, str, Mapping[str, str]]  # action, resource, context


@dataclass
class Applied:
    """The environment, and keys for everybody who works in it.

    Attributes:
        clients: root's, past the gateway, over plain HTTP.
        gateway: what all calls of the emulator go through.
        environment: the containers' variables, as Terraform tells them.
        callers: the services and Bedrock under their roles, the operator as a user with the operator's policy.
    """

    clients: Clients
    gateway: Gateway
    place: Place
    environment: Mapping[str, str]
    operator_policy_arn: str
    callers: dict[str, Caller] = field(default_factory=dict)
    bedrock_url: str = ""
    bedrock_gateway: Gateway | None = None
    bedrock_proxy: Gateway | None = None

    @property
    def root(self) -> Caller:
        """The account's administrator, over TLS."""
        return enforcing.root(Clients(self.gateway.url, self.place.region))

    @functools.cached_property
    def iam(self) -> Any:
        """Past the gateway, which asks by it."""
        return enforcing.root(self.clients).client("iam")

    def who(self, key: str) -> str:
        """The name of the caller that an access key belongs to; the key itself if it is nobody's of ours."""
        return next((name for name, one in self.callers.items() if one.keys["AccessKeyId"] == key), key)

    def policy(self, name: str) -> Document:
        """What a caller may do, as it stands in the emulator."""
        if name == OPERATOR:
            user = self.place.role(OPERATOR)
            if self.iam.list_user_policies(UserName=user)["PolicyNames"]:
                return _document(self.iam.get_user_policy(UserName=user, PolicyName=ACCESS)["PolicyDocument"])
            version = self.iam.get_policy(PolicyArn=self.operator_policy_arn)["Policy"]["DefaultVersionId"]
            reported = self.iam.get_policy_version(PolicyArn=self.operator_policy_arn, VersionId=version)
            return _document(reported["PolicyVersion"]["Document"])
        role = self.iam.get_role_policy(RoleName=self.place.role(name), PolicyName=ACCESS)
        return _document(role["PolicyDocument"])

    @contextlib.contextmanager
    def changed(self, name: str, document: Document) -> Iterator[None]:
        """Another policy in the place of a caller's, for the length of a `with` block."""
        text = json.dumps(document)
        if name == OPERATOR:  # the emulator cannot give a managed policy its former version back
            user = self.place.role(OPERATOR)
            self.iam.put_user_policy(UserName=user, PolicyName=ACCESS, PolicyDocument=text)
            self.iam.detach_user_policy(UserName=user, PolicyArn=self.operator_policy_arn)
            try:
                yield
            finally:
                self.iam.attach_user_policy(UserName=user, PolicyArn=self.operator_policy_arn)
                self.iam.delete_user_policy(UserName=user, PolicyName=ACCESS)
            return
        role = self.place.role(name)
        whole = json.dumps(self.policy(name))
        self.iam.put_role_policy(RoleName=role, PolicyName=ACCESS, PolicyDocument=text)
        try:
            yield
        finally:
            self.iam.put_role_policy(RoleName=role, PolicyName=ACCESS, PolicyDocument=whole)

    def borrow(self, name: str) -> Caller:
        """Under a role that trusts nobody here: its trust policy is another one for a moment."""
        iam, role = self.iam, self.place.role(name)
        trust = json.dumps(_document(iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]))
        everybody = {"Effect": "Allow", "Principal": {"AWS": self.account_arn}, "Action": "sts:AssumeRole"}
        opened = json.dumps({"Version": "2012-10-17", "Statement": [everybody]})
        iam.update_assume_role_policy(RoleName=role, PolicyDocument=opened)
        try:
            return enforcing.assume(self.root, self.place.role_arn(name))
        finally:
            iam.update_assume_role_policy(RoleName=role, PolicyDocument=trust)

    @property
    def account_arn(self) -> str:
        return f"arn:aws:iam::{self.place.account}:root"


@contextlib.contextmanager
def applied(home: Path) -> Iterator[Applied]:
    """Apply the smallest example with IAM enforced from the first call on, and hand out keys."""
    batches = BatchedDeletions()
    with (
        enforcing.running(home / "emulator", overrides.REGION) as clients,
        Gateway(clients.endpoint_url, batches) as gateway,
    ):
        workspace = Workspace(home / "copy", overrides.environment(gateway.url))
        overrides.put(workspace, ROOT, env=ENV, models=[CLAUDE, TITAN, PROFILE])
        workspace.init(ROOT, backend=True)
        workspace(ROOT, "apply", "-auto-approve", "-no-color", CALLS_AT_ONCE)
        reported = {name: one["value"] for name, one in json.loads(workspace(ROOT, "output", "-json")).items()}
        place = Place(ENV, overrides.REGION, overrides.ACCOUNT)
        world = Applied(clients, gateway, place, reported["environment"], reported["operator_policy_arn"])
        batches.world = world
        for service in SERVICES:
            world.callers[service] = enforcing.assume(world.root, reported["role_arns"][service])
        world.callers[BEDROCK] = world.borrow(BEDROCK)
        world.callers[OPERATOR] = _operator(world)
        with _bedrock(world, home) as world.bedrock_url:
            yield world


def _operator(world: Applied) -> Caller:
    """A user who has the operator's policy, and nothing else."""
    iam, name = world.iam, world.place.role(OPERATOR)
    iam.create_user(UserName=name)
    iam.attach_user_policy(UserName=name, PolicyArn=world.operator_policy_arn)
    return Caller(world.gateway.url, world.place.region, iam.create_access_key(UserName=name)["AccessKey"])


def _document(given: Any) -> Document:
    document: Document = json.loads(given) if isinstance(given, str) else given
    return document


class BatchedDeletions:
    """Judges a batch of deletions as AWS does, by `sqs:DeleteMessage`: the emulator asks for an action that IAM does not have.

    What the caller's policy allows goes on in root's name, since the emulator would refuse it in the caller's.
    """

    world: Applied | None = None

    def __call__(self, call: Call) -> Call:
        if self.world is None or call.header("x-amz-target") != "AmazonSQS.DeleteMessageBatch":
            return call
        name, action = self.world.who(call.key), "sqs:DeleteMessage"
        arn = self.world.place.queue_arn(str(json.loads(call.body)["QueueUrl"]).rpartition("/")[2])
        if name not in self.world.callers:
            return call
        verdict = by_identity([self.world.policy(name)], action=action, resource=arn, context={})
        if verdict.denied or not verdict.allowed:
            raise Denied(f"User: {name} is not authorized to perform: {action} on resource: {arn}")
        root = enforcing.root(self.world.clients).keys["AccessKeyId"]
        headers = {key: value for key, value in call.headers.items() if key.lower() != "x-amz-security-token"}
        signed = {
            key: value.replace(call.key, root, 1) for key, value in headers.items() if key.lower() == "authorization"
        }
        return replace(call, headers=headers | signed)


# ------------------------------------------------------------------------------------------------ Bedrock


@contextlib.contextmanager
def _bedrock(world: Applied, home: Path) -> Iterator[str]:
    """The simulated Bedrock and the proxy before it; its URL. What it does with objects it does as Bedrock's role.

    Everything it judges is judged: the role's trust, the scheduler's right to pass it, the role's reach.
    """
    objects = lending(world.callers[BEDROCK].keys, world.place.region)
    with Gateway(world.clients.endpoint_url, objects) as world.bedrock_gateway:
        command = ["-m", "quarry_local.bedrock", f"--caller-role={world.place.role('scheduler')}"]
        command += ["--check-profiles", "--seconds-per-1000-records=1"]
        variables = {
            **environment.inherited(os.environ),
            **environment.for_aws(world.bedrock_gateway.url, world.place.region, os.environ),
        }
        what = launch.Program(
            BEDROCK,
            lambda port: [sys.executable, *command, f"--port={port}"],
            lambda _: variables,
            "/healthz",
            home / "bedrock.log",
        )
        with running(what) as process:
            behind = f"http://{loopback.LOOPBACK}:{process.port}"
            with Gateway(behind, BedrockProxy(world, behind)) as proxy:
                world.bedrock_proxy = proxy
                yield proxy.url


@contextlib.contextmanager
def running(what: launch.Program) -> Iterator[Running]:
    """A program for the length of a `with` block, once it is ready."""
    process = begun = launch.begin(what)
    try:
        process = launch.finish(what, begun, emulator.READY_WITHIN_S, again=lambda _: None)
        yield process
    finally:
        processes.stop([process], STOP_GRACE_S)


class BedrockProxy:
    """Lets through to the simulated Bedrock what the caller's policies allow, and says no in AWS's words.

    The simulated Bedrock checks no signatures: for it, this does what IAM does before a call comes to Bedrock.
    """

    def __init__(self, world: Applied, behind: str) -> None:
        self._world = world
        self._bedrock = world.root.at(behind).client("bedrock")
        self._tags: dict[str, Mapping[str, str]] = {}  # by the name of the job, of all that were asked for here

    def __call__(self, call: Call) -> Call:
        name = self._world.who(call.key)
        if name not in self._world.callers:
            raise Denied(f"User: {name} is not known")
        policy = self._world.policy(name)
        for action, resource, context in self._asked(call):
            verdict = by_identity([policy], action=action, resource=resource, context=context)
            if verdict.denied or not verdict.allowed:
                raise Denied(f"User: {name} is not authorized to perform: {action} on resource: {resource}")
        return call

    def _asked(self, call: Call) -> list[Asked]:
        """The actions that IAM checks a call by, each with its resource and what is known of the request."""
        if target := call.header("x-amz-target"):  # Service Quotas stand at the same address
            return [(f"servicequotas:{target.rpartition('.')[2]}", "*", {})]
        path = unquote(call.path.partition("?")[0])
        for method, pattern, operation, resource in _OPERATIONS:
            if call.method == method and (found := re.fullmatch(pattern, path)):
                if operation == "CreateModelInvocationJob":
                    return self._asked_by_create(json.loads(call.body))
                if resource == "foundation-model":
                    return [(f"bedrock:{operation}", arn, {}) for arn in self._models(found[1])]
                arn = self._arn(resource, found[1] if found.groups() else "")
                return [(f"bedrock:{operation}", arn, self._tags_of(arn) if resource == "model-invocation-job" else {})]
        raise Denied(f"{call} is no call that anybody here should make")

    def _tags_of(self, arn: str) -> dict[str, str]:
        """What IAM knows of a job by its tags; of one that is not there, nothing."""
        try:
            job = self._bedrock.get_model_invocation_job(jobIdentifier=arn)
        except ClientError:
            return {}
        return {f"aws:ResourceTag/{key}": value for key, value in self._tags.get(job["jobName"], {}).items()}

    def _asked_by_create(self, request: Mapping[str, Any]) -> list[Asked]:
        models = self._models(request["modelId"])
        job = self._arn("model-invocation-job", JOB)
        tags = {tag["key"]: tag["value"] for tag in request.get("tags", ())}
        self._tags[request["jobName"]] = tags
        named = {f"aws:RequestTag/{key}": value for key, value in tags.items()}
        return [
            *(("bedrock:CreateModelInvocationJob", resource, named) for resource in (job, *models)),
            *([("bedrock:TagResource", job, named)] if tags else []),
            ("iam:PassRole", request["roleArn"], {"iam:PassedToService": "bedrock.amazonaws.com"}),
        ]

    def _models(self, identifier: str) -> list[str]:
        """What IAM asks about a call of a model: the model's ARN; or the profile's, and the model's wherever it leads."""
        place = self._world.place
        model = resolve(identifier, region=place.region, account=place.account)
        models = [model.arn]
        if model.profile is not None:
            geography = model.profile.partition(".")[0]
            models += [model_arn(model.id, region) for region in targets(geography, place.region)]
        return models

    def _arn(self, kind: str, given: str) -> str:
        if not kind or given.startswith("arn:"):
            return given or "*"
        return f"arn:aws:bedrock:{self._world.place.region}:{self._world.place.account}:{kind}/{given}"


# Method, path, operation, and the kind of resource that it is about, if IAM knows one.
_OPERATIONS = (
    ("POST", "/model-invocation-job", "CreateModelInvocationJob", "model-invocation-job"),
    ("GET", "/model-invocation-jobs", "ListModelInvocationJobs", ""),
    ("POST", "/model-invocation-job/(.+)/stop", "StopModelInvocationJob", "model-invocation-job"),
    ("GET", "/model-invocation-job/(.+)", "GetModelInvocationJob", "model-invocation-job"),
    # Converse is no action of its own: IAM compares it as InvokeModel.
    ("POST", "/model/(.+)/(?:converse|invoke)", "InvokeModel", "foundation-model"),
    ("POST", "/model/(.+)/count-tokens", "CountTokens", "foundation-model"),
    ("GET", "/foundation-models", "ListFoundationModels", ""),
    ("GET", "/inference-profiles", "ListInferenceProfiles", ""),
    ("GET", "/inference-profiles/(.+)", "GetInferenceProfile", "inference-profile"),
    ("GET", "/foundation-model-availability/.+", "GetFoundationModelAvailability", ""),
)
