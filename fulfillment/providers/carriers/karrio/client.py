"""Labels and tracking at a Karrio server of one's own. It knows no idempotency key and sells a label once per shipment.

Seen with karrio 2026.1.32: rates come with the shipment, `purchase` of one that is bought already is a 409, `cancel`
voids and may be repeated, what a carrier refuses is a 424, and a tracker is made or refreshed by asking for it.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from fulfillment.domain.address import Address, AddressAnswer, Verdict
from fulfillment.domain.carrier_choice import Quote
from fulfillment.domain.cartons import Size
from fulfillment.domain.label import Label, LabelDocument, LabelJob, Quoted
from fulfillment.domain.provider_errors import (
    LabelRefused,
    NotFound,
    OutcomeUnknown,
    ProviderUnavailable,
    Rejected,
    StateConflict,
    VoidRefused,
)
from fulfillment.domain.tracking import Scan
from fulfillment.http import ProviderHttp, Reply, legible
from fulfillment.providers.carriers.karrio.statuses import arrival_of, scans_of
from fulfillment.providers.carriers.prices import minor_units

# It answers when the carrier behind it has answered.
_READ_TIMEOUT: Final = 60.0
_DRAFT, _CANCELLED = "draft", "cancelled"
_STATE_ERROR: Final = "state_error"
_NO_ANSWER: Final = (
    "SHIPPING_SDK_INTERNAL_ERROR"  # whatever went wrong between it and the carrier, timeouts included
)
_ABOUT_THE_PARCEL: Final = ("shipper", "recipient", "parcels")


class KarrioCarrier:
    """The carriers behind a Karrio server; `key` is an API key of its own, `key_...`."""

    def __init__(self, *, key: str, base_url: str) -> None:
        self._base_url = base_url.rstrip("/")
        self._http = ProviderHttp(
            "Karrio",
            self._base_url,
            headers={"authorization": f"Token {key}"},
            read_timeout=_READ_TIMEOUT,
            request_id_header="x-request-id",
            explain=_explain,
        )

    def check_address(self, address: Address) -> AddressAnswer:
        """Return that nobody can tell: Karrio checks no addresses."""
        return AddressAnswer(verdict=Verdict.UNKNOWN)

    def quote(self, job: LabelJob) -> Quoted:
        """Return a shipment with its offers; a purchase that has a shipment is offered the same one again.

        Where its offers are old, its carriers are asked anew.

        Raises:
            LabelRefused: the address or the parcel is refused, or a person has cancelled the shipment over there.
        """
        if not job.reference:
            return _quoted(self._http.post("/v1/shipments", _shipment(job), change=False))
        if job.quotes_are_old:
            return _quoted(self._http.post(f"/v1/shipments/{job.reference}/rates", {}, change=False))
        reply = self._http.read(f"/v1/shipments/{job.reference}")
        if reply.body.get("status") == _CANCELLED:
            raise LabelRefused(f"{job.reference} was cancelled at Karrio")
        return _quoted(reply)

    def buy(self, reference: str, quote: Quote) -> Label:
        """Buy the label.

        Raises:
            StateConflict: this shipment has its label already, or was cancelled.
            LabelRefused: the carrier said no.
        """
        chosen = {"selected_rate_id": quote.quote_id}
        reply = self._http.post(f"/v1/shipments/{reference}/purchase", chosen)
        with legible(reply):
            return self._label(reply.body)

    def document(self, label: Label) -> LabelDocument:
        """Return what is printed, byte for byte.

        Raises:
            ProviderUnavailable: it is not there yet, or is no label.
        """
        content = self._http.download(label.label_url)
        try:
            return LabelDocument.of(content)
        except ValueError as error:
            raise ProviderUnavailable(f"Karrio: {label.label_url}: {error}") from error

    def bought(self, reference: str) -> Label | None:
        """Return the label this shipment has, or None if it was cancelled and can have none any more.

        Raises:
            ProviderUnavailable: it has none in its books, which proves nothing: it writes a label down only after the
                carrier has answered. A person looks at the carrier's own list, and cancels the shipment at Karrio if
                none was sold.
        """
        reply = self._http.read(f"/v1/shipments/{reference}")
        with legible(reply):
            if reply.body["status"] == _CANCELLED:
                return None
            if reply.body["status"] == _DRAFT:
                raise ProviderUnavailable(f"Karrio cannot say whether {reference} was bought")
            return self._label(reply.body)

    def void(self, reference: str) -> None:
        """Give the label back.

        Raises:
            VoidRefused: the carrier said no.
        """
        try:
            self._http.post(f"/v1/shipments/{reference}/cancel", {})
        except (LabelRefused, StateConflict) as no:
            raise VoidRefused(str(no)) from no

    def is_void(self, reference: str) -> bool:
        """Test whether the label was given back."""
        return self._http.read(f"/v1/shipments/{reference}").body.get("status") == _CANCELLED

    def track(self, carrier: str, tracking_number: str) -> tuple[tuple[Scan, ...], date | None]:
        """Return the parcel's whole scan history and its estimated delivery date.

        Nothing where Karrio does not follow this carrier: then the parcel counts as silent.
        """
        asked = {"carrier_name": carrier, "tracking_number": tracking_number}
        try:
            reply = self._http.post("/v1/trackers?pending_pickup=true", asked, change=False)
        except (NotFound, Rejected):
            return (), None
        except (
            LabelRefused
        ) as no:  # the carrier's trouble; about a parcel that has its label it means: not now
            raise ProviderUnavailable(str(no)) from no
        with legible(reply):
            return scans_of(reply.body), arrival_of(reply.body)

    def close(self) -> None:
        """Close every connection."""
        self._http.close()

    def _label(self, shipment: Mapping[str, Any]) -> Label:
        rate, url = shipment["selected_rate"], str(shipment["label_url"])
        return Label(
            carrier=rate["carrier_name"],
            service=rate["service"],
            tracking_number=str(shipment["tracking_number"]),
            cost=minor_units(rate["total_charge"], rate["currency"]),
            currency=rate["currency"],
            label_url=f"{self._base_url}{url}" if url.startswith("/") else url,
            edd=arrival_of(rate),
        )


def _shipment(job: LabelJob) -> dict[str, Any]:
    return {
        "reference": job.key,
        "shipper": _address(job.origin),
        "recipient": _address(job.destination),
        "parcels": [{"weight": job.weight_g / 1000, "weight_unit": "KG"} | _sides(job.size_mm)],
    }


def _sides(size_mm: Size | None) -> dict[str, Any]:
    if size_mm is None:
        return {}
    length, width, height = (side / 10 for side in sorted(size_mm, reverse=True))
    return {"length": length, "width": width, "height": height, "dimension_unit": "CM"}


def _address(address: Address) -> dict[str, str]:
    fields = {
        "person_name": address.name,
        "company_name": address.company,
        "address_line1": address.line1,
        "address_line2": address.line2,
        "city": address.city,
        "state_code": address.region,
        "postal_code": address.postal_code,
        "country_code": address.country,
        "phone_number": address.phone,
    }
    return {name: value for name, value in fields.items() if value}


def _quoted(reply: Reply) -> Quoted:
    """Return the offers, and beside them what the carriers said that made none: the answer is a good one."""
    with legible(reply):
        return Quoted(
            reference=reply.body["id"],
            quotes=tuple(_quote(rate) for rate in reply.body["rates"]),
            messages=tuple(_said(message) for message in reply.body.get("messages") or ()),
        )


def _quote(rate: Mapping[str, Any]) -> Quote:
    return Quote(
        quote_id=rate["id"],
        carrier=rate["carrier_name"],
        service=rate["service"],
        price=minor_units(rate["total_charge"], rate["currency"]),
        currency=rate["currency"],
        days=rate.get("transit_days"),
    )


def _explain(reply: Reply) -> Exception | None:
    """Return what an error of Karrio's means, None to go by status."""
    found = [one for one in (*_list(reply, "errors"), *_list(reply, "messages")) if isinstance(one, dict)]
    said = f"Karrio: {'; '.join(_said(one) for one in found) or 'no reason given'}"
    codes = {str(one.get("code") or "") for one in found}
    about = {"code": next(iter(sorted(codes)), ""), "request_id": reply.request_id}
    if reply.status == 409 and _STATE_ERROR in codes:
        return StateConflict(said, **about)
    if reply.status == 424:
        unsure = reply.was_change and _NO_ANSWER in codes
        return OutcomeUnknown(said, **about) if unsure else LabelRefused(said)
    if reply.status == 400:
        is_theirs = any(str(one.get("message") or "").startswith(_ABOUT_THE_PARCEL) for one in found)
        return LabelRefused(said) if is_theirs else Rejected(said, **about)
    return None


def _list(reply: Reply, name: str) -> list[Any]:
    found = reply.body.get(name)
    return found if isinstance(found, list) else []


def _said(message: Mapping[str, Any]) -> str:
    parts = (message.get("carrier_name"), message.get("message") or message.get("code"))
    return ": ".join(str(part) for part in parts if part)
