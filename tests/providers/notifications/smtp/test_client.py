"""The SMTP channel against a mail server that says what it is told to say."""

import email
import email.policy
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any, cast

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from fulfillment.domain.provider_errors import (
    AuthConfig,
    OutcomeUnknown,
    ProviderUnavailable,
    Rejected,
    Undeliverable,
)
from fulfillment.providers.notifications.letters import Mail
from fulfillment.providers.notifications.smtp.client import SmtpChannel
from tests.devstack.simulators.conftest import Simulator, free_port

SENDER = "Northwind Outfitters <orders@northwind.example>"


class Server:
    """Answers as told, keeps what it took, and counts the connections."""

    def __init__(self) -> None:
        self.taken: list[EmailMessage] = []
        self.connections = 0
        self.on_mail = self.on_rcpt = self.on_data = "250 OK"
        self.hangs_up = False

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's names
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        self.connections += 1
        session.host_name = hostname
        return responses

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        return self.on_mail

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.rcpt_tos.append(address)
        return self.on_rcpt

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.original_content or b""
        parsed = email.message_from_bytes(content, policy=email.policy.default)
        if self.on_data.startswith("2"):
            self.taken.append(cast(EmailMessage, parsed))
        if self.hangs_up:
            cast(Any, server.transport).abort()
        return self.on_data


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def start(server: Server) -> Iterator[Callable[..., SmtpChannel]]:
    running: list[Any] = []

    def started(user: str = "", password: str = "", **options: Any) -> SmtpChannel:
        controller = Controller(server, hostname="127.0.0.1", port=free_port(), **options)
        controller.start()
        channel = SmtpChannel(
            host="127.0.0.1", port=controller.port, mail_from=SENDER, user=user, password=password
        )
        running.extend([channel.close, controller.stop])
        return channel

    yield started
    for end in running:
        end()


@pytest.fixture
def channel(start: Callable[..., SmtpChannel]) -> SmtpChannel:
    return start(enable_SMTPUTF8=True)


def a_mail(recipient: str = "ada@example.com", subject: str = "Arriving Fri 27 Nov") -> Mail:
    return Mail(
        message_id="<order-SO-1.shipped.SO-1-1.1@northwind.example>",
        recipient=recipient,
        subject=subject,
        text="Hello Ada,\n\nit costs 5 €.\n",
        html="<p>" + "it costs 5 € " * 100 + "</p>",
        at=datetime(2026, 11, 23, 12, tzinfo=UTC),
    )


def test_a_message_arrives_with_its_headers_and_both_parts(channel: SmtpChannel, server: Server) -> None:
    channel.send(a_mail(subject="Überall: 5 €"))

    (got,) = server.taken
    text, html = got.get_body(("plain",)), got.get_body(("html",))
    assert got["Message-ID"] == "<order-SO-1.shipped.SO-1-1.1@northwind.example>"
    assert got["From"] == SENDER
    assert (got["To"], got["Subject"]) == ("ada@example.com", "Überall: 5 €")
    assert got["Date"].datetime == datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert got["Auto-Submitted"] == "auto-generated"
    assert got["X-Entity-Ref-ID"] == "order-SO-1.shipped.SO-1-1.1@northwind.example"
    assert (got["List-Unsubscribe"], got["Content-Language"]) == (None, "en")
    assert text is not None
    assert html is not None
    assert text.get_content().replace("\r\n", "\n") == a_mail().text
    assert html.get_content().strip() == a_mail().html


def test_what_can_be_switched_off_is_by_one_click(channel: SmtpChannel, server: Server) -> None:
    channel.send(a_mail(unsubscribe_url="https://shop.example/t/tok-1/unsubscribe"))

    (got,) = server.taken
    assert got["List-Unsubscribe"] == "<https://shop.example/t/tok-1/unsubscribe>"
    assert got["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


def test_one_connection_serves_many_messages_until_it_is_closed(channel: SmtpChannel, server: Server) -> None:
    for _ in range(3):
        channel.send(a_mail())
    channel.close()
    channel.send(a_mail())

    assert (len(server.taken), server.connections) == (4, 2)


@pytest.mark.parametrize("answer", ["421 4.3.2 Closing", "450 4.2.1 Later", "451 4.7.1 Greylisted"])
def test_a_recipient_refused_for_now_is_tried_later(
    channel: SmtpChannel, server: Server, answer: str
) -> None:
    server.on_rcpt = answer

    with pytest.raises(ProviderUnavailable):
        channel.send(a_mail())

    assert server.taken == []


@pytest.mark.parametrize("answer", ["550 5.1.1 No such user", "553 5.1.3 Bad address"])
def test_a_recipient_refused_for_good_is_undeliverable(
    channel: SmtpChannel, server: Server, answer: str
) -> None:
    server.on_rcpt = answer

    with pytest.raises(Undeliverable, match=answer):
        channel.send(a_mail())


def test_after_a_refusal_the_next_message_goes_through(channel: SmtpChannel, server: Server) -> None:
    server.on_rcpt = "550 5.1.1 No such user"
    with pytest.raises(Undeliverable):
        channel.send(a_mail())
    server.on_rcpt = "250 OK"

    channel.send(a_mail())

    assert len(server.taken) == 1


def test_a_message_refused_after_data_is_undeliverable_or_later_as_the_server_says(
    channel: SmtpChannel, server: Server
) -> None:
    server.on_data = "554 5.7.1 Looks like spam"
    with pytest.raises(Undeliverable):
        channel.send(a_mail())
    server.on_data = "452 4.3.1 Disk full"
    with pytest.raises(ProviderUnavailable):
        channel.send(a_mail())


def test_a_server_that_refuses_our_address_is_not_the_recipients_fault(
    channel: SmtpChannel, server: Server
) -> None:
    server.on_mail = "550 5.7.1 Sender refused"

    with pytest.raises(Rejected):
        channel.send(a_mail())


def test_an_answer_lost_after_the_message_was_sent_leaves_it_in_doubt(
    channel: SmtpChannel, server: Server
) -> None:
    server.hangs_up = True

    with pytest.raises(OutcomeUnknown):
        channel.send(a_mail())

    assert len(server.taken) == 1


def test_nobody_listening_means_nothing_was_sent() -> None:
    channel = SmtpChannel(host="127.0.0.1", port=free_port(), mail_from=SENDER)

    with pytest.raises(ProviderUnavailable):
        channel.send(a_mail())


@pytest.mark.parametrize(
    "recipient",
    ["", "nobody", "a@", "a@@b", "a b@example.com", "a@b.c\nBcc: x@y.z", "a@b.c, d@e.f", "A <a@b.c>"],
)
def test_what_is_no_address_is_undeliverable_before_anything_is_sent(
    channel: SmtpChannel, server: Server, recipient: str
) -> None:
    with pytest.raises(Undeliverable):
        channel.send(a_mail(recipient))

    assert server.connections == 0


def test_an_address_beyond_ascii_needs_a_server_that_takes_it(
    start: Callable[..., SmtpChannel], server: Server
) -> None:
    modern, old = start(enable_SMTPUTF8=True), start(enable_SMTPUTF8=False)

    modern.send(a_mail("ädä@example.com"))
    with pytest.raises(Undeliverable):
        old.send(a_mail("ädä@example.com"))

    assert [mail["To"] for mail in server.taken] == ["ädä@example.com"]


def test_a_password_is_never_sent_in_the_clear(start: Callable[..., SmtpChannel]) -> None:
    channel = start(user="shop", password="secret")

    with pytest.raises(AuthConfig):
        channel.send(a_mail())


def test_the_simulators_mail_server_takes_and_refuses_as_real_ones_do(world: Simulator) -> None:
    channel = SmtpChannel(host="127.0.0.1", port=world.smtp_port, mail_from=SENDER)

    channel.send(a_mail())
    with pytest.raises(Undeliverable):
        channel.send(a_mail("nobody@example.com"))
    with pytest.raises(ProviderUnavailable):
        channel.send(a_mail("grey@example.com"))
    channel.close()

    assert world.http.get("/_sim/mails", params={"to": "ada@example.com"}).json()
