"""The manifest's address in 0.1.0, for scripts that use it. Goes with 0.3.0.

Since 0.2.0 `Manifest` is in `quarry_core.contract.manifest`, `read_manifest` in `manifest_reading` beside it, `run_id_of` in
`manifest_identity`.
"""

import warnings

from quarry_core.contract.manifest import Manifest
from quarry_core.contract.manifest_identity import run_id_of
from quarry_core.contract.manifest_reading import read_manifest

__all__ = ["Manifest", "read_manifest", "run_id_of"]
warnings.warn(
    "quarry_core.manifest is in quarry_core.contract since 0.2.0: manifest, manifest_reading, manifest_identity",
    DeprecationWarning,
    stacklevel=2,
)
