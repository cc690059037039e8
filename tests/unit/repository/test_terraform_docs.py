"""The READMEs under `terraform/`: their tables are those of the code, and their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tools import terraform_docs

from tests.unit.repository.test_docs import LINK, anchors, prose

TERRAFORM = terraform_docs.TERRAFORM
README = "# queue\n\nWritten by hand.\n\n<!-- generated: inputs-outputs (by hand) -->\n<!-- end -->\n\nMore by hand.\n"
VARIABLES = """\
variable "wait_s" {
  description = "How long | it waits, in seconds."
  type        = number
  default     = 120
}

variable "place" {
  description = <<-EOT
    Where it
    stands.
  EOT
  type        = object({ env = string, region = string, account_id = string, partition = optional(string, "aws") })
}

variable "key_arn" {
  description = "The key."
  type        = string
  default     = null
}
"""
OUTPUTS = """\
output "url" {
  description = "The queue's URL."
  value       = "https://${var.place.region}"
}
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    directory = tmp_path / "terraform" / "modules" / "queue"
    directory.mkdir(parents=True)
    for name, text in (("variables.tf", VARIABLES), ("outputs.tf", OUTPUTS), ("README.md", README)):
        (directory / name).write_text(text)
    monkeypatch.setattr(terraform_docs, "ROOT", tmp_path)
    monkeypatch.setattr(terraform_docs, "TERRAFORM", tmp_path / "terraform")
    return directory


def test_variables_and_outputs_stand_in_tables_and_the_prose_stays(module):
    assert terraform_docs.main([]) == 0
    text = (module / "README.md").read_text()
    assert text.startswith("# queue\n\nWritten by hand.\n")
    assert text.endswith("<!-- end -->\n\nMore by hand.\n")
    assert "| `wait_s` | `number` | `120` | How long \\| it waits, in seconds. |" in text
    assert "| `place` | [`object(…)`](variables.tf#L7) | **required** | Where it stands. |" in text
    assert "| `key_arn` | `string` | `null` | The key. |" in text
    assert "| `url` | The queue's URL. |" in text


def test_check_names_the_stale_readme_and_writes_nothing(module, capsys):
    assert terraform_docs.main(["--check"]) == 1
    assert "stale: terraform/modules/queue/README.md" in capsys.readouterr().out
    assert (module / "README.md").read_text() == README
    terraform_docs.main([])
    assert terraform_docs.main(["--check"]) == 0


@pytest.mark.parametrize(
    ("file", "text", "fault"),
    [
        ("README.md", "# queue\n", "README.md: not one block inputs-outputs"),
        ("more.tf", 'variable "x" {\n  type = string\n}\n', "more.tf:1: variable x has no description"),
        ("outputs.tf", '\noutput "x" {\n  value = 1\n}\n', "outputs.tf:2: output x has no description"),
    ],
)
def test_what_cannot_be_reported_is_a_fault(module, capsys, file, text, fault):
    (module / file).write_text(text)
    assert terraform_docs.main(["--check"]) == 1
    assert fault in capsys.readouterr().out


def test_a_module_without_a_readme_is_a_fault(module, capsys):
    (module / "README.md").unlink()
    assert terraform_docs.main([]) == 1
    assert "terraform/modules/queue: no README.md" in capsys.readouterr().out


def test_every_link_of_terraforms_pages_leads_somewhere():
    broken = []
    for page in sorted(TERRAFORM.rglob("*.md")):
        if ".terraform" in page.parts:
            continue
        for match in LINK.finditer(prose(page)):
            target, _, anchor = match["target"].partition("#")
            there: Path = (page.parent / target).resolve() if target else page
            if "://" in target:
                continue
            of_a_line = there.suffix == ".tf" and re.fullmatch(r"L[0-9]+", anchor)
            if not there.exists() or (anchor and not of_a_line and anchor not in anchors(there)):
                broken.append(f"{page.relative_to(TERRAFORM)}: {match['target']}")
    assert not broken
