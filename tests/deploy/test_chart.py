"""The chart in every variant of `ci/`: what Helm's engine makes of it, and what Kubernetes would say.

Custom resources are unknown to Kubernetes' schemas; test_chart_types.py holds them against their own types.
"""

from __future__ import annotations

import fnmatch
import itertools
import json
import re
import string

import pytest
import yaml

from quarry_core import __version__
from quarry_core.contract import names
from quarry_core.contract.job_tags import read_job_tags
from quarry_core.settings import Settings
from tests.deploy.charts import (
    CHART,
    CONFIG,
    ROOT,
    SERVICES,
    VARIANTS,
    Refused,
    by_service,
    containers,
    environment,
    of_kind,
    pod_of,
    with_config,
)

# Those that Kubernetes supports on 2026-11-30 (1.35 to 1.37), and those that Amazon EKS still does, at its extended price.
KUBERNETES = ("1.32", "1.33", "1.34", "1.35", "1.36", "1.37")
CUSTOM = {
    "keda.sh/v1alpha1 ScaledObject",
    "keda.sh/v1alpha1 TriggerAuthentication",
    "monitoring.coreos.com/v1 PodMonitor",
    "monitoring.coreos.com/v1 ServiceMonitor",
    "monitoring.coreos.com/v1 PrometheusRule",
}
SCALERS = {"none": set(), "keda": {"ScaledObject"}, "hpa": {"HorizontalPodAutoscaler"}}
# Where the files that ship are made, and where the chart has them.
SHIPPED = {"files/rules": ("deploy/prometheus/rules", "*.yaml"), "files/dashboards": ("deploy/grafana", "*.json")}


@pytest.fixture(params=sorted(VARIANTS))
def variant(request):
    return VARIANTS[request.param]


def test_there_is_a_variant_for_everything_that_can_be_chosen():
    text = "".join(path.read_text() for path in (CHART / "ci").glob("*-values.yaml"))
    choices = ("type: keda", "type: hpa", "identity: irsa", "identity: podIdentity", "scrape: serviceMonitor")
    assert [each for each in (*choices, "scrape: none", "replicas: 0", "enabled: false") if each not in text] == []
    assert "minimal" in VARIANTS
    assert set(VARIANTS["minimal"]) == {"config"}


@pytest.mark.parametrize("version", [KUBERNETES[0], KUBERNETES[-1]])
def test_lint_finds_nothing(helm, variant, version):
    assert helm.ask("lint", chart=str(CHART), values=variant, version=version) == []


def test_lint_would_find_something(helm):
    assert helm.ask("lint", chart=str(CHART), values={}, version=KUBERNETES[0]) != []


@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_takes_every_object(helm, variant, version):
    said = helm.ask("validate", objects=helm.objects(variant), version=version)
    assert said["faults"] == []
    assert set(said["unknown"]) <= CUSTOM


@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_would_not_take_a_wrong_one(helm, version):
    objects = helm.objects(VARIANTS["minimal"])
    of_kind(objects, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0]["comand"] = ["true"]
    of_kind(objects, "PodDisruptionBudget")[0]["spec"]["selector"] = "all"
    of_kind(objects, "NetworkPolicy")[0]["kind"] = "NetworkPolice"
    said = helm.ask("validate", objects=objects, version=version)
    assert len(said["faults"]) == 2
    assert "networking.k8s.io/v1 NetworkPolice" in said["unknown"]


def test_every_object_has_a_name_of_its_own_its_namespace_and_the_common_labels(helm, variant):
    objects = helm.objects(variant)
    named = [(each["apiVersion"], each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(set(named)) == len(named)
    for each in objects:
        assert each["metadata"]["namespace"] == "quarry"
        assert each["metadata"]["labels"]["app.kubernetes.io/instance"] == "quarry"
        assert re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?", each["metadata"]["name"])


# By which keys server-side apply merges the items of a list, in a pod and in a service (x-kubernetes-list-map-keys).
MERGED_BY = {
    "containers": ("name",),
    "env": ("name",),
    "hostAliases": ("ip",),
    "imagePullSecrets": ("name",),
    "initContainers": ("name",),
    "ports": ("containerPort", "port", "protocol"),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
}


def twice_in_lists(one):
    """The lists of an object in which two items have the same keys, which server-side apply refuses."""
    if isinstance(one, list):
        return [found for each in one for found in twice_in_lists(each)]
    if not isinstance(one, dict):
        return []
    found = [inner for value in one.values() for inner in twice_in_lists(value)]
    for name, keys in MERGED_BY.items():
        items = [tuple(each.get(key) for key in keys) for each in one.get(name) or [] if isinstance(each, dict)]
        found += [f"{name}: {item}" for item in sorted(set(items), key=str) if items.count(item) > 1]
    return found


def test_no_list_has_a_key_twice_for_helm_4_installs_by_server_side_apply(helm, variant):
    assert [found for each in helm.objects(variant) for found in twice_in_lists(each)] == []


def test_a_key_that_stands_twice_would_be_found(helm):
    deployment = of_kind(helm.objects(VARIANTS["minimal"]), "Deployment")[0]
    (container,) = containers(pod_of(deployment))
    container["ports"].append(dict(container["ports"][0], name="again"))
    container["env"] = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]
    assert [found.partition(":")[0] for found in twice_in_lists(deployment)] == ["env", "ports"]


def test_a_long_release_name_still_makes_names(helm):
    """Pods and targets bear theirs as labels, at most 63 characters long; files may be called longer."""
    for each in helm.objects(VARIANTS["keda"], release="r" * 53):
        assert len(each["metadata"]["name"]) <= (253 if each["kind"] in {"ConfigMap", "PrometheusRule"} else 63)
        assert all(len(value) <= 63 for value in each["metadata"]["labels"].values())


def test_the_chart_speaks_of_the_version_of_the_code(helm):
    metadata = helm.ask("metadata", chart=str(CHART))
    assert metadata["appVersion"] == __version__
    assert metadata["kubeVersion"] == f">={KUBERNETES[0]}.0-0"


def test_the_readme_names_the_versions_that_the_chart_is_checked_with(helm):
    text = " ".join((CHART / "README.md").read_text().replace("**", "").split())
    assert helm.ask("helm_version").startswith("v4.")
    assert f"Helm 4 (checked with the engine of {helm.ask('helm_version').removeprefix('v')})" in text
    assert f"Kubernetes {KUBERNETES[0]} to {KUBERNETES[-1]}" in text


# ------------------------------------------------------------------ settings and secrets


def test_what_terraform_gives_is_taken_as_it_stands(helm):
    assert of_kind(helm.objects({"config": CONFIG}), "Deployment")


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_the_variants_have_what_terraform_gives(name):
    assert VARIANTS[name]["config"] == CONFIG


def test_the_services_read_their_settings_from_it(helm, variant, monkeypatch):
    objects = helm.objects(variant)
    for service, deployment in by_service(objects, "Deployment").items():
        variables = environment(deployment, objects)
        with monkeypatch.context() as process:
            for name, value in variables.items():
                process.setenv(name, value)
            settings = Settings()
        assert (settings.env, settings.region, settings.job_quota) == (
            CONFIG["env"],
            CONFIG["region"],
            CONFIG["jobQuota"],
        )
        assert (settings.bucket, settings.table) == (CONFIG["bucket"], CONFIG["table"])
        assert settings.bedrock_role_arn == CONFIG["bedrockRoleArn"]
        if service in SERVICES:
            assert settings.metrics_port == containers(pod_of(deployment))[0]["ports"][0]["containerPort"]
        for queue in names.QUEUES:
            urls = CONFIG["queues"][queue]
            assert settings.queue_urls(queue) == (urls["url"], urls["dlqUrl"]), (service, queue)
        assert pod_of(deployment)["spec"]["terminationGracePeriodSeconds"] >= settings.drain_s + 10


def test_it_is_the_environment_that_terraform_gives_the_tasks_on_ecs(helm):
    """Both are made of the same names; the queues' part is computed there from one table."""
    text = (ROOT / "terraform/modules/pipeline/environment.tf").read_text()
    always = set(re.findall(r"^ +(QUARRY_[A-Z_]+) +=", text, re.MULTILINE))
    where_set = set(re.findall(r"[{] (QUARRY_[A-Z_]+) += ", text))
    urls = {names.queue_url_variable(queue) for queue in names.QUEUES}
    urls |= {each.replace("_QUEUE_URL", "_DLQ_URL") for each in urls}

    assert set(scheduler_of(helm)) == always | urls
    assert set(scheduler_of(helm, WHERE_SET)) == always | where_set | urls


def scheduler_of(helm, config=()):
    objects = helm.objects({"config": CONFIG | dict(config)})
    return environment(by_service(objects, "Deployment")["scheduler"], objects)


# What `helm_values` has only where Terraform's variable is set.
WHERE_SET = {"jobTags": {"team": "search", "cost-center": "4711"}, "budgetUsd": 1_250_000.5, "readBatchMetrics": True}


def test_tags_and_budget_reach_the_services_as_they_were_given(helm, monkeypatch):
    for name, value in scheduler_of(helm, WHERE_SET).items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert read_job_tags(settings.job_tags) == WHERE_SET["jobTags"]
    assert settings.budget_usd == WHERE_SET["budgetUsd"]
    assert settings.read_batch_metrics


def test_a_services_own_settings_go_over_the_common_ones(helm):
    objects = helm.objects(VARIANTS["everything"])
    deployments = by_service(objects, "Deployment")
    assert environment(deployments["collector"], objects)["QUARRY_SETTLE_CONCURRENCY"] == "2"
    assert "QUARRY_SETTLE_CONCURRENCY" not in environment(deployments["scheduler"], objects)
    for deployment in deployments.values():
        assert environment(deployment, objects)["QUARRY_SHARD_BYTES_MAX"] == "950000000"


@pytest.mark.parametrize(
    ("default", "own", "found"),
    [
        ({"pdb": {"enabled": True}}, {"pdb": {"enabled": False}}, False),
        ({"pdb": {"enabled": False}}, {"pdb": {"enabled": True}}, True),
        ({"pdb": {"enabled": False}}, {}, False),
    ],
)
def test_false_goes_over_true_too(helm, default, own, found):
    objects = helm.objects(with_config(defaults=default, collector=own))
    assert ("collector" in by_service(objects, "PodDisruptionBudget")) is found


def test_no_secret_stands_anywhere(helm, variant):
    objects = helm.objects(variant)
    assert of_kind(objects, "Secret") == []
    words = re.compile(r"ACCESS_KEY|SECRET|TOKEN|PASSWORD|AKIA[0-9A-Z]{16}")
    for each in of_kind(objects, "ConfigMap"):
        if not each["metadata"]["name"].startswith("quarry-dashboard-"):
            assert not words.search(json.dumps(each["data"]))
    for each in of_kind(objects, "Deployment", "Pod"):
        given = [one for container in containers(pod_of(each)) for one in container.get("env", [])]
        assert not words.search(json.dumps([one for one in given if "valueFrom" not in one]))


def test_the_preprocessor_alone_has_the_hubs_token_and_from_a_secret(helm):
    found = {
        service: [one for one in containers(pod_of(deployment))[0].get("env", []) if one["name"] == "HF_TOKEN"]
        for service, deployment in by_service(helm.objects(VARIANTS["everything"]), "Deployment").items()
    }
    from_secret = {"secretKeyRef": {"name": "hugging-face", "key": "token"}}
    assert found == {
        "preprocessor": [{"name": "HF_TOKEN", "valueFrom": from_secret}],
        "scheduler": [],
        "collector": [],
    }


def _names(objects):
    return {each["metadata"]["name"] for each in objects}


def test_names_may_be_given_in_place_of_the_release_and_the_chart(helm):
    plain = _names(helm.objects(VARIANTS["minimal"]))
    overridden = _names(helm.objects({**VARIANTS["minimal"], "fullnameOverride": "batch"}))
    assert overridden == {name.replace("quarry", "batch", 1) for name in plain}
    renamed = helm.objects({**VARIANTS["minimal"], "nameOverride": "lines"}, release="team")
    assert {name.partition("-")[0] + "-" + name.split("-")[1] for name in _names(renamed)} == {"team-lines"}
    for each in of_kind(renamed, "Deployment"):
        assert each["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"] == "lines"
        assert each["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"] == "lines"


def test_secrets_to_pull_with_may_be_written_as_kubernetes_does(helm):
    values = {
        **VARIANTS["minimal"],
        "imagePullSecrets": [{"name": "one"}, {"name": "two"}],
        "image": {"pullSecrets": ["two", "three"]},
    }
    for each in of_kind(helm.objects(values), "Deployment", "Pod"):
        assert pod_of(each)["spec"]["imagePullSecrets"] == [{"name": "two"}, {"name": "three"}, {"name": "one"}]


def test_further_variables_are_taken_as_they_are(helm):
    given = [
        {"name": "HTTPS_PROXY", "value": "http://proxy:3128"},
        {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
    ]
    deployments = by_service(helm.objects({**VARIANTS["minimal"], "scheduler": {"extraEnv": given}}), "Deployment")
    found = {service: containers(pod_of(each))[0].get("env", []) for service, each in deployments.items()}

    assert found == {"preprocessor": [], "scheduler": given, "collector": []}


def test_the_collector_alone_has_the_webhooks_key_and_from_a_secret(helm):
    found = {
        service: [
            one for one in containers(pod_of(deployment))[0].get("env", []) if one["name"] == "QUARRY_WEBHOOK_KEY"
        ]
        for service, deployment in by_service(helm.objects(VARIANTS["everything"]), "Deployment").items()
    }
    from_secret = {"secretKeyRef": {"name": "webhook", "key": "key"}}
    assert found == {
        "preprocessor": [],
        "scheduler": [],
        "collector": [{"name": "QUARRY_WEBHOOK_KEY", "valueFrom": from_secret}],
    }


def test_a_changed_setting_is_a_new_pod(helm):
    def annotation(**config):
        values = with_config(config={**CONFIG, **config})
        (deployment,) = of_kind(helm.objects({**values, **only_collector}), "Deployment")
        return pod_of(deployment)["metadata"]["annotations"]["checksum/config"]

    only_collector = {key: VARIANTS["one-service"][key] for key in ("preprocessor", "scheduler", "test")}
    assert annotation() == annotation()
    assert annotation() != annotation(jobQuota=21)


# ------------------------------------------------------------------ pods


def test_pods_satisfy_the_restricted_standard_and_more(helm, variant):
    for manifest in of_kind(helm.objects(variant), "Deployment", "Pod"):
        pod = pod_of(manifest)["spec"]
        assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & set(pod)
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "runAsGroup": 10001,
            "fsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        for container in containers(pod_of(manifest)):
            assert container["securityContext"] == {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "runAsGroup": 10001,
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
                "seccompProfile": {"type": "RuntimeDefault"},
            }
            assert container["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]
            assert all("hostPort" not in port for port in container.get("ports", []))
            assert container["resources"]["limits"]["memory"]
            assert container["resources"]["requests"]["memory"]
        (volume,) = pod["volumes"]
        assert set(volume) == {"name", "emptyDir"}
        assert volume["emptyDir"]["sizeLimit"]


def test_probes_ask_where_the_services_answer(helm):
    for deployment in by_service(helm.objects(VARIANTS["minimal"]), "Deployment").values():
        (container,) = containers(pod_of(deployment))
        assert container["ports"] == [{"name": "metrics", "containerPort": 9090}]
        asked = {probe: container[f"{probe}Probe"]["httpGet"] for probe in ("startup", "liveness", "readiness")}
        assert {get["port"] for get in asked.values()} == {"metrics"}
        assert asked["startup"]["path"] == asked["liveness"]["path"] == "/healthz"
        assert asked["readiness"]["path"] == "/readyz"


def test_the_spool_has_room(helm):
    """16 GiB for the shard that is settled (docs/operations.md); what else is on /tmp is nothing."""
    deployments = by_service(helm.objects(VARIANTS["minimal"]), "Deployment")
    sizes = {name: pod_of(each)["spec"]["volumes"][0]["emptyDir"]["sizeLimit"] for name, each in deployments.items()}
    assert sizes == {"preprocessor": "4Gi", "scheduler": "256Mi", "collector": "20Gi"}


def test_selectors_find_the_pods_of_one_service_and_no_other(helm, variant):
    objects = helm.objects(variant)
    deployments = by_service(objects, "Deployment")
    pods = {name: pod_of(each)["metadata"]["labels"] for name, each in deployments.items()}
    (doctor,) = of_kind(objects, "Pod")
    pods["doctor"] = doctor["metadata"]["labels"]

    def found(selector):
        return {name for name, labels in pods.items() if selector.items() <= labels.items()}

    for name, each in deployments.items():
        assert found(each["spec"]["selector"]["matchLabels"]) == {name}
        for spread in pod_of(each)["spec"].get("topologySpreadConstraints", []):
            assert found(spread["labelSelector"]["matchLabels"]) == {name}
    for name, each in by_service(objects, "PodDisruptionBudget").items():
        assert found(each["spec"]["selector"]["matchLabels"]) == {name}
    for name, each in by_service(objects, "Service").items():
        assert found(each["spec"]["selector"]) == {name}
    for each in of_kind(objects, "NetworkPolicy"):
        of_all = each["metadata"]["name"] == "quarry"
        assert found(each["spec"]["podSelector"]["matchLabels"]) == (set(pods) if of_all else {"page"})


def test_a_pdb_lets_nodes_be_drained(helm):
    budgets = by_service(helm.objects(VARIANTS["minimal"]), "PodDisruptionBudget")
    assert {name: each["spec"]["maxUnavailable"] for name, each in budgets.items()} == dict.fromkeys(SERVICES, 1)


def test_the_test_is_doctor(helm):
    (pod,) = of_kind(helm.objects(VARIANTS["everything"]), "Pod")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    (container,) = containers(pod)
    assert container["command"] == ["quarry", "doctor"]
    model = ["--model", "anthropic.claude-haiku-4-5-20251001-v1:0"]
    assert container["args"] == ["--scheduler-role", "dev-quarry-scheduler", *model]
    assert pod["spec"]["serviceAccountName"] == "quarry-scheduler"
    assert of_kind(helm.objects(with_config(test={"enabled": False})), "Pod") == []


def test_images_are_put_together(helm):
    def images(values):
        return {
            each["metadata"]["name"]: containers(pod_of(each))[0]["image"]
            for each in of_kind(helm.objects(values), "Deployment", "Pod")
        }

    assert images(VARIANTS["minimal"]) == {
        **{f"quarry-{service}": f"quarry-{service}:{__version__}" for service in SERVICES},
        "quarry-doctor": f"quarry-cli:{__version__}",
    }
    there = "123456789012.dkr.ecr.us-east-1.amazonaws.com/dev-quarry-"
    found = images(VARIANTS["registry"])
    assert found["quarry-scheduler"] == f"{there}scheduler:v0.2.0"
    assert found["quarry-doctor"] == f"{there}cli:v0.2.0"
    assert found["quarry-collector"].startswith(f"{there}collector@sha256:")
    for each in of_kind(helm.objects(VARIANTS["registry"]), "Deployment", "Pod"):
        assert pod_of(each)["spec"]["imagePullSecrets"] == [{"name": "registry"}]


# ------------------------------------------------------------------ who a pod is


def test_service_accounts_bear_the_roles_only_with_irsa(helm, variant):
    objects = helm.objects(variant)
    irsa = variant.get("aws", {}).get("identity") == "irsa"
    for service, account in by_service(objects, "ServiceAccount").items():
        role = account["metadata"].get("annotations", {}).get("eks.amazonaws.com/role-arn")
        assert role == (CONFIG["roleArns"][service] if irsa else None)
        assert account["automountServiceAccountToken"] is False


def test_each_service_has_the_account_that_terraform_expects(helm):
    text = (ROOT / "terraform/modules/pipeline/variables.tf").read_text()
    expected = dict(re.findall(r'(\w+) += "(quarry-(?:preprocessor|scheduler|collector))"', text))
    objects = helm.objects(VARIANTS["minimal"])
    used = {
        name: pod_of(each)["spec"]["serviceAccountName"] for name, each in by_service(objects, "Deployment").items()
    }
    made = {name: each["metadata"]["name"] for name, each in by_service(objects, "ServiceAccount").items()}
    assert used == made == expected


def test_accounts_that_stand_are_used_and_not_made(helm):
    objects = helm.objects(VARIANTS["pod-identity"])
    assert of_kind(objects, "ServiceAccount") == []
    for name, each in by_service(objects, "Deployment").items():
        assert pod_of(each)["spec"]["serviceAccountName"] == f"batch-{name}"
    assert of_kind(objects, "Pod")[0]["spec"]["serviceAccountName"] == "batch-scheduler"


# ------------------------------------------------------------------ how many pods


@pytest.mark.parametrize("types", list(itertools.product(SCALERS, repeat=3)), ids=" ".join)
def test_keda_and_hpa_never_both_and_no_replicas_beside_them(helm, types):
    chosen = dict(zip(SERVICES, types, strict=True))
    objects = helm.objects(with_config(**{name: {"autoscaling": {"type": each}} for name, each in chosen.items()}))
    for service, kind in chosen.items():
        scalers = [
            each["kind"]
            for each in of_kind(objects, "ScaledObject", "HorizontalPodAutoscaler")
            if each["spec"]["scaleTargetRef"]["name"] == f"quarry-{service}"
        ]
        assert set(scalers) == SCALERS[kind]
        assert len(scalers) <= 1
        assert ("replicas" in by_service(objects, "Deployment")[service]["spec"]) is (kind == "none")


@pytest.mark.parametrize("default", list(SCALERS))
@pytest.mark.parametrize("own", list(SCALERS))
def test_a_services_own_kind_replaces_the_common_one(helm, default, own):
    values = with_config(defaults={"autoscaling": {"type": default}}, collector={"autoscaling": {"type": own}})
    objects = helm.objects(values)
    for service, kind in {"preprocessor": default, "scheduler": default, "collector": own}.items():
        found = {
            each["kind"]
            for each in of_kind(objects, "ScaledObject", "HorizontalPodAutoscaler")
            if each["spec"]["scaleTargetRef"]["name"] == f"quarry-{service}"
        }
        assert found == SCALERS[kind]


def test_keda_asks_every_queue_that_the_service_reads(helm):
    scaled = by_service(helm.objects(VARIANTS["keda"]), "ScaledObject")
    asked = {
        name: [trigger["metadata"]["queueURL"] for trigger in each["spec"]["triggers"]] for name, each in scaled.items()
    }
    assert asked == {
        service: [CONFIG["queues"][queue]["url"] for queue in queues] for service, queues in _queues_read().items()
    }
    for each in scaled.values():
        for trigger in each["spec"]["triggers"]:
            assert trigger["type"] == "aws-sqs-queue"
            assert all(isinstance(value, str) for value in trigger["metadata"].values())
            assert trigger["metadata"]["scaleOnInFlight"] == "true"
            assert trigger["metadata"]["awsRegion"] == CONFIG["region"]


def _queues_read():
    """Service to its queues, as Terraform counts their backlog on ECS."""
    text = (ROOT / "terraform/modules/ecs_services/main.tf").read_text()
    return {
        name: json.loads(queues) for name, queues in re.findall(r"^ +(\w+) += (\[\"[a-z\", -]+\])$", text, re.MULTILINE)
    }


def test_keda_has_one_authentication_by_its_own_role(helm):
    objects = helm.objects(VARIANTS["keda"])
    (authentication,) = of_kind(objects, "TriggerAuthentication")
    assert authentication["spec"] == {"podIdentity": {"provider": "aws"}}
    used = {
        trigger["authenticationRef"]["name"]
        for each in of_kind(objects, "ScaledObject")
        for trigger in each["spec"]["triggers"]
    }
    assert used == {authentication["metadata"]["name"]}
    assert of_kind(helm.objects(VARIANTS["hpa"]), "TriggerAuthentication") == []


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("keda", {"preprocessor": 0, "scheduler": 1, "collector": 0}),
        ("keda-to-zero", dict.fromkeys(SERVICES, 0)),
    ],
)
def test_how_far_down_keda_goes(helm, name, least):
    scaled = by_service(helm.objects(VARIANTS[name]), "ScaledObject")
    assert {service: each["spec"]["minReplicaCount"] for service, each in scaled.items()} == least


def test_an_hpa_goes_by_cpu_or_by_a_metric(helm):
    scalers = by_service(helm.objects(VARIANTS["hpa"]), "HorizontalPodAutoscaler")
    assert [metric["type"] for metric in scalers["preprocessor"]["spec"]["metrics"]] == ["Resource"]
    (metric,) = scalers["collector"]["spec"]["metrics"]
    assert metric["external"]["metric"]["name"] == "quarry_queue_messages"
    assert metric["external"]["target"] == {"type": "AverageValue", "averageValue": "4"}


def test_a_night_is_no_pods(helm):
    deployments = by_service(helm.objects(VARIANTS["stopped"]), "Deployment")
    assert {each["spec"]["replicas"] for each in deployments.values()} == {0}


# ------------------------------------------------------------------ network, metrics, rules


@pytest.mark.parametrize(("name", "agent"), [("minimal", True), ("irsa", False)])
def test_the_network_policy_lets_out_what_is_needed_and_in_the_scrape(helm, name, agent):
    (policy,) = of_kind(helm.objects(VARIANTS[name]), "NetworkPolicy")
    spec = policy["spec"]
    assert set(spec["policyTypes"]) == {"Ingress", "Egress"}
    (ingress,) = spec["ingress"]
    assert ingress["ports"] == [{"protocol": "TCP", "port": 9090}]
    (source,) = ingress["from"]
    assert source == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    anywhere = {port["port"] for rule in spec["egress"] if "to" not in rule for port in rule["ports"]}
    assert anywhere == {53, 443}
    somewhere = [rule for rule in spec["egress"] if "to" in rule]
    assert bool(somewhere) is agent
    if agent:
        assert somewhere[0]["to"][0] == {"ipBlock": {"cidr": "169.254.170.23/32"}}
        assert somewhere[0]["ports"] == [{"protocol": "TCP", "port": 80}]


def test_without_a_policy_there_is_none(helm):
    assert of_kind(helm.objects(VARIANTS["no-network-policy"]), "NetworkPolicy") == []


@pytest.mark.parametrize(
    ("name", "kind", "endpoints"),
    [("minimal", "PodMonitor", "podMetricsEndpoints"), ("servicemonitor", "ServiceMonitor", "endpoints")],
)
def test_targets_are_called_as_the_rules_call_them(helm, name, kind, endpoints):
    objects = helm.objects(VARIANTS[name])
    (monitor,) = of_kind(objects, "PodMonitor", "ServiceMonitor")
    assert monitor["kind"] == kind
    (endpoint,) = monitor["spec"][endpoints]
    assert (endpoint["port"], endpoint["path"]) == ("metrics", "/metrics")
    for service, deployment in by_service(objects, "Deployment").items():
        labels = _relabeled(endpoint["relabelings"], pod_of(deployment)["metadata"]["labels"])
        assert labels["job"] == f"quarry-{service}"
        assert labels["env"] == CONFIG["env"]


@pytest.mark.parametrize("scrape", ["podMonitor", "serviceMonitor"])
def test_targets_get_the_label_of_their_cluster_if_it_is_named(helm, scrape):
    def clusters(**monitoring):
        objects = helm.objects(with_config(monitoring={"scrape": scrape, **monitoring}))
        [monitor] = of_kind(objects, "PodMonitor", "ServiceMonitor")
        endpoints = monitor["spec"].get("podMetricsEndpoints") or monitor["spec"]["endpoints"]
        return [each for one in endpoints for each in one["relabelings"] if each.get("targetLabel") == "cluster"]

    assert clusters() == []
    assert clusters(cluster="east-1") == [{"replacement": "east-1", "targetLabel": "cluster"}]


def _relabeled(relabelings, pod_labels):
    """Prometheus' `replace` and `labeldrop` on what the operator knows of a pod."""
    labels = {
        f"__meta_kubernetes_pod_label_{re.sub('[^a-zA-Z0-9_]', '_', name)}": value for name, value in pod_labels.items()
    }
    labels |= dict.fromkeys(("namespace", "pod", "container", "endpoint", "service", "job", "instance"), "x")
    for each in relabelings:
        if each.get("action") == "labeldrop":
            labels = {name: value for name, value in labels.items() if not re.fullmatch(each["regex"], name)}
            continue
        found = re.fullmatch(each.get("regex", "(.*)"), ";".join(labels[name] for name in each.get("sourceLabels", [])))
        if found:
            labels[each["targetLabel"]] = (
                string.Template(re.sub(r"\$(\d)", r"${g\1}", each["replacement"])).substitute(
                    {f"g{number}": group for number, group in enumerate(found.groups(), 1)}, g0=found[0]
                )
                if "$" in each["replacement"]
                else each["replacement"]
            )
    return labels


def test_no_target_label_pushes_aside_a_label_of_the_metrics(helm):
    """Prometheus would rename the metric's to exported_..., and no rule would find it."""
    ours = set(
        re.findall(
            r"`(\w+)`",
            " ".join(
                line.split("|")[3]
                for line in (ROOT / "docs/metrics.md").read_text().splitlines()
                if line.startswith("| `quarry_")
            ),
        )
    )
    assert {"service", "queue", "pool"} <= ours
    added = {"PodMonitor": {"namespace", "pod", "container", "endpoint", "job", "env", "instance"}}
    added["ServiceMonitor"] = added["PodMonitor"] | {"service"}
    for name in ("minimal", "servicemonitor"):
        (monitor,) = of_kind(helm.objects(VARIANTS[name]), "PodMonitor", "ServiceMonitor")
        (endpoint,) = monitor["spec"].get("endpoints") or monitor["spec"]["podMetricsEndpoints"]
        dropped = {each["regex"] for each in endpoint["relabelings"] if each.get("action") == "labeldrop"}
        assert not (added[monitor["kind"]] - dropped) & ours


def test_monitors_find_the_services_and_not_the_test(helm):
    objects = helm.objects(VARIANTS["minimal"])
    (monitor,) = of_kind(objects, "PodMonitor")
    (wanted,) = monitor["spec"]["selector"]["matchExpressions"]
    assert wanted["key"] == "app.kubernetes.io/component"
    assert sorted(wanted["values"]) == sorted(SERVICES)
    objects = helm.objects(VARIANTS["servicemonitor"])
    (monitor,) = of_kind(objects, "ServiceMonitor")
    assert monitor["metadata"]["labels"]["release"] == "kube-prometheus-stack"
    services = by_service(objects, "Service")
    assert set(services) == set(SERVICES)
    for each in services.values():
        assert each["spec"]["clusterIP"] == "None"
        assert monitor["spec"]["selector"]["matchLabels"].items() <= each["metadata"]["labels"].items()


def test_without_the_operator_nothing_of_it_is_there(helm):
    objects = helm.objects(VARIANTS["no-operator"])
    assert [each["kind"] for each in objects if each["apiVersion"].startswith("monitoring.coreos.com/")] == []
    assert [each["metadata"]["name"] for each in of_kind(objects, "ConfigMap")] == ["quarry-config"]


@pytest.mark.parametrize("where", sorted(SHIPPED))
@pytest.mark.parametrize("packaged", [False, True])
def test_the_chart_has_the_very_files_that_ship(helm, tmp_path, where, packaged):
    """Helm follows the links in `files/`, in a directory and when it packages one."""
    directory, glob = SHIPPED[where]
    sources = {f"{where}/{path.name}": path.read_text() for path in (ROOT / directory).glob(glob)}
    chart = helm.ask("package", chart=str(CHART), destination=str(tmp_path)) if packaged else str(CHART)
    given = helm.ask("files", chart=chart)
    inside = {name: text for name, text in given.items() if fnmatch.fnmatch(name, f"{where}/{glob}")}
    assert inside == sources, f"deploy/helm/quarry/{where} must be a link to ../../../../{directory}"
    assert [name for name in given if name.startswith("files/") and not name.endswith((".yaml", ".json"))] == []


def test_what_ships_arrives_in_the_cluster(helm):
    objects = helm.objects(VARIANTS["minimal"])
    rules = {each["metadata"]["name"]: each["spec"] for each in of_kind(objects, "PrometheusRule")}
    assert rules == {
        f"quarry-{path.stem}": yaml.safe_load(path.read_text())
        for path in (ROOT / "deploy/prometheus/rules").glob("*.yaml")
    }
    maps = {each["metadata"]["name"]: each["data"] for each in of_kind(objects, "ConfigMap")}
    del maps["quarry-config"]
    dashboards = {name: {key: json.loads(text) for key, text in data.items()} for name, data in maps.items()}
    assert dashboards == {
        f"quarry-dashboard-{path.stem}": {f"quarry-{path.name}": json.loads(path.read_text())}
        for path in (ROOT / "deploy/grafana").glob("*.json")
    }
    assert rules
    assert dashboards


def test_links_to_the_runbook_lead_to_where_it_is_read(helm):
    where = "https://wiki.example.com/quarry/runbook"
    objects = helm.objects(with_config(monitoring={"runbookUrl": where}))
    groups = [group for each in of_kind(objects, "PrometheusRule") for group in each["spec"]["groups"]]
    alerts = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    assert {rule["annotations"]["runbook_url"] for rule in alerts} == {
        f"{where}#{rule['alert'].lower()}" for rule in alerts
    }
    boards = [text for each in of_kind(objects, "ConfigMap") for text in each["data"].values() if "quarry-" in text]
    links = [link for text in boards if text.startswith("{") for link in json.loads(text)["templating"]["list"]]
    assert [link["current"]["value"] for link in links if link["name"] == "runbook"] == [where] * 3


@pytest.mark.parametrize(
    "wrong", ["docs/runbook.md", "javascript:alert(1)", "https://a b", 'https://a"b', "https://a#b"]
)
def test_a_runbook_that_no_browser_could_follow_is_refused(helm, wrong):
    with pytest.raises(Refused, match="runbookUrl"):
        helm.objects(with_config(monitoring={"runbookUrl": wrong}))


@pytest.mark.parametrize("packaged", [False, True])
def test_rules_and_dashboards_go_through_helm_unharmed(helm, tmp_path, packaged):
    """Alerts and dashboards hold braces of their own, which are not Helm's."""
    chart = _copy_with_links(tmp_path)
    source = helm.ask("package", chart=str(chart), destination=str(tmp_path)) if packaged else str(chart)
    inside = [name for name in helm.ask("files", chart=str(source)) if name.startswith("files/")]
    assert sorted(inside) == ["files/dashboards/overview.json", "files/rules/alerts.yaml"]
    objects = helm.objects(with_config(monitoring={"labels": {"release": "prometheus"}}), chart=source)
    (rule,) = of_kind(objects, "PrometheusRule")
    assert rule["metadata"]["name"] == "quarry-alerts"
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    assert rule["spec"] == yaml.safe_load(RULES)
    (dashboard,) = [each for each in of_kind(objects, "ConfigMap") if "dashboard" in each["metadata"]["name"]]
    assert dashboard["metadata"]["name"] == "quarry-dashboard-overview"
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(dashboard["data"]["quarry-overview.json"]) == json.loads(DASHBOARD)
    idle = {"rules": {"enabled": False}, "dashboards": {"enabled": False}}
    without = helm.objects(with_config(monitoring=idle), chart=source)
    assert len(without) == len(objects) - 2


RULES = """# A comment.
groups:
  - name: quarry-alerts
    rules:
      - alert: QuarryTargetDown
        expr: up{job=~"quarry-.*"} == 0
        for: 5m
        annotations:
          summary: '{{ $labels.job }} is down for {{ $value | humanize }}'
"""
DASHBOARD = '{\n  "title": "Overview",\n  "legend": "{{queue}}",\n  "uid": "quarry"\n}\n'


def _copy_with_links(tmp_path):
    """The chart, whose files are links out of it."""
    chart = tmp_path / "quarry"
    for path in CHART.rglob("*"):
        inside = path.relative_to(CHART)
        if path.is_file() and inside.parts[0] not in {"ci", "files"}:
            (chart / inside).parent.mkdir(parents=True, exist_ok=True)
            (chart / inside).write_bytes(path.read_bytes())
    for kind, name, text in (("rules", "alerts.yaml", RULES), ("dashboards", "overview.json", DASHBOARD)):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / name).write_text(text)
        (tmp_path / kind / "source").mkdir()
        for beside in ("README.md", "panels.py", "source/overview.py"):
            (tmp_path / kind / beside).write_text("not for a release\n")
        (chart / "files").mkdir(exist_ok=True)
        (chart / "files" / kind).symlink_to(tmp_path / kind, target_is_directory=True)
    return chart


def test_the_notes_say_how_to_look(helm):
    notes = helm.texts(VARIANTS["keda"])["NOTES.txt"]
    assert "collector: 0 to 8 pods, by keda, service account quarry-collector" in notes
    assert "helm test quarry --namespace quarry" in notes
    assert CONFIG["queues"]["manifests"]["url"] in notes
