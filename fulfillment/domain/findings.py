"""What nobody acted on, as the sweep finds it."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Unheard:
    """A fact that an order's workflow has not heard."""

    signal_id: int
    order_id: str
    name: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unstarted:
    """An accepted order whose workflow is not known to run; `total` is in minor units."""

    order_id: str
    currency: str
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What the sweep found; bounded, the rest is for the next one.

    `silent_parcels` are those whose carrier should be asked, `doubtful_operations` the keys of payment
    requests that stayed open longer than the policy allows. `surplus_payments` hold money that nobody needs,
    `due_refunds` were allowed and nobody pays them, `due_forms` asked for and nobody gets them.
    """

    unheard: tuple[Unheard, ...]
    unstarted: tuple[Unstarted, ...]
    silent_parcels: tuple[str, ...]
    doubtful_operations: tuple[str, ...]
    surplus_payments: tuple[str, ...] = ()
    due_refunds: tuple[str, ...] = ()
    due_forms: tuple[str, ...] = ()
