"""The manifest's address in 0.1.0, for scripts that use it: `quarry_core.contract.manifest` since. Goes with 0.3.0."""

import warnings

from quarry_core.contract.manifest import Manifest, read_manifest, run_id_of

__all__ = ["Manifest", "read_manifest", "run_id_of"]
warnings.warn("quarry_core.manifest is quarry_core.contract.manifest since 0.2.0", DeprecationWarning, stacklevel=2)
