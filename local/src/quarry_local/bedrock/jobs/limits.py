"""Which limits hold for one model: the settings, and a model's own numbers before them (contract section 5). Pure."""

from quarry_local.bedrock.models.identity import CUSTOM, Model
from quarry_local.bedrock.settings import LiveSettings

_CUSTOM_QUOTA = 3


def own_limits(model: Model, live: LiveSettings) -> LiveSettings:
    """The settings with the model's own limits in them; a setting that was changed holds for every model."""
    own = {
        name: value
        for name in model.limits.__struct_fields__
        if (value := getattr(model.limits, name)) is not None
        and getattr(live, name) == LiveSettings.model_fields[name].default
    }
    return live.model_copy(update=own) if own else live


def quota_of(pool: str, live: LiveSettings) -> int:
    """How many jobs of the pool may be active: by its name in `quotas`, else by `quota`.

    A pool of custom models has three (contract section 5); a smaller `quota` holds for it too.
    """
    if pool in live.quotas:
        return live.quotas[pool]
    return min(live.quota, _CUSTOM_QUOTA) if pool.startswith(CUSTOM) else live.quota
