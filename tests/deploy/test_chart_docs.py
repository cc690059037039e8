"""The chart's README: its table is that of `values.yaml`, its commands work as they stand, its links lead somewhere."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from tools import chart_docs

from tests.deploy.charts import CHART, CONFIG, ROOT, of_kind
from tests.unit.repository.test_docs import LINK, anchors, prose

README = "# Chart\n\nBy hand.\n\n<!-- generated: values (by hand) -->\n<!-- end -->\n\nMore by hand.\n"
VALUES = """\
# What the file is for stands apart.

# The image
# that runs.
image:
  # Its tag | or digest.
  tag: ""
  # Names.
  secrets: [a, b]
# Told as a whole.
resources:
  limits: { memory: 1Gi }
"""


@pytest.fixture
def chart(tmp_path):
    (tmp_path / "values.yaml").write_text(VALUES)
    (tmp_path / "README.md").write_text(README)
    return tmp_path


def test_values_stand_in_tables_and_the_prose_stays(chart):
    assert chart_docs.main([], chart) == 0
    text = (chart / "README.md").read_text()
    assert text.startswith("# Chart\n\nBy hand.\n")
    assert text.endswith("<!-- end -->\n\nMore by hand.\n")
    assert "### `image`\n\nThe image that runs.\n" in text
    assert '| `image.tag` | `""` | Its tag \\| or digest. |' in text
    assert '| `image.secrets` | `["a", "b"]` | Names. |' in text
    assert '### `resources`\n\nTold as a whole. Default: `{"limits": {"memory": "1Gi"}}`\n' in text
    assert "stands apart" not in text


def test_check_names_a_stale_readme_and_writes_nothing(chart, capsys):
    assert chart_docs.main(["--check"], chart) == 1
    assert "stale" in capsys.readouterr().out
    assert (chart / "README.md").read_text() == README
    chart_docs.main([], chart)
    assert chart_docs.main(["--check"], chart) == 0


@pytest.mark.parametrize(
    ("file", "text", "fault"),
    [
        ("README.md", "# Chart\n", "README.md: not one block of values"),
        ("values.yaml", "# A.\na: 1\n\nb: 2\n", "values.yaml:4: b has no comment"),
        ("values.yaml", "# A.\na:\n  # B.\n  b: 1\n  c: 2\n", "values.yaml:5: a.c has no comment"),
    ],
)
def test_what_cannot_be_reported_is_a_fault(chart, capsys, file, text, fault):
    chart_docs.main([], chart)
    (chart / file).write_text(text)
    assert chart_docs.main(["--check"], chart) == 1
    assert fault in capsys.readouterr().out


def test_the_charts_readme_is_fresh():
    assert chart_docs.main(["--check"]) == 0


def test_every_service_may_differ_in_what_the_defaults_have():
    paths = {each.path for each in chart_docs.values((CHART / "values.yaml").read_text())}
    for service in ("preprocessor", "scheduler", "collector"):
        own = {path.removeprefix(service) for path in paths if path.startswith(f"{service}.")}
        assert own <= {path.removeprefix("defaults") for path in paths}


def test_the_values_of_the_readme_are_taken_and_so_is_terraforms_output_by_set_json(helm):
    (example,) = re.findall(r"```yaml\n(.*?)```", (CHART / "README.md").read_text(), re.DOTALL)
    assert '--set-json "config=$(terraform output -json helm_values)"' in (CHART / "README.md").read_text()
    given = helm.ask("set_json", expression=f"config={json.dumps(CONFIG)}")
    assert given == {"config": CONFIG}
    assert len(of_kind(helm.objects({**yaml.safe_load(example), **given}), "ScaledObject")) == 3


@pytest.mark.parametrize("page", ["deploy/README.md", "deploy/helm/quarry/README.md"])
def test_every_link_leads_somewhere(page):
    here = ROOT / page
    for match in LINK.finditer(prose(here)):
        target, _, anchor = match["target"].partition("#")
        there = (here.parent / target).resolve() if target else here
        assert there.exists(), match["target"]
        assert not anchor or anchor in anchors(there), match["target"]
