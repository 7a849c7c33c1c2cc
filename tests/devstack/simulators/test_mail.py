"""The mail server: what it takes, what it refuses, and how a person reads it."""

import smtplib
from typing import Any

import pytest


def test_a_mail_is_kept_and_can_be_read(simulator: Any) -> None:
    simulator.send_mail(
        "ada@example.com", "<order-SO-500.shipped.1@shop>", "Your order <SO-500>", "It is on its way."
    )

    (mail,) = simulator.http.get(
        "/_sim/mails", params={"message_id": "<order-SO-500.shipped.1@shop>"}
    ).json()["mails"]

    assert (mail["to"], mail["subject"], mail["accepted"]) == (["ada@example.com"], "Your order <SO-500>", 1)
    assert mail["text"].strip() == "It is on its way."
    assert "Your order &lt;SO-500&gt;" in simulator.http.get("/mail").text
    assert "It is on its way." in simulator.http.get(f"/mail/{mail['id']}").text


def test_the_ledger_counts_how_often_a_message_was_accepted(simulator: Any) -> None:
    for _ in range(2):
        simulator.send_mail("ada@example.com", "<order-SO-501.shipped.1@shop>")

    (message,) = [m for m in simulator.ledger()["messages"] if m["id"] == "<order-SO-501.shipped.1@shop>"]
    assert (message["channel"], message["accepted"]) == ("email", 2)


def test_nobody_is_refused_for_good(simulator: Any) -> None:
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        simulator.send_mail("nobody@example.com")

    assert refused.value.recipients["nobody@example.com"][0] == 550


def test_a_grey_address_is_refused_twice_and_then_accepted(simulator: Any) -> None:
    for _ in range(2):
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            simulator.send_mail("grey@example.com", "<grey@shop>")
        assert refused.value.recipients["grey@example.com"][0] == 451

    simulator.send_mail("grey@example.com", "<grey@shop>")

    assert len(simulator.http.get("/_sim/mails", params={"to": "grey@"}).json()["mails"]) == 1


def test_a_reset_after_the_commit_accepts_the_mail_and_loses_the_answer(simulator: Any) -> None:
    simulator.fault("reset", "after_commit", match={"provider": "smtp", "order": "order-SO-502"})

    with pytest.raises(smtplib.SMTPServerDisconnected):
        simulator.send_mail("ada@example.com", "<order-SO-502.shipped.1@shop>")

    found = simulator.http.get("/_sim/mails", params={"message_id": "<order-SO-502.shipped.1@shop>"}).json()[
        "mails"
    ]
    assert len(found) == 1


def test_a_mail_server_in_trouble_says_try_again(simulator: Any) -> None:
    simulator.fault("http_5xx", match={"provider": "smtp"})

    with pytest.raises(smtplib.SMTPDataError) as refused:
        simulator.send_mail("ada@example.com", "<order-SO-503.shipped.1@shop>")

    assert refused.value.smtp_code == 451
