"""Compile the pinned, hashed requirement files from the pyproject.toml files.

One file per image (each service, the CLI), one for a service with traces, one for what builds our wheels in it, one for
development, one for the embedded AWS, one for the tools that read Terraform, one for those that read what is deployed, one for
the types of custom resources and one for the bills of materials. `uv` resolves; no index address is written. Run it with
`make lock`.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SERVICES = ("services/preprocessor", "services/scheduler", "services/collector")
FILES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    # requirement file: (our packages inside, with their [extras]; hand-written .in files)
    "preprocessor": (("core[columns]", "services/preprocessor"), ()),
    "scheduler": (("core", "services/scheduler"), ()),
    "collector": (("core[columns]", "services/collector"), ()),
    "traces": (("core[traces]",), ()),
    "cli": (("core[columns]", "cli"), ()),
    # Of these two no image is made: they are what the bills of materials tell of the distributions.
    "core": (("core[columns,traces]",), ()),
    "local": (("core[columns]", "cli", "local[tls]"), ()),
    "dev": (("core[columns,traces]", *SERVICES, "cli", "local[tls]"), ("dev.in",)),
    "docker": (("core[columns,traces]", *SERVICES, "cli", "local[tls]"), ("dev.in", "docker.in")),
    "local-aws": ((), ("local-aws.in",)),
    "infra": ((), ("infra.in",)),
    "deploy": ((), ("deploy.in",)),
    "crd-types": ((), ("crd-types.in",)),
    "build": ((), ("build.in",)),
    "sbom": ((), ("sbom.in",)),
}
# Packages that are read, not run: what they ask for is left out (requirements/crd-types.in).
READ_ONLY = {"crd-types": ["--no-deps", "--python-version", "3.14"]}


def third_party(package: str) -> list[str]:
    """What a package of ours needs of others; of `package[extra,extra]`, what its extras need too."""
    name, _, extras = package.rstrip("]").partition("[")
    project = tomllib.loads((ROOT / name / "pyproject.toml").read_text())["project"]
    lines = list(project["dependencies"])
    for extra in filter(None, extras.split(",")):
        lines += project["optional-dependencies"][extra]
    return [line for line in lines if not line.startswith("quarry-")]


def main(uv: str) -> None:
    for name, (packages, inputs) in FILES.items():
        wanted = {line for package in packages for line in third_party(package)}
        for file in inputs:
            lines = (ROOT / "requirements" / file).read_text().splitlines()
            wanted |= {line for line in lines if line and not line.startswith("#")}
        out = ROOT / "requirements" / f"{name}.txt"
        options = ["--universal", "--generate-hashes", "--no-header", "--no-annotate"]
        options += READ_ONLY.get(name, ["--python-version", "3.11"])
        subprocess.run(
            [uv, "pip", "compile", "-", *options, "--quiet", "--output-file", str(out)],
            input="\n".join(sorted(wanted)) + "\n",
            text=True,
            check=True,
            cwd=ROOT / "requirements",
        )
        print(f"{out.relative_to(ROOT)}: {sum('==' in line for line in out.read_text().splitlines())} packages")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "uv")
