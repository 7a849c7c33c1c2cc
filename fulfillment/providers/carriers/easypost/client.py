"""Labels and tracking at EasyPost. It knows no idempotency key, but sells postage once per shipment."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import ROUND_CEILING, Decimal
from types import MappingProxyType
from typing import Any, Final

from fulfillment.crashpoints import crashpoint
from fulfillment.domain.address import Address, AddressAnswer, Verdict, leads_elsewhere
from fulfillment.domain.carrier_choice import Quote
from fulfillment.domain.cartons import Size
from fulfillment.domain.label import Label, LabelDocument, LabelJob, Quoted
from fulfillment.domain.policy import LabelFormat
from fulfillment.domain.provider_errors import (
    AuthConfig,
    LabelRefused,
    NotFound,
    OutcomeUnknown,
    ProviderError,
    ProviderUnavailable,
    RateGone,
    Rejected,
    StateConflict,
    VoidRefused,
)
from fulfillment.domain.scan_forms import FormDocument, FormSnapshot, FormState
from fulfillment.domain.tracking import Scan
from fulfillment.http import ProviderHttp, Reply, legible
from fulfillment.providers.carriers.easypost.statuses import arrival_of, scans_of
from fulfillment.providers.carriers.prices import minor_units

_READ_TIMEOUT: Final = 20.0
_MM_PER_INCH: Final = Decimal("25.4")
_CHECK_TIMEOUT: Final = 5.0  # an address that nobody checks in time goes as it was given
_MILLIGRAMS_PER_OUNCE: Final = Decimal("28349.523125")

# Names from EasyPost's own error page and from other adapters for it (karrio, shipping gems).
_EXISTS: Final = "SHIPMENT.POSTAGE.EXISTS"
_IN_DOUBT: Final = frozenset(
    {"SHIPMENT.PURCHASE.IN_PROGRESS", "SHIPMENT.POSTAGE.TIMED_OUT", "SHIPMENT.POSTAGE.NO_RESPONSE"}
)
_RATE_GONE: Final = ("SHIPMENT.RATE", "RATE.")
_NO_LABEL: Final = ("SHIPMENT.POSTAGE.", "ADDRESS.")
_NO_REFUND: Final = "SHIPMENT.REFUND."
# From https://docs.easypost.com/docs/addresses: nobody could tell; it may be one of several.
_CANNOT_TELL: Final = ("E.TIMEOUT.", "E.SERVER.", "E.QUERY.UNANSWERABLE", "E.COUNTRY.UNSUPPORTED")
_IS_NOT_SURE: Final = ("E.ADDRESS.MULTIPLE",)
# How a carrier's message reads that gave no answer at all; the others answered that they do not take the parcel.
_SILENT: Final = ("did not respond", "timed out", "timeout", "unavailable at this time", "try again later")
_FORM_STATES: Final = MappingProxyType(
    {"creating": FormState.ASKED, "created": FormState.MADE, "failed": FormState.REFUSED}
)
_GIVEN_BACK: Final = frozenset({"submitted", "refunded"})


class EasyPostCarrier:
    """The carriers behind EasyPost."""

    def __init__(self, *, key: str, base_url: str = "https://api.easypost.com/v2") -> None:
        self._http = ProviderHttp(
            "EasyPost",
            base_url,
            headers={"authorization": f"Bearer {key}"},
            read_timeout=_READ_TIMEOUT,
            request_id_header="x-ep-request-uuid",
            explain=_explain,
        )

    def check_address(self, address: Address) -> AddressAnswer:
        """Return whether a parcel can be brought there; UNKNOWN where nobody can tell."""
        asked = {"address": _address(address), "verify": True}
        try:
            reply = self._http.ask("/addresses", asked, patience=_CHECK_TIMEOUT)
            with legible(reply):
                return _answer(address, reply.body)
        except ProviderError as error:
            return AddressAnswer(verdict=Verdict.UNKNOWN, said=str(error))

    def quote(self, job: LabelJob) -> Quoted:
        """Return a shipment with its offers.

        A purchase that has a shipment is offered the same one again, with fresh rates where those it had are old:
        EasyPost sells postage once per shipment, so a purchase that is still under way there, or in another attempt,
        cannot become a second label.

        Raises:
            LabelRefused: the address or the parcel is refused.
        """
        if job.reference and job.quotes_are_old:
            again = self._http.post(f"/shipments/{job.reference}/rerate", {}, change=False)
            return _quoted(again, job.today)
        if job.reference:
            return _quoted(self._http.read(f"/shipments/{job.reference}"), job.today)
        made = self._http.post("/shipments", {"shipment": _shipment(job)}, change=False)
        return _quoted(made, job.today)

    def buy(self, reference: str, quote: Quote) -> Label:
        """Buy the postage.

        Raises:
            StateConflict: this shipment has its postage already.
            LabelRefused: the carrier said no.
        """
        reply = self._http.post(f"/shipments/{reference}/buy", {"rate": {"id": quote.quote_id}})
        crashpoint("buy_label.after_effect")
        with legible(reply):
            return _label(reply.body)

    def document(self, label: Label) -> LabelDocument:
        """Return what is printed, byte for byte.

        Raises:
            ProviderUnavailable: it is not there yet, or is no label.
        """
        content = self._http.download(label.label_url)
        try:
            return LabelDocument.of(content)
        except ValueError as error:
            raise ProviderUnavailable(f"EasyPost: {label.label_url}: {error}") from error

    def bought(self, reference: str) -> Label | None:
        """Return the label this shipment has, or None."""
        reply = self._http.read(f"/shipments/{reference}")
        with legible(reply):
            return _label(reply.body) if reply.body.get("postage_label") else None

    def void(self, reference: str) -> None:
        """Ask for the postage back.

        Raises:
            VoidRefused: the carrier said no.
        """
        reply = self._http.post(f"/shipments/{reference}/refund", {})
        crashpoint("void_label.after_effect")
        if reply.body.get("refund_status") not in _GIVEN_BACK:
            raise VoidRefused(f"{reference}: the refund is {reply.body.get('refund_status')}")

    def is_void(self, reference: str) -> bool:
        """Test whether the postage was given back, or will be."""
        return self._http.read(f"/shipments/{reference}").body.get("refund_status") in _GIVEN_BACK

    def ask_for_form(self, shipments: Sequence[str]) -> FormSnapshot:
        """Ask for one code for these shipments (https://docs.easypost.com/docs/scan-form): of one place and one
        carrier, none of them refunded or on a form already.

        Raises:
            Rejected: the carrier makes none of these.
        """
        asked = {"shipments": [{"id": shipment} for shipment in shipments]}
        reply = self._http.post("/scan_forms", {"scan_form": asked})
        crashpoint("scan_form.after_effect")
        with legible(reply):
            return _form(reply.body)

    def form(self, reference: str) -> FormSnapshot:
        """Return how far a form is."""
        reply = self._http.read(f"/scan_forms/{reference}")
        with legible(reply):
            return _form(reply.body)

    def form_of(self, shipment: str) -> FormSnapshot | None:
        """Return the form that a shipment is on, or None."""
        reply = self._http.read(f"/shipments/{shipment}")
        with legible(reply):
            found = reply.body.get("scan_form")
            return _form(found) if found else None

    def form_document(self, form: FormSnapshot) -> FormDocument:
        """Return what is printed, byte for byte.

        Raises:
            ProviderUnavailable: it is not there yet, or is no PDF.
        """
        content = self._http.download(form.url)
        try:
            return FormDocument.of(content)
        except ValueError as error:
            raise ProviderUnavailable(f"EasyPost: {form.url}: {error}") from error

    def track(self, carrier: str, tracking_number: str) -> tuple[tuple[Scan, ...], date | None]:
        """Return the parcel's whole scan history and its estimated delivery date; nothing if it is unknown."""
        params = [("tracking_code", tracking_number), ("carrier", carrier)]
        reply = self._http.read("/trackers", params)
        with legible(reply):
            for tracker in reply.body["trackers"]:
                if tracker["tracking_code"] == tracking_number:
                    return scans_of(tracker), arrival_of(tracker)
        return (), None

    def close(self) -> None:
        """Close every connection."""
        self._http.close()


def ounces(grams: int) -> float:
    """Return a weight in ounces, rounded up to a tenth, which is as fine as EasyPost weighs."""
    tenths = (Decimal(max(grams, 1)) * 10_000 / _MILLIGRAMS_PER_OUNCE).to_integral_value(ROUND_CEILING)
    return float(tenths / 10)


def inches(mm: int) -> float:
    """Return a length in inches, rounded up to a tenth: carriers measure no finer, and charge for what they measure."""
    return float((Decimal(mm * 10) / _MM_PER_INCH).to_integral_value(ROUND_CEILING) / 10)


def _shipment(job: LabelJob) -> dict[str, Any]:
    return {
        "reference": job.key,
        "from_address": _address(job.origin),
        "to_address": _address(job.destination),
        "parcel": {"weight": ounces(job.weight_g)} | _sides(job.size_mm),
        **_options(job.policy.label_format),
    }


def _sides(size_mm: Size | None) -> dict[str, float]:
    if size_mm is None:
        return {}
    length, width, height = sorted(size_mm, reverse=True)
    return {"length": inches(length), "width": inches(width), "height": inches(height)}


def _options(label_format: LabelFormat) -> dict[str, Any]:
    return {} if label_format is LabelFormat.PNG else {"options": {"label_format": label_format.upper()}}


def _address(address: Address) -> dict[str, str]:
    fields = {
        "name": address.name,
        "company": address.company,
        "street1": address.line1,
        "street2": address.line2,
        "city": address.city,
        "state": address.region,
        "zip": address.postal_code,
        "country": address.country,
        "phone": address.phone,
    }
    return {name: value for name, value in fields.items() if value}


def _quoted(reply: Reply, today: date) -> Quoted:
    """Return the offers, and beside them what the carriers said that made none: the answer is a good one."""
    with legible(reply):
        return Quoted(
            reference=reply.body["id"],
            quotes=tuple(_quote(rate, today) for rate in reply.body["rates"]),
            messages=tuple(_message(said) for said in reply.body.get("messages") or ()),
            silent=_silent(reply.body),
        )


def _silent(shipment: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the carriers that gave no answer; one that has made an offer is not among them."""
    offered = {rate["carrier"] for rate in shipment["rates"]}
    said = [one for one in shipment.get("messages") or () if isinstance(one, dict) and one.get("carrier")]
    mute = {str(one["carrier"]) for one in said if _is_silence(str(one.get("message") or ""))}
    return tuple(sorted(mute - offered))


def _is_silence(message: str) -> bool:
    return any(sign in message.casefold() for sign in _SILENT)


def _answer(written: Address, kept: Mapping[str, Any]) -> AddressAnswer:
    """Return what a verification came to; where it says nothing, nobody could tell."""
    checked = (kept.get("verifications") or {}).get("delivery")
    if checked is None:
        return AddressAnswer(verdict=Verdict.UNKNOWN)
    errors = checked.get("errors") or ()
    codes, said = [str(one.get("code") or "") for one in errors], "; ".join(map(_particular, errors))
    better = _as_known(written, kept)
    if checked["success"]:
        elsewhere = leads_elsewhere(written, better)
        verdict = Verdict.CORRECTED if elsewhere else Verdict.DELIVERABLE
        return AddressAnswer(verdict=verdict, suggestion=better if elsewhere else None, said=said)
    if any(code.startswith(_CANNOT_TELL) for code in codes):
        return AddressAnswer(verdict=Verdict.UNKNOWN, said=said)
    unsure = any(code.startswith(_IS_NOT_SURE) for code in codes)
    verdict = Verdict.NEEDS_CONFIRMATION if unsure else Verdict.UNDELIVERABLE
    suggestion = better if leads_elsewhere(written, better) else None
    return AddressAnswer(verdict=verdict, suggestion=suggestion, said=said)


def _as_known(written: Address, kept: Mapping[str, Any]) -> Address:
    """Return an address as the carriers know it; what they do not answer stays as it was written."""
    return replace(
        written,
        line1=kept.get("street1") or written.line1,
        line2=kept.get("street2") or "",
        city=kept.get("city") or written.city,
        region=kept.get("state") or written.region,
        postal_code=kept.get("zip") or written.postal_code,
        country=kept.get("country") or written.country,
    )


def _quote(rate: Mapping[str, Any], today: date) -> Quote:
    return Quote(
        quote_id=rate["id"],
        carrier=rate["carrier"],
        service=rate["service"],
        price=minor_units(rate["rate"], rate["currency"]),
        currency=rate["currency"],
        days=_days(rate, today),
    )


def _days(rate: Mapping[str, Any], today: date) -> int | None:
    if until := rate.get("delivery_date"):
        return max((date.fromisoformat(until[:10]) - today) // timedelta(days=1), 0)
    days = rate.get("delivery_days")
    return int(rate["est_delivery_days"]) if days is None and rate.get("est_delivery_days") else days


def _message(said: Any) -> str:
    if not isinstance(said, dict):
        return str(said)
    return ": ".join(str(said[part]) for part in ("carrier", "message") if said.get(part))


def _label(shipment: Mapping[str, Any]) -> Label:
    rate = shipment["selected_rate"]
    return Label(
        carrier=rate["carrier"],
        service=rate["service"],
        tracking_number=shipment["tracking_code"],
        cost=minor_units(rate["rate"], rate["currency"]),
        currency=rate["currency"],
        label_url=shipment["postage_label"]["label_url"],
        edd=arrival_of(shipment.get("tracker") or {}),
    )


def _form(scan_form: Mapping[str, Any]) -> FormSnapshot:
    return FormSnapshot(
        reference=scan_form["id"],
        state=_FORM_STATES[scan_form["status"]],
        said=scan_form.get("message") or "",
        url=scan_form.get("form_url") or "",
    )


def _explain(reply: Reply) -> Exception | None:
    """Return what an error of EasyPost means (https://docs.easypost.com/docs/errors), None to go by status."""
    error = reply.body.get("error")
    if not isinstance(error, dict):
        return AuthConfig(str(error or "payment required")) if reply.status == 402 else None
    code, said = str(error.get("code") or ""), f"EasyPost: {_said(error)}"
    about = {"code": code, "request_id": reply.request_id}
    if code == _EXISTS:
        return StateConflict(said, **about)
    if code in _IN_DOUBT:
        return (OutcomeUnknown if reply.was_change else ProviderUnavailable)(said, **about)
    if reply.status in (401, 402, 403):
        return AuthConfig(said, **about)
    if reply.status in (400, 404, 422):
        return _refused(reply.status, code, said, about)
    return None


def _refused(status: int, code: str, said: str, about: Mapping[str, str]) -> Exception:
    if code.startswith(_NO_REFUND):
        return VoidRefused(said)
    if code.startswith(_RATE_GONE):
        return RateGone(said)
    if code.startswith(_NO_LABEL):
        return LabelRefused(said)
    return (NotFound if status == 404 else Rejected)(said, **about)


def _said(error: Mapping[str, Any]) -> str:
    """Return the sentence of an error with its particulars, which are objects or plain strings."""
    particulars = [_particular(p) for p in error.get("errors") or () if p]
    return "; ".join([str(error.get("message") or error.get("code") or "no reason given"), *particulars])


def _particular(particular: Any) -> str:
    if not isinstance(particular, dict):
        return str(particular)
    return " ".join(str(particular[part]) for part in ("field", "message") if particular.get(part))
