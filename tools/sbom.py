"""Write a bill of materials (CycloneDX 1.6, JSON) of each image and each distribution: `make sbom`.

    .venv-sbom/bin/python tools/sbom.py [--to build/sbom]

Theory of operation. cyclonedx-py reads what is pinned: the requirement file that an image installs, with its hashes. Of
an image it is given the lines that hold on the image's Python, since a file serves several; of a distribution all of
them. Added here is what no requirement file has: our own distributions and the image's base. Ours are `pkg:generic`: on
package indexes other projects have such names, and a scanner would look up theirs. What the base brings along (Python,
Debian's packages) is in the base's own bill. The same tree gives the same bytes.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from distributions import ROOT, closure, project, split
from packaging.requirements import Requirement

SPECIFICATION = "1.6"
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
# Image, and the distribution of ours that is in it, with what it needs.
IMAGES = {
    "preprocessor": "services/preprocessor",
    "scheduler": "services/scheduler",
    "collector": "services/collector",
    "cli": "cli",
}
# What an image is made of, where that is not the requirement file of its name: the command's is with the page.
PINS = {"cli": "cli-ui"}
# Distribution with all its extras, and the requirement file that pins what it needs.
DISTRIBUTIONS = {
    "core[columns,hub,services,traces]": "core",
    "services/preprocessor": "preprocessor",
    "services/scheduler": "scheduler",
    "services/collector": "collector",
    "cli[export,hub,pandas,ui]": "cli-all",
    "local[stack,tls]": "local",
    "integrations/airflow[ai]": "airflow",
}
Bill = dict[str, Any]


def base_image() -> str:
    """As the Dockerfile names it: `python:3.13-slim-bookworm@sha256:...`."""
    found = re.search(r"^ARG BASE_IMAGE=(\S+)$", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE)
    assert found, f"{DOCKERFILE} names no BASE_IMAGE"
    return found[1]


def pins(name: str) -> list[str]:
    """The requirements of a file, each in one line with its hashes."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8").replace("\\\n", "")
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def held(lines: list[str], python: str) -> list[str]:
    """Those that hold on Linux with a Python (`3.13`), without their conditions."""
    reported = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "platform_python_implementation": "CPython",
    }
    reported |= {
        "implementation_name": "cpython",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
    }
    reported |= {"platform_machine": "x86_64", "extra": ""}
    kept = []
    for line in lines:
        wanted, _, hashes = line.partition(" --hash=")
        requirement = Requirement(wanted.strip())
        if requirement.marker is None or requirement.marker.evaluate(reported):
            requirement.marker = None
            kept.append(f"{requirement} --hash={hashes}")
    return kept


def read(lines: list[str], directory: str) -> Bill:
    """What cyclonedx-py makes of requirements, about the project of a directory."""
    command = [
        Path(sys.executable).with_name("cyclonedx-py"),
        "requirements",
        "-",
        "--output-reproducible",
        "--no-validate",
    ]
    command += ["--pyproject", str(ROOT / directory / "pyproject.toml"), "--mc-type", "library", "--sv", SPECIFICATION]
    done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"cyclonedx-py: {done.stderr}")
    bill: Bill = json.loads(done.stdout)
    return bill


def ours(directory: str) -> dict[str, Any]:
    reported = project(directory)
    name, version = reported["name"], reported["version"]
    declared = {"license": {"id": reported["license"], "acknowledgement": "declared"}}
    purl = f"pkg:generic/{name}@{version}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl, "licenses": [declared]}


def finished(bill: Bill, added: list[dict[str, Any]]) -> str:
    """The bill with more components, everything hung under its root; as text.

    Raises:
        SystemExit: it is no CycloneDX.
    """
    root = bill["metadata"]["component"]["bom-ref"]
    for component in bill["components"]:
        component["bom-ref"] = component["purl"]
        del component["description"]  # the requirement's line again
    bill["components"] = sorted([*bill["components"], *added], key=lambda each: str(each["bom-ref"]))
    refs = [each["bom-ref"] for each in bill["components"]]
    bill["dependencies"] = [{"ref": root, "dependsOn": refs}, *({"ref": ref} for ref in refs)]
    # Who needs whom among them, a requirement file does not say.
    bill["compositions"] = [{"aggregate": "incomplete", "dependencies": [root, *refs]}]
    text = json.dumps(bill, indent=1, sort_keys=True) + "\n"
    if wrong := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise SystemExit(f"{bill['metadata']['component']['name']}: {wrong}")
    return text


def of_image(name: str) -> str:
    base = base_image()
    python = re.search(r"python:(\d+\.\d+)", base)
    assert python, f"{base} tells no Python"
    bill = read(held(pins(PINS.get(name, name)), python[1]), IMAGES[name])
    bill["metadata"]["component"] |= {"name": f"quarry-{name}", "type": "container"}
    inside, _ = closure(IMAGES[name])
    return finished(bill, [*map(ours, inside), {"type": "container", "bom-ref": base, "name": base}])


def of_distribution(wanted: str) -> str:
    directory, _, _ = split(wanted)
    needed, _ = closure(wanted)
    return finished(read(pins(DISTRIBUTIONS[wanted]), directory), [ours(each) for each in needed - {directory}])


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Bills of materials of images and distributions.")
    parser.add_argument("--to", type=Path, default=ROOT / "build" / "sbom")
    to: Path = parser.parse_args(arguments).to
    to.mkdir(parents=True, exist_ok=True)
    made = {f"image-{name}": of_image(name) for name in IMAGES}
    made |= {f"distribution-{project(split(each)[0])['name']}": of_distribution(each) for each in DISTRIBUTIONS}
    for name, text in made.items():
        (to / f"{name}.cdx.json").write_text(text, encoding="utf-8")
        print(f"{to / name}.cdx.json: {len(json.loads(text)['components'])} components")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
