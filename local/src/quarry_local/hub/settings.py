"""Every setting of the simulated Hub, once: a command-line flag (`--lfs-bytes-min`) and a variable (`QUARRY_HUB_...`)."""

from pathlib import Path

from pydantic import Field, NonNegativeInt
from pydantic_settings import BaseSettings, SettingsConfigDict

from quarry_local.hub.datasets import LFS_BYTES_MIN
from quarry_local.hub.faults import Faults


class Settings(Faults, BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="QUARRY_HUB_",
        cli_prog_name="quarry_local.hub",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        extra="forbid",
        frozen=True,
    )

    folder: Path | None = Field(None, description="datasets to begin with: OWNER/NAME, or OWNER/NAME@REVISION")
    port: int = Field(0, ge=0, le=65_535, description="port on 127.0.0.1; 0 takes a free one")
    tokens: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="access tokens, each with the private and gated datasets it may read; * for all",
    )
    private: tuple[str, ...] = Field((), description="ids of private datasets")
    gated: tuple[str, ...] = Field((), description="ids of gated datasets")
    lfs_bytes_min: NonNegativeInt = Field(
        LFS_BYTES_MIN, description="files from this size on are in LFS; Parquet and compressed files always are"
    )
    seed: int = Field(0, description="seed of the shares")

    def faults(self) -> Faults:
        return Faults.model_validate(self.model_dump(include=set(Faults.model_fields)))
