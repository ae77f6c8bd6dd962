"""Settings: keyword arguments, then ``KODOSUMI_LAB_*``, then a TOML file, then defaults.

The file is ``config.toml`` in the user's configuration directory, or the one that
``KODOSUMI_LAB_CONFIG`` names. ``kodosumi-lab doctor`` prints every value and its source.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import platformdirs
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from kodosumi_lab.errors import SettingsError

__all__ = ["Settings", "config_file", "load", "sources"]

PREFIX = "KODOSUMI_LAB_"


def config_file() -> Path:
    """Path of the TOML file that is read, whether it exists or not."""
    named = os.environ.get(PREFIX + "CONFIG")
    return Path(named) if named else Path(platformdirs.user_config_dir("kodosumi-lab")) / "config.toml"


def default_log_dir() -> Path:
    """Where the event log lives unless something else is said."""
    return Path(platformdirs.user_data_dir("kodosumi-lab")) / "log"


class Settings(BaseSettings):
    """All settings. Sizes are bytes, times are seconds."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid")

    log_dir: Path = Field(default_factory=default_log_dir, description="directory of the event log")
    address: str | None = Field(None, description="Ray address to connect to")
    slots: int | None = Field(None, ge=1, description="runs at the same time; None: by CPUs and memory")
    warm_runners: int = Field(1, ge=0, le=64, description="idle Runners kept ready")
    runner_max_runs: int = Field(50, ge=1, description="runs a Runner takes before it is retired")
    cancel_grace_s: float = Field(5.0, ge=0, description="time between cancel and kill")
    trailing_s: float = Field(30.0, ge=0, description="how long after its end a run's tasks may still write")
    min_free_memory: int = Field(512 * 2**20, ge=0, description="no new run starts below this")
    segment_bytes: int = Field(32 * 2**20, ge=4096, description="a hot segment is sealed at this size")
    segment_age_s: float = Field(900.0, gt=0, description="a hot segment with events is sealed at this age")
    buffer_events: int = Field(100_000, ge=1, description="events an emitter keeps until acknowledged")
    buffer_bytes: int = Field(32 * 2**20, ge=4096, description="bytes an emitter keeps until acknowledged")

    file_bytes: int = Field(4 * 2**30, ge=0, description="largest file that a run takes or delivers")
    run_files_bytes: int = Field(16 * 2**30, ge=0, description="largest sum of a run's files")
    upload_expiry_h: float = Field(24.0, gt=0, description="hours without a chunk after which an upload is dropped")
    files_direct: bool = Field(True, description="on the log's machine work on files directly, not through the Spooler")
    gateway_body_bytes: int = Field(16 * 2**20, ge=1024, description="longest body of a request to the gateway")
    gateway_launches_per_minute: int = Field(120, ge=1, description="launches of one user over HTTP")
    gateway_heartbeat_s: float = Field(15.0, gt=0, description="a live stream without events says so this often")
    gateway_stream_s: float | None = Field(
        None, gt=0, description="a live stream ends after this time, and whoever follows comes back; None: never"
    )
    gateway_cors_origins: list[str] = Field([], description="web pages of other origins that may call the gateway")
    gateway_identity: Literal["tokens", "proxy", "oidc"] = Field("tokens", description="who tells who is calling")
    gateway_default_role: Literal["viewer", "user", "operator", "admin"] = Field(
        "user", description="role of somebody whose proxy or token names none"
    )
    gateway_proxy_header: str = Field("x-forwarded-user", description="proxy: header with the user's name")
    gateway_proxy_role_header: str | None = Field(None, description="proxy: header with the user's role")
    gateway_proxy_secret: SecretStr | None = Field(None, description="proxy: value of its x-gateway-secret header")
    gateway_oidc_issuer: str | None = Field(None, description="oidc: issuer of the tokens")
    gateway_oidc_audience: str | None = Field(None, description="oidc: audience that tokens must name")
    gateway_oidc_jwks_url: str | None = Field(None, description="oidc: the issuer's keys; None: by discovery")
    gateway_oidc_user_claim: str = Field("sub", description="oidc: claim with the user's name")
    gateway_oidc_role_claim: str = Field("roles", description="oidc: claim with the user's role or roles")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then environment, then the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, config_file())


def load(**overrides: Any) -> Settings:
    """Read the settings.

    Parameters
    ----------
    **overrides
        Values that win over environment and file; None means "not given".

    Returns
    -------
    Settings
        With an absolute ``log_dir``.

    Raises
    ------
    SettingsError
        A value cannot be used; the message names it, its source and what is expected.
    """
    given = {key: value for key, value in overrides.items() if value is not None}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        lines = []
        for item in error.errors():
            name = ".".join(str(part) for part in item["loc"])
            origin = _origin(name, given)
            lines.append(f"  {name} = {item.get('input')!r} (from {origin}): {item['msg']}")
        raise SettingsError("settings that cannot be used:\n" + "\n".join(lines)) from None
    settings.log_dir = settings.log_dir.expanduser().absolute()
    return settings


def _origin(name: str, given: dict[str, Any]) -> str:
    if name in given:
        return "argument"
    if any(key.upper() == PREFIX + name.upper() for key in os.environ):
        return PREFIX + name.upper()
    return str(config_file())


def sources(settings: Settings) -> dict[str, tuple[Any, str]]:
    """Each setting's value and where it came from.

    Returns
    -------
    dict[str, tuple[Any, str]]
        Name to (value, source); the source is ``default``, an environment variable or
        the path of the file.
    """
    result = {}
    for name in Settings.model_fields:
        origin = _origin(name, {}) if name in settings.model_fields_set else "default"
        result[name] = (getattr(settings, name), origin)
    return result
