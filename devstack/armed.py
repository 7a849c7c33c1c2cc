"""`python -m devstack.armed all`: the workers as the fault suite wants them. They die where they are told, or lack a defence.

The product has no switch for any of this: a broken build is the same code with another object in the wiring.
"""

import itertools
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from activities.payments import PaymentGateway
from activities.shipping import Carrier
from devstack.lives import live_again
from fulfillment import crashpoints
from fulfillment.domain.label import Label, LabelJob, Quoted
from fulfillment.domain.money import Money
from fulfillment.domain.payment import PaymentSnapshot, PaymentStatus, RefundSnapshot
from fulfillment.settings import BadSettings, Settings, load_settings
from fulfillment.temporal import run_process
from workers.__main__ import main as work
from workers.wiring import World, world

CRASHPOINTS: Final = "WAYBILL_CRASHPOINTS"  # the folder whose files name the points to die at
BROKEN: Final = "WAYBILL_BROKEN"  # which defence is taken away


class WithoutKeys:
    """A payment gateway that sends every attempt under a fresh key: no repeat is known as one."""

    def __init__(self, inner: PaymentGateway) -> None:
        self._inner, self.key_life, self.multicapture = inner, inner.key_life, inner.multicapture
        self._attempts = itertools.count(1)
        self.ask, self.find, self.find_refund = inner.ask, inner.find, inner.find_refund

    def authorize(
        self, amount: Money, *, method: str, key: str, operation: str, order_id: str, several: bool
    ) -> PaymentSnapshot:
        """Reserve the amount, perhaps once more."""
        return self._inner.authorize(
            amount,
            method=method,
            key=self._fresh(key),
            operation=operation,
            order_id=order_id,
            several=several,
        )

    def capture(self, reference: str, amount: Money, *, key: str, final: bool) -> PaymentSnapshot:
        """Take the amount."""
        return self._inner.capture(reference, amount, key=self._fresh(key), final=final)

    def void(self, reference: str, *, key: str) -> PaymentSnapshot:
        """Let the amount go."""
        return self._inner.void(reference, key=self._fresh(key))

    def refund(self, reference: str, amount: Money, *, key: str, operation: str) -> RefundSnapshot:
        """Give the amount back, perhaps once more."""
        return self._inner.refund(reference, amount, key=self._fresh(key), operation=operation)

    def method_link(self, order_id: str, *, return_url: str, key: str) -> str:
        """Return one more page."""
        return self._inner.method_link(order_id, return_url=return_url, key=self._fresh(key))

    def _fresh(self, key: str) -> str:
        return f"{key}~{os.getpid()}-{next(self._attempts)}"


class WithoutAsking:
    """A payment gateway that learns nothing by asking: what was lost seems never to have been sent."""

    def __init__(self, inner: PaymentGateway) -> None:
        self.key_life, self.multicapture = inner.key_life, inner.multicapture
        self.authorize, self.capture = inner.authorize, inner.capture
        self.void, self.refund, self.method_link = inner.void, inner.refund, inner.method_link

    def ask(self, reference: str) -> PaymentSnapshot:
        """Return the payment as it was before anything else was asked of it."""
        return PaymentSnapshot(
            reference=reference, status=PaymentStatus.AUTHORIZED, authorized=0, captured=0, refunded=0
        )

    def find(self, operation: str) -> PaymentSnapshot | None:
        """Find nothing."""
        return None

    def find_refund(self, reference: str, operation: str) -> RefundSnapshot | None:
        """Find nothing."""
        return None


class WithFreshShipments:
    """A carrier that makes a new shipment for every attempt, so that the aggregator may sell its postage again."""

    def __init__(self, inner: Carrier) -> None:
        self._inner = inner
        self.check_address, self.document = inner.check_address, inner.document
        self.buy, self.void, self.is_void, self.track = inner.buy, inner.void, inner.is_void, inner.track

    def quote(self, job: LabelJob) -> Quoted:
        """Ask for offers as if it were the first time."""
        return self._inner.quote(replace(job, sends=0, reference=""))

    def bought(self, reference: str) -> Label | None:
        """Return the label this shipment has."""
        return self._inner.bought(reference)


BROKEN_BUILDS: Final[Mapping[str, Callable[[World], World]]] = MappingProxyType(
    {
        "no-key": lambda whole: replace(whole, gateway=WithoutKeys(WithoutAsking(whole.gateway))),
        # One of two defences alone must hold.
        "only-key": lambda whole: replace(whole, gateway=WithoutAsking(whole.gateway)),
        "only-ask": lambda whole: replace(
            whole, gateway=WithoutKeys(whole.gateway), carrier=WithFreshShipments(whole.carrier)
        ),
    }
)


class NotEmbedded(Exception):
    """What dies on purpose must not do it on a database that somebody needs."""


def check_embedded(settings: Settings) -> None:
    """Return if the database is our own, on this computer.

    Raises:
        NotEmbedded: it is another one.
    """
    host = urlsplit(settings.database_url).hostname
    if host != "127.0.0.1":
        raise NotEmbedded(f"armed workers run on the embedded database alone, not on {host}")


def broken(name: str, whole: World) -> World:
    """Return the outside world as the build of this name sees it; without a name nothing is broken.

    Raises:
        BadSettings: there is no such build.
    """
    if not name:
        return whole
    if name not in BROKEN_BUILDS:
        raise BadSettings(f"{BROKEN}={name}: the broken builds are {', '.join(BROKEN_BUILDS)}")
    return BROKEN_BUILDS[name](whole)


def main(arguments: Sequence[str]) -> int:
    """Arm, break what is to be broken, and work; return the exit code."""
    try:
        settings = load_settings("database_url")
        check_embedded(settings)
        outside = broken(os.environ.get(BROKEN, ""), world(settings))
    except (BadSettings, NotEmbedded) as error:
        print(f"armed: {error}", file=sys.stderr)
        return 2
    if folder := os.environ.get(CRASHPOINTS):
        crashpoints.arm(Path(folder))
    return live_again(lambda: work(arguments, outside))


if __name__ == "__main__":
    run_process(lambda: main(sys.argv[1:]))
