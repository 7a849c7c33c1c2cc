"""The outbox relay: once per fact, whatever the mail server or the process does."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from fulfillment.domain.notifications import Block, Channel
from fulfillment.domain.provider_errors import AuthConfig, OutcomeUnknown, ProviderUnavailable, Undeliverable
from fulfillment.domain.view import OrderView
from fulfillment.providers.notifications.letters import Letter
from fulfillment.providers.notifications.messages import Renderer
from fulfillment.providers.notifications.smtp.client import SmtpChannel
from fulfillment.storage.outbox import Message
from tests.devstack.simulators.conftest import free_port, wait_for
from tests.providers.notifications.smtp.test_client import Server
from tests.providers.notifications.views import NOW, a_view
from tests.workers.relay_child import SENDER, a_message
from workers.relay import _GAPS, Relay

ROOT = Path(__file__).parents[2]


class Outbox:
    """What the store keeps, in memory: leased messages are gone until they are put back."""

    def __init__(self, *messages: Message) -> None:
        self.pending = list(messages)
        self.done: list[tuple[int, str, timedelta | None]] = []
        self.away = 0
        self.bodies: dict[int, str] = {}

    def lease(self, limit: int) -> tuple[Message, ...]:
        if self.away:
            self.away -= 1
            raise OSError("the database is away")
        leased, self.pending = self.pending[:limit], self.pending[limit:]
        return tuple(leased)

    def sent(self, notification_id: int, ref: str = "") -> None:
        self.done.append((notification_id, "sent", None))

    def later(self, notification_id: int, why: str, after: timedelta) -> None:
        self.done.append((notification_id, f"later: {why}", after))

    def unknown(self, notification_id: int, why: str, after: timedelta) -> None:
        self.done.append((notification_id, f"unknown: {why}", after))

    def dead(self, notification_id: int, why: str, block: Block | None = None) -> None:
        self.done.append((notification_id, f"dead: {why}", None))

    def keep_body(self, notification_id: int, body: str) -> None:
        self.bodies[notification_id] = body

    @property
    def ends(self) -> dict[int, str]:
        """How each message ended, in a word."""
        return {number: how.partition(":")[0] for number, how, _ in self.done}


class Post:
    """Takes every message, or does with it what it was told to."""

    def __init__(self, does: Callable[[Any], None] = lambda letter: None, *, collapses: bool = True) -> None:
        self.taken: list[Any] = []
        self.closed, self.collapses_repeats = 0, collapses
        self.found = ""
        self._does = does

    def send(self, letter: Letter) -> str:
        self._does(letter)
        self.taken.append(letter)
        return f"ref-{len(self.taken)}"

    def find(self, letter: Letter) -> str:
        return self.found

    def close(self) -> None:
        self.closed += 1


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(mail_from=SENDER, public_url="http://shop.example")


def an_order(order_id: str) -> OrderView:
    return a_view()


def trouble(error: Exception) -> Callable[[Any], None]:
    def does(mail: Any) -> None:
        raise error

    return does


def test_a_message_is_sent_and_then_noted_as_sent(renderer: Renderer) -> None:
    outbox, channel = Outbox(a_message(1)), Post()

    Relay(outbox, {Channel.EMAIL: channel}, renderer, an_order).send_due(threading.Event())

    assert [mail.message_id for mail in channel.taken] == ["<order-SO-1.shipped.SO-1-1.1@northwind.example>"]
    assert outbox.ends == {1: "sent"}


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (ProviderUnavailable("451 greylisted"), "later"),
        (OutcomeUnknown("no answer"), "later"),
        (AuthConfig("535"), "later"),
        (Undeliverable("550 no such user"), "dead"),
        (RuntimeError("a bug"), "later"),
    ],
)
def test_trouble_decides_whether_a_message_is_tried_again(
    renderer: Renderer, error: Exception, end: str
) -> None:
    outbox = Outbox(a_message(1))

    Relay(outbox, {Channel.EMAIL: Post(trouble(error))}, renderer, an_order).send_due(threading.Event())

    assert outbox.ends == {1: end}


def test_one_bad_recipient_does_not_hold_up_the_others(renderer: Renderer) -> None:
    def does(mail: Any) -> None:
        if mail.recipient == "bad@example.com":
            raise Undeliverable("550")

    outbox = Outbox(a_message(1), a_message(2, recipient="bad@example.com"), a_message(3))

    Relay(outbox, {Channel.EMAIL: Post(does)}, renderer, an_order).send_due(threading.Event())

    assert outbox.ends == {1: "sent", 2: "dead", 3: "sent"}


def test_an_order_that_cannot_be_read_holds_up_nobody_else(renderer: Renderer) -> None:
    answers = iter([KeyError("SO-1"), a_view()])

    def view(order_id: str) -> OrderView:
        if isinstance(answer := next(answers), Exception):
            raise answer
        return answer

    outbox = Outbox(a_message(1), a_message(2))

    Relay(outbox, {Channel.EMAIL: Post()}, renderer, view).send_due(threading.Event())

    assert outbox.ends == {1: "later", 2: "sent"}


def test_the_waits_grow_and_after_four_days_it_is_given_up(renderer: Renderer) -> None:
    outbox = Outbox(*(a_message(n, tries=n) for n in range(len(_GAPS) + 1)))
    relay = Relay(outbox, {Channel.EMAIL: Post(trouble(ProviderUnavailable("451")))}, renderer, an_order)
    while outbox.pending:
        relay.send_due(threading.Event())

    waits = [after for _, _, after in outbox.done if after is not None]
    assert waits == sorted(waits)
    assert timedelta(days=3.5) < sum(waits, timedelta()) < timedelta(days=4.5)
    assert outbox.done[-1][1].startswith("dead: given up")


def test_when_it_must_stop_it_finishes_the_message_in_hand_and_gives_the_others_back(
    renderer: Renderer,
) -> None:
    stop = threading.Event()
    outbox = Outbox(*(a_message(n) for n in (1, 2, 3)))
    channel = Post(lambda mail: stop.set())

    Relay(outbox, {Channel.EMAIL: channel}, renderer, an_order).run(stop)

    assert outbox.done == [
        (1, "sent", None),
        (2, "later: given back unsent", timedelta(0)),
        (3, "later: given back unsent", timedelta(0)),
    ]
    assert channel.closed == 1


def test_a_batch_that_takes_longer_than_its_lease_is_given_back(
    renderer: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.relay._LEASE_IS_SAFE", -1.0)
    outbox, channel = Outbox(a_message(1)), Post()

    Relay(outbox, {Channel.EMAIL: channel}, renderer, an_order).send_due(threading.Event())

    assert (outbox.ends, channel.taken) == ({1: "later"}, [])


def test_it_goes_on_when_the_database_is_back(renderer: Renderer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.relay._AWAY", 0.01)
    stop = threading.Event()
    outbox = Outbox(a_message(1))
    outbox.away = 2

    Relay(outbox, {Channel.EMAIL: Post(lambda mail: stop.set())}, renderer, an_order).run(stop)

    assert outbox.ends == {1: "sent"}


def a_text(notification_id: int = 1, **changes: Any) -> Message:
    return replace(a_message(notification_id), channel="sms", recipient="+12085550142", **changes)


def test_a_text_message_is_kept_before_it_leaves_and_its_name_there_afterwards(renderer: Renderer) -> None:
    outbox, phone = Outbox(a_text()), Post(collapses=False)

    Relay(outbox, {Channel.SMS: phone}, renderer, an_order).send_due(threading.Event())

    (text,) = phone.taken
    assert outbox.bodies == {1: text.body}
    assert text.body == (
        "Northwind Outfitters: Arriving Fri 27 Nov: your order SO-1 http://shop.example/t/tok-1 "
        "Reply STOP to opt out"
    )
    assert outbox.done == [(1, "sent", None)]


def test_of_a_text_message_in_doubt_the_provider_is_asked_before_a_second_one_leaves(
    renderer: Renderer,
) -> None:
    outbox, phone = Outbox(a_text()), Post(trouble(OutcomeUnknown("no answer")), collapses=False)
    relay = Relay(outbox, {Channel.SMS: phone}, renderer, an_order)
    relay.send_due(threading.Event())
    (doubt,) = outbox.done
    phone.found, outbox.pending = "SM1", [a_text(tries=1, body="as it was", first_sent_at=NOW)]

    relay.send_due(threading.Event())

    assert doubt == (1, "unknown: OutcomeUnknown: no answer", timedelta(seconds=60))
    assert (outbox.ends, phone.taken) == ({1: "sent"}, [])


def test_a_text_message_that_never_left_is_sent_again_to_the_letter(renderer: Renderer) -> None:
    outbox = Outbox(a_text(tries=1, body="as it was", first_sent_at=NOW))
    phone = Post(collapses=False)

    Relay(outbox, {Channel.SMS: phone}, renderer, an_order).send_due(threading.Event())

    assert [text.body for text in phone.taken] == ["as it was"]


def test_nothing_goes_to_a_recipient_who_is_blocked(renderer: Renderer) -> None:
    outbox, post = Outbox(replace(a_message(1), blocked="550 no such user")), Post()

    Relay(outbox, {Channel.EMAIL: post}, renderer, an_order).send_due(threading.Event())

    assert (outbox.done, post.taken) == ([(1, "dead: 550 no such user", None)], [])


@pytest.fixture
def mail_server() -> Iterator[tuple[Server, int]]:
    server = Server()
    controller = Controller(server, hostname="127.0.0.1", port=free_port())
    controller.start()
    yield server, controller.port
    controller.stop()


def test_greylisting_is_waited_for_and_then_it_arrives(
    renderer: Renderer, mail_server: tuple[Server, int]
) -> None:
    server, port = mail_server
    server.on_rcpt = "451 4.7.1 Greylisted"
    channel = SmtpChannel(host="127.0.0.1", port=port, mail_from=SENDER)
    outbox = Outbox(a_message(1))
    relay = Relay(outbox, {Channel.EMAIL: channel}, renderer, an_order)

    relay.send_due(threading.Event())
    server.on_rcpt = "250 OK"
    outbox.pending = [a_message(1, tries=1)]
    relay.send_due(threading.Event())
    channel.close()

    assert [how.partition(":")[0] for _, how, _ in outbox.done] == ["later", "sent"]
    assert len(server.taken) == 1


@pytest.mark.parametrize(("point", "copies"), [("send.after_claim", 1), ("send.after_effect", 2)])
def test_a_relay_that_is_killed_sends_the_same_message_again_and_loses_none(
    tmp_path: Path, mail_server: tuple[Server, int], point: str, copies: int
) -> None:
    server, port = mail_server
    (tmp_path / "outbox.json").write_text(json.dumps({"state": "pending", "tries": 0}))
    (tmp_path / "armed").mkdir()
    (tmp_path / "armed" / point).touch()
    child = [sys.executable, "-m", "tests.workers.relay_child", str(tmp_path), str(port)]

    first = subprocess.run(child, cwd=ROOT, timeout=30, check=False)
    left = json.loads((tmp_path / "outbox.json").read_text())
    second = subprocess.run(child, cwd=ROOT, timeout=30, check=False)

    assert (first.returncode, left["state"]) == (-signal.SIGKILL, "claimed")
    assert (second.returncode, json.loads((tmp_path / "outbox.json").read_text())["state"]) == (0, "sent")
    wait_for(lambda: len(server.taken) == copies)
    assert {mail["Message-ID"] for mail in server.taken} == {
        "<order-SO-1.shipped.SO-1-1.1@northwind.example>"
    }
