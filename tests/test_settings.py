"""The environment, read once, with a clear word on what is missing."""

from datetime import timedelta
from pathlib import Path

import pytest

from fulfillment.settings import BadSettings, load_settings, real_now, shop_now


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in [*os.environ]:
        if name.startswith("WAYBILL_") or name == "DATABASE_URL":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_values_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://x")
    monkeypatch.setenv("WAYBILL_SMTP_PORT", "25")
    monkeypatch.setenv("WAYBILL_API_KEYS", '{"wb_1": ["storefront", "ops"]}')
    monkeypatch.setenv("WAYBILL_READY_FILE", "/run/ready")

    settings = load_settings("database_url")

    assert (settings.database_url, settings.smtp_port) == ("postgresql://x", 25)
    assert settings.api_keys == {"wb_1": ("storefront", "ops")}
    assert settings.ready_file == Path("/run/ready")


def test_the_environment_stands_above_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("WAYBILL_STRIPE_KEY=from-file\nWAYBILL_SMTP_HOST=from-file\n")
    monkeypatch.setenv("WAYBILL_SMTP_HOST", "from-env")

    settings = load_settings()

    assert (settings.stripe_key, settings.smtp_host) == ("from-file", "from-env")
    sources = {setting.name: setting.source for setting in settings.shown()}
    assert sources["stripe_key"] == str(tmp_path / ".env")
    assert (sources["smtp_host"], sources["public_url"]) == ("environment", "default")


def test_what_is_missing_is_named_all_at_once_with_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(BadSettings) as bad:
        load_settings("database_url", "stripe_key", "public_url")

    assert str(bad.value) == (
        f"missing: DATABASE_URL, WAYBILL_STRIPE_KEY (looked in the environment and in {tmp_path / '.env'})"
    )


def test_an_empty_value_counts_as_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "")
    monkeypatch.setenv("WAYBILL_SPEED", "")

    assert load_settings().speed == 1
    with pytest.raises(BadSettings, match="DATABASE_URL"):
        load_settings("database_url")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("WAYBILL_SPEED", "fast"),
        ("WAYBILL_SPEED", "0"),
        ("WAYBILL_CLOCK_ANCHOR", "2026-11-23T12:00:00"),
        ("WAYBILL_API_KEYS", "{sesame"),
        ("WAYBILL_SMTP_PORT", "99999"),
    ],
)
def test_a_value_that_makes_no_sense_is_named_with_its_source_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(BadSettings) as bad:
        load_settings()

    assert str(bad.value).startswith(f"{variable} (environment): ")
    assert "sesame" not in str(bad.value)


def test_no_secret_is_ever_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = ("DATABASE_URL", "WAYBILL_STRIPE_KEY", "WAYBILL_SMTP_PASSWORD", "WAYBILL_API_KEY")
    for name in (*secrets, "WAYBILL_EASYPOST_WEBHOOK_SECRET", "WAYBILL_STRIPE_WEBHOOK_SECRET"):
        monkeypatch.setenv(name, "sesame")
    monkeypatch.setenv("WAYBILL_API_KEYS", '{"sesame": []}')

    settings = load_settings()

    assert "sesame" not in repr(settings)
    assert "sesame" not in repr(list(settings.shown()))
    assert "(set)" in {setting.value for setting in settings.shown()}


def test_the_shops_clock_runs_as_fast_as_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    anchor = real_now() - timedelta(minutes=1)
    monkeypatch.setenv("WAYBILL_SPEED", "7200")
    monkeypatch.setenv("WAYBILL_CLOCK_ANCHOR", anchor.isoformat())

    clock = load_settings().clock

    assert clock.shop_time(anchor + timedelta(minutes=1)) == anchor + timedelta(days=5)
    assert shop_now(clock) - anchor >= timedelta(days=5)


def test_a_faster_clock_needs_the_instant_from_which_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYBILL_SPEED", "7200")

    with pytest.raises(BadSettings, match="WAYBILL_CLOCK_ANCHOR"):
        load_settings()


@pytest.mark.parametrize(
    ("sender", "name"),
    [("Northwind <orders@n.example>", "Northwind"), ("orders@n.example", "orders@n.example")],
)
def test_the_shop_signs_with_the_name_of_its_address(
    monkeypatch: pytest.MonkeyPatch, sender: str, name: str
) -> None:
    monkeypatch.setenv("WAYBILL_MAIL_FROM", sender)

    assert load_settings().shop_name == name
