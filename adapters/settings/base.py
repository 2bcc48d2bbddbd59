"""The base of all settings, and how they are read."""

from typing import Any, Literal, TypeVar, cast

from pydantic import ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class SettingsError(Exception):
    """The environment is incomplete or invalid; the message lists every fault."""


class Environment(BaseSettings):
    """Reads variables from the environment or a `.env` file."""

    model_config = SettingsConfigDict(
        env_file=".env",
        extra="ignore",
        populate_by_name=True,
        env_ignore_empty=True,
        allow_inf_nan=False,
    )

    @model_validator(mode="before")
    @classmethod
    def _without_space_around(cls, values: Any) -> Any:
        """Strip values, such as the line break of a file; an empty value counts as not set."""
        if not isinstance(values, dict):
            return values
        given = cast(dict[str, object], values)
        plain = {k: v.strip() if isinstance(v, str) else v for k, v in given.items()}
        return {name: value for name, value in plain.items() if value != ""}


class EnvironmentSettings(Environment):
    """Settings of every process."""

    node_env: Literal["development", "production"] | None = None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @property
    def development(self) -> bool:
        """Readable logs, detailed errors, pages of localhost: only if `NODE_ENV` says so."""
        return self.node_env == "development"

    @classmethod
    def also_needed(cls) -> list[type["EnvironmentSettings"]]:
        """Further settings that these require."""
        return []


SettingsKind = TypeVar("SettingsKind", bound=EnvironmentSettings)


def load(kind: type[SettingsKind]) -> SettingsKind:
    """Read a process's settings; `SettingsError` lists every missing and invalid variable."""
    read: list[EnvironmentSettings] = []
    faults: set[str] = set()
    for each in (kind, *kind.also_needed()):
        try:
            read.append(each())
        except ValidationError as error:
            faults |= {_fault(item["loc"], item["type"], item["msg"]) for item in error.errors()}
    if faults:
        # Not chained: pydantic's own message would print the values, including secrets.
        raise SettingsError("\n".join(["the environment is not complete:", *sorted(faults)]))
    return cast(SettingsKind, read[0])


def _fault(location: tuple[int | str, ...], kind: str, message: str) -> str:
    name = str(location[0]).upper() if location else ""
    if kind == "missing":
        return f"  {name} is not set"
    text = message.removeprefix("Value error, ")
    return f"  {name}: {text}" if name else f"  {text}"
