"""The Python API's address in 0.1.0, for notebooks that use it: import from `quarry_cli` since. Goes with 0.3.0."""

import warnings

from quarry_cli.client.api import Client, results_frame

__all__ = ["Client", "results_frame"]
warnings.warn(
    "quarry_cli.api has moved in 0.2.0: write `from quarry_cli import Client`", DeprecationWarning, stacklevel=2
)
