"""A fact into the e-mail or the text message that tells it. The subject is the news."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from email.utils import parseaddr
from typing import Any, Final

from jinja2 import (
    DictLoader,
    Environment,
    FileSystemLoader,
    StrictUndefined,
    Template,
    pass_context,
    select_autoescape,
)
from jinja2.runtime import Context
from markupsafe import Markup
from mjml import mjml2html

from fulfillment.domain.address import Address
from fulfillment.domain.cases import CaseKind
from fulfillment.domain.holds import HoldReason
from fulfillment.domain.money import Money
from fulfillment.domain.notifications import Fact, message_id, rule_of
from fulfillment.domain.order import Order, UnitRange
from fulfillment.domain.policy import ShortageChoice
from fulfillment.domain.reasons import Reason
from fulfillment.domain.settlement import COMING_BACK, Cause
from fulfillment.domain.shipment import WaitsFor, WorkStatus
from fulfillment.domain.tracking import CarrierStatus
from fulfillment.domain.view import OrderView, ParcelView, ShipmentSummary
from fulfillment.providers.notifications.letters import Mail
from fulfillment.providers.notifications.locales import TEMPLATES, Tongue, tongue_for
from fulfillment.providers.notifications.sms import fitted

_OUT_OF_STOCK: Final = "out_of_stock"  # why a part is cancelled when nobody says otherwise
_GAP: Final = re.compile(r"[^\S\u00a0\u202f]+")  # a space that holds an amount together stays as it is
_DELIVERIES: Final = frozenset(
    {Fact.SHIPPED, Fact.DELAYED}
)  # the facts whose parcel Gmail can show as a card


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Some pieces of one line."""

    quantity: int
    name: str


class Renderer:
    """Writes the messages. `mail_from` is the sender as in `Northwind Outfitters <orders@northwind.example>`.

    The layout is translated from MJML once, its placeholders still in it.
    """

    def __init__(self, *, mail_from: str, public_url: str) -> None:
        name, address = parseaddr(mail_from)
        self._shop, self._host = name or address, address.rpartition("@")[2]
        self._public_url = public_url.rstrip("/")
        self._words = _environment(FileSystemLoader(TEMPLATES))
        html = mjml2html((TEMPLATES / "layout.mjml").read_text("utf-8"), fonts={})
        self._html = _environment(DictLoader({"layout.html": html})).get_template("layout.html")

    def render(
        self,
        view: OrderView,
        fact: Fact,
        *,
        subject: str,
        version: int,
        recipient: str,
        at: datetime,
        data: Mapping[str, Any],
        locale: str = "",
        zone: str = "UTC",
    ) -> Mail:
        """Return the e-mail that tells `fact` about `subject`: the order, one of its shipments or parcels.

        `locale` is the recipient's language (BCP 47), `zone` their IANA zone.
        """
        tongue = tongue_for(locale, fact, zone)
        shipment = _shipment(view, subject)
        words = self._about(view, fact, shipment, data, tongue)
        title, paragraphs = self._told(fact, words, tongue)
        page = {**words, "subject": title, "paragraphs": paragraphs, **_standing(fact, words, tongue)}
        page["linked_data"] = self._linked_data(view, shipment, words) if fact in _DELIVERIES else ""
        page["unsubscribe_url"] = "" if rule_of(fact).must_be_told else f"{words['tracking_url']}/unsubscribe"
        return Mail(
            message_id=message_id(view.order.order_id, fact, subject, version, self._host),
            recipient=recipient,
            subject=title,
            text=self._words.get_template("layout.txt").render(page).strip() + "\n",
            html=self._html.render(page),
            at=at,
            language=tongue.language,
            unsubscribe_url=page["unsubscribe_url"],
        )

    def text(
        self,
        view: OrderView,
        fact: Fact,
        *,
        subject: str,
        data: Mapping[str, Any],
        locale: str = "",
        zone: str = "UTC",
    ) -> str:
        """Return the words of the text message that tells a fact: the news, and where to read the rest."""
        tongue = tongue_for(locale, fact, zone)
        words = self._about(view, fact, _shipment(view, subject), data, tongue)
        title, _ = self._told(fact, words, tongue)
        return fitted(self._shop, title, words["tracking_url"], tongue.words["stop"])

    def _told(self, fact: Fact, words: Mapping[str, Any], tongue: Tongue) -> tuple[str, list[str]]:
        return _read(self._words.get_template(f"{tongue.language}/{fact}.txt"), words)

    def _about(
        self,
        view: OrderView,
        fact: Fact,
        shipment: ShipmentSummary | None,
        data: Mapping[str, Any],
        tongue: Tongue,
    ) -> dict[str, Any]:
        """Return all that a template may speak of; None where there is none of it."""
        order, parcel = view.order, shipment.parcel if shipment else None
        return {
            "tongue": tongue,
            "shop": self._shop,
            "name": _line(order.ship_to.name),
            "order_id": order.order_id,
            "tracking_url": f"{self._public_url}/t/{view.tracking_token}",
            "place": order.ship_to.place,
            "status": view.status.value,
            "promise": view.promise_date,
            "days_late": _days_late(view),
            "reason": tongue.reason(str(data.get("reason") or (parcel.reason if parcel else ""))),
            "payable": Money(minor=view.payable, currency=order.currency) if view.payable else None,
            "value": Money(minor=shipment.value, currency=order.currency) if shipment else None,
            "is_out_of_stock": data.get("reason", _OUT_OF_STOCK) == _OUT_OF_STOCK,
            "change": _line(str(data.get("text", ""))),
            "was_charged": view.payment.captured > 0,
            "decline": view.payment.decline_group,
            "action_url": _action_url(view, fact),
            "due": _due(view, fact, data),
            "attempt": int(data.get("attempt", 0)),
            "again_on": _date(data.get("again_on")),
            "until": _moment(data.get("until")),
            "is_reminder": bool(data.get("again")),
            "is_duty": data.get("reason") == Reason.CUSTOMS_DUTIES_UNPAID,
            "otherwise": str(data.get("default", "")),
            "comes": ShortageChoice.WAIT in data.get("choices", ShortageChoice),
            "offers": list(dict.fromkeys(_line(one["name"]) for one in data.get("offers", ()))),
            "replaced": [_named(one) for one in data.get("replaced", ())],
            "saved": Money(minor=-less, currency=order.currency)
            if (less := data.get("delta", 0)) < 0
            else None,
            "refund": _refund(order, data),
            "cause": _cause(data, parcel),
            "arrived": bool(data.get("arrived")),
            "then": str(data.get("then", "")),
            "by_hand": bool(data.get("by_hand")),
            "waits": any(_waits_for_stock(s) for s in view.shipments),
            "is_part": len(_coming(view)) > 1,
            "is_whole": not _coming(view),
            "items": _items(order, _units(view, fact, shipment)),
            "carrier": parcel.carrier if parcel else "",
            "tracking_number": parcel.tracking_number if parcel else "",
            "parcel_place": parcel.place if parcel else "",
            "arrives": (parcel.edd_date if parcel else None) or view.promise_date,
            "delivered": parcel.delivered_at if parcel else None,
        }

    def _linked_data(
        self, view: OrderView, shipment: ShipmentSummary | None, words: Mapping[str, Any]
    ) -> Markup:
        """Return a schema.org/ParcelDelivery (https://developers.google.com/workspace/gmail/markup), if any."""
        arrives: date | None = words["arrives"]
        if shipment is None or arrives is None or not words["carrier"]:
            return Markup("")
        delivery = {
            "@context": "http://schema.org",
            "@type": "ParcelDelivery",
            "carrier": {"@type": "Organization", "name": words["carrier"]},
            "deliveryAddress": _postal_address(view.order.ship_to),
            "expectedArrivalUntil": arrives.isoformat(),
            "itemShipped": [{"@type": "Product", "name": item.name} for item in words["items"]],
            "partOfOrder": {
                "@type": "Order",
                "orderNumber": view.order.order_id,
                "merchant": {"@type": "Organization", "name": self._shop},
            },
            "trackingNumber": words["tracking_number"],
            "trackingUrl": words["tracking_url"],
        }
        # Inside a script element nothing is escaped, so nothing may look like the end of it.
        return Markup(json.dumps(delivery).replace("<", "\\u003c"))


def _environment(loader: FileSystemLoader | DictLoader) -> Environment:
    made = Environment(
        loader=loader,
        undefined=StrictUndefined,
        autoescape=select_autoescape(enabled_extensions=("html",), default=False),
    )
    for name in ("day", "clock", "money", "plural"):
        made.filters[name] = _as_written(name)
    return made


def _as_written(name: str) -> Callable[..., str]:
    """Return a filter that writes a value as the customer's language does."""

    @pass_context
    def written(context: Context, value: Any, **forms: str) -> str:
        return str(getattr(context["tongue"], name)(value, **forms))

    return written


def _standing(fact: Fact, words: Mapping[str, Any], tongue: Tongue) -> dict[str, str]:
    """Return what every letter says in this language."""
    said = {name: str(tongue.words[name]) for name in ("hello", "see_order", "footer", "unsubscribe")}
    filled = {
        name: text.format(name=words["name"], order_id=words["order_id"]) for name, text in said.items()
    }
    return filled | {
        "action": str(tongue.words.get(fact.value, "")),
        "language": tongue.language,
        "direction": tongue.direction,
        "start": "left" if tongue.direction == "ltr" else "right",
    }


def _read(template: Template, words: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Return the subject and the paragraphs of a message: they are divided by empty lines."""
    parts = (_line(part) for part in template.render(words).split("\n\n"))
    subject, *paragraphs = [part for part in parts if part]
    return subject, paragraphs


def _named(replaced: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is sent instead, its names on one line each."""
    return {**replaced, "name": _line(replaced["name"]), "instead": _line(replaced["instead"])}


def _line(text: str) -> str:
    return _GAP.sub(" ", text).strip()


def _shipment(view: OrderView, subject: str) -> ShipmentSummary | None:
    for shipment in view.shipments:
        if subject in (shipment.shipment_id, shipment.parcel.parcel_id if shipment.parcel else ""):
            return shipment
    return None


def _coming(view: OrderView) -> list[ShipmentSummary]:
    return [s for s in view.shipments if s.work_status is not WorkStatus.CANCELLED]


def _waits_for_stock(shipment: ShipmentSummary) -> bool:
    return shipment.work_status is WorkStatus.SCHEDULED and shipment.waits_for is WaitsFor.STOCK


def _units(view: OrderView, fact: Fact, shipment: ShipmentSummary | None) -> Sequence[UnitRange]:
    """Return the units that the news is about."""
    # A cancelled shipment has no units any more: they are among the cancelled ones of the order.
    if shipment is not None and fact is not Fact.PART_CANCELLED:
        return shipment.units
    match fact:
        case Fact.BACKORDERED | Fact.SHORTAGE_ASKED:
            return [units for s in view.shipments if _waits_for_stock(s) for units in s.units]
        case Fact.PART_CANCELLED | Fact.CANCELLED:
            return view.cancelled_units
        case Fact.REFUNDED:  # an amount, not always for goods
            return ()
        case _:
            return [units for s in _coming(view) for units in s.units]


def _items(order: Order, units: Sequence[UnitRange]) -> list[Item]:
    counted: dict[int, int] = {}
    for some in units:
        counted[some.line_no] = counted.get(some.line_no, 0) + some.count
    return [Item(quantity=counted[n], name=_line(order.line(n).name)) for n in sorted(counted)]


def _days_late(view: OrderView) -> int:
    if view.promise_date is None or view.promise_first_date is None:
        return 0
    return (view.promise_date - view.promise_first_date).days


def _action_url(view: OrderView, fact: Fact) -> str:
    """Return where the customer acts on it: as the order stands now, for a link does not live for ever."""
    match fact:
        case Fact.PAYMENT_ACTION:
            return view.payment.confirm_url or ""
        case Fact.PAYMENT_DECLINED:
            return view.payment.other_url or ""
        case _:
            return ""


def _due(view: OrderView, fact: Fact, data: Mapping[str, Any]) -> datetime | None:
    """Return until when the customer is waited for."""
    match fact:
        case Fact.SHORTAGE_ASKED:
            return next((hold.due_at for hold in view.holds if hold.reason is HoldReason.STOCK), None)
        case Fact.ADDRESS_ASKED:
            return next((hold.due_at for hold in view.holds if hold.reason is HoldReason.ADDRESS), None)
        case Fact.PAYMENT_DECLINED:
            return next((case.due_at for case in view.cases if case.kind is CaseKind.PAYMENT_DECLINED), None)
        case Fact.PAYMENT_ACTION if data.get("pay_by"):
            return datetime.fromisoformat(data["pay_by"])
        case _ if data.get("due_at"):  # of a case
            return datetime.fromisoformat(data["due_at"])
        case _:
            return None


def _date(iso: str | None) -> date | None:
    return date.fromisoformat(iso) if iso else None


def _moment(iso: str | None) -> datetime | None:
    return datetime.fromisoformat(iso) if iso else None


def _refund(order: Order, data: Mapping[str, Any]) -> Money | None:
    amount = data.get("amount")
    return Money(minor=amount, currency=order.currency) if amount else None


def _cause(data: Mapping[str, Any], parcel: ParcelView | None) -> str:
    """Return why something is made good, as it is now: what was on its way back may have come since."""
    said = str(data.get("cause", ""))
    is_back = parcel is not None and parcel.carrier_status is CarrierStatus.RETURNED
    return Cause.RETURNED if is_back and said in COMING_BACK else said


def _postal_address(address: Address) -> dict[str, str]:
    return {
        "@type": "PostalAddress",
        "name": address.name,
        "streetAddress": ", ".join(part for part in (address.line1, address.line2) if part),
        "addressLocality": address.city,
        "addressRegion": address.region,
        "addressCountry": address.country,
        "postalCode": address.postal_code,
    }
