"""Compile the pinned, hashed requirement files from the pyproject.toml files.

One file per image (each service, the CLI), one for a service with traces, one for the command with pandas, one for what
builds our wheels, one for development, one for the embedded AWS, one for the tools that read Terraform, one for those
that read what is deployed, one for the types of custom resources and one for the bills of materials. Two are for the
client at the floors of its pyproject.toml: one pins it alone, one adds its tests. `uv` resolves; no index address is
written. Run it with `make lock`.
"""

from __future__ import annotations

import subprocess
import sys

from distributions import ROOT, closure

SERVICES = ("services/preprocessor", "services/scheduler", "services/collector")
EVERYTHING = (*SERVICES, "core[traces]", "cli[ui]", "local[tls]")
FILES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    # requirement file: (distributions of ours, with their [extras]; hand-written .in files)
    "preprocessor": (("services/preprocessor",), ()),
    "scheduler": (("services/scheduler",), ()),
    "collector": (("services/collector",), ()),
    "traces": (("core[services,traces]",), ()),
    "cli": (("cli",), ()),
    "cli-ui": (("cli[ui]",), ()),
    # No image is made of these: they are what `make wheels` pins, and what the bills of materials list.
    "cli-pandas": (("cli[pandas]",), ()),
    "cli-hub": (("cli[hub,pandas]",), ()),
    "cli-export": (("cli[export,hub,pandas]",), ()),
    "cli-all": (("cli[export,hub,pandas,ui]",), ()),
    "core": (("core[columns,hub,schemas,services,traces]",), ()),
    "local": (("local[stack,tls]",), ()),
    "dev": (EVERYTHING, ("dev.in",)),
    "docker": (EVERYTHING, ("dev.in", "docker.in")),
    "test-ui": (EVERYTHING, ("dev.in", "test-ui.in")),
    "floors": (("cli[pandas]",), ("floors.in",)),
    "floors-tests": (("cli[pandas]",), ("floors-tests.in",)),
    "bench": (("services/preprocessor", "services/collector"), ("bench.in",)),
    "local-aws": ((), ("local-aws.in",)),
    # Airflow pins a great deal, so it has an environment of its own.
    "airflow": (("integrations/airflow[ai]",), ()),
    "airflow-tests": ((), ("airflow-tests.in",)),
    "infra": ((), ("infra.in",)),
    "deploy": ((), ("deploy.in",)),
    "crd-types": ((), ("crd-types.in",)),
    "build": ((), ("build.in",)),
    "sbom": ((), ("sbom.in",)),
}
FOR_PYTHON = ("--universal", "--python-version", "3.11")
OPTIONS = {
    # Everything that is named directly is taken at its floor, whatever the file pins now; what those need, at its newest.
    "floors": (*FOR_PYTHON, "--resolution", "lowest-direct", "--upgrade"),
    "floors-tests": (*FOR_PYTHON, "--constraint", "floors.txt"),
    "airflow-tests": (*FOR_PYTHON, "--constraint", "airflow.txt"),
    # Packages that are read, not run: what they ask for is left out (requirements/crd-types.in).
    "crd-types": ("--universal", "--python-version", "3.14", "--no-deps"),
}


def main(uv: str) -> None:
    for name, (packages, inputs) in FILES.items():
        _, wanted = closure(*packages)
        for file in inputs:
            lines = (ROOT / "requirements" / file).read_text().splitlines()
            wanted |= {line for line in lines if line and not line.startswith("#")}
        out = ROOT / "requirements" / f"{name}.txt"
        options = ["--generate-hashes", "--no-header", "--no-annotate", *OPTIONS.get(name, FOR_PYTHON)]
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
