"""The environment, read once: what is set, what is missing, and where each value came from."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parseaddr
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AwareDatetime, BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, DotEnvSettingsSource, NoDecode, SettingsConfigDict

from fulfillment.domain.clock import ShopClock

ENV_FILE: Final = Path(".env")
_PREFIX: Final = "WAYBILL_"
_EPOCH: Final = datetime(2020, 1, 1, tzinfo=UTC)


def _from_json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


class BadSettings(Exception):
    """Something is missing or makes no sense; the message says what, and where it was looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One value as `config show` prints it: secrets are shown as set or not."""

    name: str
    variable: str
    value: str
    source: str


class Settings(BaseSettings):
    """How this process is set up. The environment stands above the file `.env`, and both above the defaults."""

    model_config = SettingsConfigDict(
        env_file=ENV_FILE,
        env_prefix=_PREFIX,
        env_ignore_empty=True,
        populate_by_name=True,
        extra="ignore",
        frozen=True,
    )

    database_url: str = Field(default="", validation_alias="DATABASE_URL", repr=False)
    speed: float = Field(default=1.0, gt=0)
    clock_anchor: AwareDatetime = _EPOCH
    stripe_url: str = "https://api.stripe.com"
    stripe_key: str = Field(default="", repr=False)
    stripe_webhook_secret: str = Field(default="", repr=False)
    easypost_url: str = "https://api.easypost.com/v2"
    easypost_key: str = Field(default="", repr=False)
    easypost_webhook_secret: str = Field(default="", repr=False)
    carrier: Literal["easypost", "karrio"] = "easypost"
    karrio_url: str = ""
    karrio_key: str = Field(default="", repr=False)
    smtp_host: str = ""
    smtp_port: int = Field(default=587, gt=0, lt=65536)
    smtp_user: str = ""
    smtp_password: str = Field(default="", repr=False)
    twilio_url: str = "https://api.twilio.com"
    twilio_account: str = ""
    twilio_token: str = Field(default="", repr=False)
    twilio_from: str = ""
    mail_from: str = "Northwind Outfitters <orders@northwind.example>"
    public_url: str = "http://localhost:8000"
    webhooks_to_private: bool = False
    simulator_url: str = ""
    temporal_metrics_url: str = ""
    temporal_ui_url: str = ""
    api_keys: Annotated[dict[str, tuple[str, ...]], NoDecode, BeforeValidator(_from_json)] = Field(
        default_factory=dict, repr=False
    )
    api_key: str = Field(default="", repr=False)
    ready_file: Path | None = None

    @property
    def clock(self) -> ShopClock:
        """The shop's clock."""
        return ShopClock(anchor=self.clock_anchor, speed=self.speed)

    @property
    def shop_name(self) -> str:
        """How the shop signs its messages: the name in front of its e-mail address, else that address."""
        name, address = parseaddr(self.mail_from)
        return name or address

    def needed(self, *names: str) -> Self:
        """Return these settings if all the named ones have a value.

        Raises:
            BadSettings: some have none; all of them are named.
        """
        missing = [_variable(name) for name in names if not getattr(self, name)]
        if missing:
            raise BadSettings(
                f"missing: {', '.join(missing)} (looked in the environment and in {_env_file()})"
            )
        return self

    def shown(self) -> Iterator[Setting]:
        """Yield every value with its source; no secret is among them."""
        kept = _kept()
        for name, field in type(self).model_fields.items():
            value, variable = getattr(self, name), _variable(name)
            secret = field.repr is False
            shown = ("(set)" if value else "") if secret else str("" if value is None else value)
            yield Setting(name=name, variable=variable, value=shown, source=_source(variable, kept))


def load_settings(*needed: str) -> Settings:
    """Return the settings of this process, of which the named ones must have a value.

    Raises:
        BadSettings: a value is missing or makes no sense.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        raise BadSettings("; ".join(_complaints(error))) from None  # its own text would show the values
    if settings.speed != 1 and "clock_anchor" not in settings.model_fields_set:
        raise BadSettings("WAYBILL_SPEED needs WAYBILL_CLOCK_ANCHOR: the instant from which time runs faster")
    return settings.needed(*needed)


def shop_now(clock: ShopClock) -> datetime:
    """Return the shop's time now."""
    return clock.shop_time(datetime.now(UTC))


def real_now() -> datetime:
    """Return the real time now, in UTC."""
    return datetime.now(UTC)


def _complaints(error: ValidationError) -> Iterator[str]:
    kept = _kept()
    for problem in error.errors(include_input=False, include_url=False):
        field = str(problem["loc"][0])
        variable = _variable(field) if field in Settings.model_fields else field
        yield f"{variable} ({_source(variable, kept)}): {problem['msg']}"


def _variable(name: str) -> str:
    alias = Settings.model_fields[name].validation_alias
    return str(alias) if alias else f"{_PREFIX}{name.upper()}"


def _kept() -> Mapping[str, str | None]:
    """Return what the file `.env` says, names in capitals; nothing if there is none."""
    return {name.upper(): value for name, value in DotEnvSettingsSource(Settings).env_vars.items()}


def _source(variable: str, kept: Mapping[str, str | None]) -> str:
    if os.environ.get(variable):
        return "environment"
    return str(_env_file()) if kept.get(variable) else "default"


def _env_file() -> Path:
    return ENV_FILE.absolute()
