"""Who is told what, on which channel, in which hours. One effective message per fact, version, channel and recipient."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Self
from zoneinfo import ZoneInfo, available_timezones

from fulfillment.domain.errors import FulfillmentError


class Fact(StrEnum):
    """News a customer is told."""

    CONFIRMED = "confirmed"
    BACKORDERED = "backordered"
    PART_CANCELLED = "part_cancelled"
    PAYMENT_DECLINED = "payment_declined"
    SHIPPED = "shipped"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    LOST = "lost"  # it is lost, or waited for no longer: their money goes back
    CANCELLED = "cancelled"
    PAYMENT_ACTION = "payment_action"  # the bank asks the customer to confirm; the link is in the data
    SHORTAGE_ASKED = "shortage_asked"
    CHANGED = "changed"
    SUBSTITUTED = "substituted"  # what comes instead of what is not there
    ADDRESS_ASKED = "address_asked"
    REFUNDED = "refunded"
    SLOW = "slow"  # no scan for longer than usual
    FAILED_ATTEMPT = "failed_attempt"
    LAST_ATTEMPT = "last_attempt"
    PICKUP_WAITING = "pickup_waiting"
    NOT_COLLECTED = "not_collected"  # nobody picked it up in time: it comes back
    CUSTOMS = "customs"
    CUSTOMS_ASKED = "customs_asked"  # customs want what only the customer has
    ADDRESS_PROBLEM = "address_problem"
    RETURNING = "returning"  # the customer says: send it again, or my money back
    REFUSED = "refused"
    NOT_RECEIVED = "not_received"  # where it was left, and what we do if it does not turn up
    RESHIPPED = "reshipped"  # another one is sent for what was lost, damaged or came back
    FOUND = "found"  # what was given up has turned up


class NotificationState(StrEnum):
    """Where a message stands."""

    PENDING = "pending"
    CLAIMED = "claimed"
    UNKNOWN = "unknown"  # it may have left; the channel is asked before anything is sent again
    SENT = "sent"
    WITHDRAWN = "withdrawn"
    SUPPRESSED = "suppressed"
    BOUNCED = "bounced"  # the channel took it, and it came back
    DEAD = "dead"


class Channel(StrEnum):
    """A way to reach a customer."""

    EMAIL = "email"
    SMS = "sms"


class Topic(StrEnum):
    """What news is about."""

    ACTION = "action"  # the customer must answer
    ORDER = "order"  # what was agreed, and money
    DELIVERY = "delivery"  # where the parcel is
    TROUBLE = "trouble"


# What a customer may switch off. Everything else must be told, on one channel at least.
OPTIONAL: Final = frozenset({Topic.DELIVERY})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How news is told. `at_once` ignores quiet hours, `by_sms` goes by SMS too, to those who asked for it."""

    topic: Topic
    by_sms: bool = False
    at_once: bool = False

    @property
    def must_be_told(self) -> bool:
        """Whether a customer cannot switch it off."""
        return self.topic not in OPTIONAL


# At once goes what answers an act of the customer's, or asks for one that does not wait until the morning.
_ANSWER: Final = Rule(topic=Topic.ORDER, at_once=True)
_QUESTION: Final = Rule(topic=Topic.ACTION, by_sms=True, at_once=True)
_TROUBLE: Final = Rule(topic=Topic.TROUBLE, by_sms=True)
_RULES: Final[Mapping[Fact, Rule]] = MappingProxyType(
    {
        Fact.CONFIRMED: _ANSWER,
        Fact.CHANGED: _ANSWER,
        Fact.CANCELLED: _ANSWER,
        Fact.PAYMENT_DECLINED: _QUESTION,
        Fact.PAYMENT_ACTION: _QUESTION,
        Fact.SHORTAGE_ASKED: Rule(topic=Topic.ACTION, by_sms=True),
        Fact.ADDRESS_PROBLEM: Rule(topic=Topic.ACTION, by_sms=True),
        Fact.RETURNING: Rule(topic=Topic.ACTION, by_sms=True),
        Fact.CUSTOMS_ASKED: Rule(topic=Topic.ACTION, by_sms=True),
        Fact.NOT_RECEIVED: _ANSWER,
        Fact.ADDRESS_ASKED: Rule(topic=Topic.ACTION, by_sms=True),
        Fact.BACKORDERED: Rule(topic=Topic.ORDER),
        Fact.PART_CANCELLED: Rule(topic=Topic.ORDER),
        Fact.SUBSTITUTED: Rule(topic=Topic.ORDER),
        Fact.REFUNDED: Rule(topic=Topic.ORDER),
        Fact.SHIPPED: Rule(topic=Topic.DELIVERY),
        Fact.SLOW: Rule(topic=Topic.DELIVERY),
        Fact.CUSTOMS: Rule(topic=Topic.DELIVERY),
        Fact.FAILED_ATTEMPT: Rule(topic=Topic.DELIVERY, by_sms=True),
        Fact.PICKUP_WAITING: Rule(topic=Topic.DELIVERY, by_sms=True),
        Fact.DELAYED: Rule(topic=Topic.DELIVERY, by_sms=True),
        Fact.DELIVERED: Rule(topic=Topic.DELIVERY),
    }
)


def rule_of(fact: Fact) -> Rule:
    """Return how a fact is told: what is not listed is trouble, which nobody can switch off."""
    return _RULES.get(fact, _TROUBLE)


class Block(StrEnum):
    """Why nothing may go to an address or a number any more."""

    BOUNCED = "bounced"  # it does not exist
    STOPPED = "stopped"  # its owner said STOP


class BadPreferences(FulfillmentError):
    """A customer cannot be told things in this way; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """How a customer wants to be told. `main` is the one channel on which everything that must be told arrives.

    `locale` (BCP 47) and `zone` (IANA) are empty where the order and its address decide.
    """

    customer_id: str
    main: Channel = Channel.EMAIL
    sms: bool = False
    delivery_news: bool = True
    locale: str = ""
    zone: str = ""

    def __post_init__(self) -> None:
        if self.main is Channel.SMS and not self.sms:
            raise BadPreferences("SMS as the main channel needs the customer's consent to SMS.")
        if self.zone and self.zone not in available_timezones():
            raise BadPreferences(
                f"There is no time zone {self.zone}; the IANA list has for example Europe/Berlin."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietHours:
    """The local hours in which no message leaves. The same hour twice is none at all."""

    since: time
    until: time

    @classmethod
    def between(cls, since: timedelta, until: timedelta) -> Self:
        """Return the hours between two times of day, each given as the time since midnight."""
        return cls(since=(datetime.min + since).time(), until=(datetime.min + until).time())

    def hold_at(self, local: time) -> bool:
        """Test whether this time of day is quiet."""
        if self.since <= self.until:
            return self.since <= local < self.until
        return local >= self.since or local < self.until

    def next_open(self, moment: datetime, zone: str) -> datetime:
        """Return `moment` itself, or when its quiet hours end in `zone`."""
        there = moment.astimezone(ZoneInfo(zone))
        if not self.hold_at(there.time()):
            return moment
        ends = there.replace(hour=self.until.hour, minute=self.until.minute, second=0, microsecond=0, fold=0)
        if there.time() >= self.until:
            ends += timedelta(
                days=1
            )  # of wall-clock time: eight in the morning stays eight over a DST change
        return ends.astimezone(moment.tzinfo)


def message_id(order_id: str, fact: Fact, subject: str, version: int, host: str) -> str:
    """Return the deterministic Message-ID of a fact, by which a repeated send collapses at the receiver."""
    return f"<order-{order_id}.{fact}.{subject}.{version}@{host}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Which fact a message told."""

    order_id: str
    fact: Fact
    subject: str
    version: int


_OURS: Final = re.compile(rf"<?order-(.+)\.({'|'.join(Fact)})\.(.+)\.(\d+)@[^@>]+>?")


def told_by(of_message: str) -> Told | None:
    """Return what the message with this Message-ID told; None where it is none of ours."""
    found = _OURS.fullmatch(of_message.strip())
    if found is None:
        return None
    return Told(order_id=found[1], fact=Fact(found[2]), subject=found[3], version=int(found[4]))
