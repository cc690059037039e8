"""The page in the chart: off by default, reached by nobody whom the values do not name, its token in no manifest."""

from __future__ import annotations

import pytest

from quarry_cli.page.guard import HEALTH
from quarry_cli.page.serve import STOP_S_MAX, Address, access_of
from quarry_cli.settings import ClientSettings, PageSettings
from quarry_core import __version__
from tests.deploy.charts import (
    CONFIG,
    VARIANTS,
    Refused,
    containers,
    environment,
    of_kind,
    pod_of,
    with_config,
)

PORT = 8080
TOKEN = {"tokenSecret": {"name": "quarry-page"}}
FROM_INGRESS = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}}


def page(**values):
    """Values with the page on."""
    return with_config(page={"enabled": True, **TOKEN, **values})


def of_page(objects, kind):
    label = "app.kubernetes.io/component"
    found = [each for each in of_kind(objects, kind) if each["metadata"]["labels"].get(label) == "page"]
    return found[0] if found else None


def arguments(objects):
    return containers(pod_of(of_page(objects, "Deployment")))[0]["args"]


def test_it_is_off_by_default(helm):
    objects = helm.objects(VARIANTS["minimal"])
    assert [each["metadata"]["name"] for each in objects if "page" in each["metadata"]["name"]] == []
    assert of_kind(objects, "Ingress") == []


def test_it_runs_the_command_with_settings_that_it_takes(helm, monkeypatch):
    objects = helm.objects(VARIANTS["page"])
    deployment = of_page(objects, "Deployment")
    (container,) = containers(pod_of(deployment))
    assert container["image"] == f"quarry-cli:{__version__}"
    assert container["args"] == ["ui", "--host", "0.0.0.0", "--port", str(PORT), "--no-open", "--write"]
    for name, value in environment(deployment, objects).items():
        monkeypatch.setenv(name, value)
    settings = PageSettings.read()
    assert settings.hosts == ["quarry.example.com", "quarry.internal:8443"]
    assert settings.ui_dashboard_url == "https://grafana.example.com/d/quarry-overview?var-run={run_id}"
    client = ClientSettings.read()
    assert (client.region, client.table, client.bucket) == (CONFIG["region"], CONFIG["table"], CONFIG["bucket"])


def test_its_token_comes_from_a_secret_alone(helm):
    (container,) = containers(pod_of(of_page(helm.objects(page()), "Deployment")))
    given = [each for each in container["env"] if each["name"] == "QUARRY_UI_TOKEN"]
    assert given == [
        {"name": "QUARRY_UI_TOKEN", "valueFrom": {"secretKeyRef": {"name": "quarry-page", "key": "token"}}}
    ]


@pytest.mark.parametrize("write", [False, True])
def test_it_controls_runs_only_where_the_values_say_so(helm, write):
    assert ("--write" in arguments(helm.objects(page(write=write)))) is write


@pytest.mark.parametrize(
    ("values", "hosts"),
    [
        ({}, ["localhost"]),
        ({"hosts": ["a.example.com"]}, ["a.example.com"]),
        ({"ingress": {"enabled": False, "host": "quarry.example.com"}}, ["localhost"]),
        (
            {"hosts": ["a.example.com"], "ingress": {"enabled": True, "host": "quarry.example.com"}},
            ["quarry.example.com", "a.example.com"],
        ),
    ],
)
def test_it_answers_the_names_that_it_is_told_and_port_forwarding(helm, values, hosts):
    objects = helm.objects(page(**values))
    given = environment(of_page(objects, "Deployment"), objects)["QUARRY_UI_ALLOW_HOSTS"]
    assert given == ",".join(hosts)
    access = access_of(Address("0.0.0.0", PORT, tuple(given.split(","))), PORT, "t" * 32)
    assert set(hosts) | {f"localhost:{PORT}"} <= access.hosts
    assert access.secure


def test_the_way_in_leads_to_its_pods(helm):
    objects = helm.objects(VARIANTS["page"])
    pod = pod_of(of_page(objects, "Deployment"))
    (container,) = containers(pod)
    assert container["ports"] == [{"name": "http", "containerPort": PORT}]
    service, ingress = of_page(objects, "Service"), of_page(objects, "Ingress")
    assert service["spec"]["type"] == "ClusterIP"
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    (port,) = service["spec"]["ports"]
    assert port["targetPort"] == "http"
    (rule,) = ingress["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert rule["host"] == "quarry.example.com"
    assert path["backend"] == {"service": {"name": service["metadata"]["name"], "port": {"name": port["name"]}}}
    assert ingress["spec"]["tls"] == [{"hosts": ["quarry.example.com"], "secretName": "quarry-example-com"}]
    assert ingress["spec"]["ingressClassName"] == "nginx"


def test_a_load_balancers_own_certificate_needs_no_secret(helm):
    annotations = {"alb.ingress.kubernetes.io/healthcheck-path": HEALTH}
    values = page(ingress={"enabled": True, "host": "quarry.example.com", "annotations": annotations})
    ingress = of_page(helm.objects(values), "Ingress")
    assert "tls" not in ingress["spec"]
    assert ingress["metadata"]["annotations"] == annotations


@pytest.mark.parametrize("allowed", [[], [FROM_INGRESS]])
def test_the_network_lets_in_whom_the_values_name_and_nobody_else(helm, allowed):
    """A rule without peers would let in everybody."""
    objects = helm.objects(page(allowFrom=allowed))
    pod = pod_of(of_page(objects, "Deployment"))["metadata"]["labels"]
    about = [
        each
        for each in of_kind(objects, "NetworkPolicy")
        if each["spec"]["podSelector"]["matchLabels"].items() <= pod.items()
    ]
    rules = [rule for each in about for rule in each["spec"]["ingress"]]
    assert all("Ingress" in each["spec"]["policyTypes"] for each in about)
    assert all(rule["from"] for rule in rules)
    assert [rule["from"] for rule in rules if {"protocol": "TCP", "port": PORT} in rule["ports"]] == (
        [allowed] if allowed else []
    )


def test_without_network_policies_it_has_none(helm):
    values = page(allowFrom=[FROM_INGRESS]) | {"networkPolicy": {"enabled": False}}
    assert of_kind(helm.objects(values), "NetworkPolicy") == []


def test_it_has_an_account_and_a_role_of_its_own(helm):
    role = "arn:aws:iam::123456789012:role/dev-quarry-page"
    irsa = {"aws": {"identity": "irsa"}, "config": {**CONFIG, "roleArns": {**CONFIG["roleArns"], "page": role}}}
    for values, annotation in ((page(), None), (page() | irsa, role)):
        objects = helm.objects(values)
        account = of_page(objects, "ServiceAccount")
        assert account["metadata"]["name"] == "quarry-page"
        assert account["metadata"].get("annotations", {}).get("eks.amazonaws.com/role-arn") == annotation
        assert account["automountServiceAccountToken"] is False
        assert pod_of(of_page(objects, "Deployment"))["spec"]["serviceAccountName"] == "quarry-page"
    there = helm.objects(page(serviceAccount={"create": False, "name": "viewer"}))
    assert of_page(there, "ServiceAccount") is None
    assert pod_of(of_page(there, "Deployment"))["spec"]["serviceAccountName"] == "viewer"


def test_probes_ask_for_its_health_and_a_stop_waits_for_an_action(helm):
    pod = pod_of(of_page(helm.objects(page()), "Deployment"))
    (container,) = containers(pod)
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"] == {"path": HEALTH, "port": "http"}
    assert pod["spec"]["terminationGracePeriodSeconds"] >= STOP_S_MAX + 10


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"tokenSecret": {"name": ""}}, "page.tokenSecret.name is needed"),
        ({"ingress": {"enabled": True}}, "page.ingress.host is needed"),
        ({"serviceAccount": {"create": False}}, "page.serviceAccount: with create=false"),
        ({"image": "quarry-cli:latest"}, "page.image is latest"),
        (
            {"extraEnv": [{"name": "QUARRY_UI_TOKEN", "value": "x"}]},
            "page.extraEnv: QUARRY_UI_TOKEN is given elsewhere",
        ),
        ({"extraEnv": [{"name": "QUARRY_TABLE", "value": "x"}]}, "page.extraEnv: QUARRY_TABLE is given elsewhere"),
        ({"extraEnv": [{"name": "AWS_SECRET_ACCESS_KEY", "value": "x"}]}, "would be readable in the Deployment"),
        ({"service": {"type": "LoadBalancer"}}, "at '/page/service/type': value must be one of"),
        ({"hosts": ["https://a.example.com"]}, "at '/page/hosts/0'"),
        ({"dashboardUrl": "javascript:alert(1)"}, "at '/page/dashboardUrl'"),
        ({"token": "t" * 64}, "additional properties 'token' not allowed"),
    ],
)
def test_what_cannot_be_is_refused(helm, values, words):
    with pytest.raises(Refused) as refused:
        helm.objects(page(**values))
    assert words in str(refused.value)


def test_with_irsa_its_role_must_be_known(helm):
    with pytest.raises(Refused, match=r"config\.roleArns\.page is needed"):
        helm.objects(page() | {"aws": {"identity": "irsa"}})


def test_values_of_a_page_that_is_off_are_not_judged(helm):
    assert helm.objects(with_config(page={"enabled": False, "ingress": {"enabled": True}}))


def test_the_notes_say_how_it_is_reached(helm):
    there = helm.texts(page())["NOTES.txt"]
    assert "kubectl --namespace quarry port-forward service/quarry-page 8080:80" in there
    assert "http://localhost:8080" in there
    assert "https://quarry.example.com" in helm.texts(VARIANTS["page"])["NOTES.txt"]
    assert "port-forward" not in helm.texts(VARIANTS["minimal"])["NOTES.txt"]
