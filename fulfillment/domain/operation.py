"""A request to a payment provider as our books keep it, and what an authorization came to."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from fulfillment.domain.holds import Hold
from fulfillment.domain.money import Money
from fulfillment.domain.payment import OperationKind, OperationState, PaymentStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A claimed request to the provider.

    `key` is ours and never changes; `provider_key` is what the provider deduplicates by, and `reference` its
    own id of the payment. `captured` is what our books had taken of that payment before this request, and
    `final` says of a capture that the rest is let go. `several` asks for an authorization that can be captured
    in parts. `sends` counts the sendings before this one and `key_age` is real time since the
    first of them: a provider forgets keys after a while. `error_class` is how the latest sending ended.
    """

    key: str
    provider_key: str
    kind: OperationKind
    state: OperationState
    order_id: str
    amount: Money
    method: str = ""
    reference: str = ""
    payment_id: str = ""
    captured: int = 0
    final: bool = True
    several: bool = False
    sends: int = 0
    key_age: timedelta = timedelta(0)
    error_class: str = ""

    @property
    def settled(self) -> bool:
        """Whether its outcome is known."""
        return self.state in (OperationState.SUCCEEDED, OperationState.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """How an attempt ended, and what the order did at once because of it.

    `stock_gone` says that nothing was asked of the provider: the claim on stock had run out meanwhile and could
    not be renewed, so the order's plan has changed and must be read again.
    """

    payment_id: str
    status: PaymentStatus
    shipments: tuple[str, ...] = ()
    expires_at: datetime | None = None
    decline_group: str | None = None
    next_action_url: str | None = None
    stock_gone: bool = False
    confirmed: bool = False
    promise_date: date | None = None
    released: tuple[str, ...] = ()
    holds: tuple[Hold, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """The money for one shipment was taken. `uncovered` lists shipments that lost their reservation by it:

    where a charge allows one capture only, the provider lets the rest of the authorization go.
    """

    amount: int
    uncovered: tuple[str, ...] = ()
