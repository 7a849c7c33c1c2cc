"""Addresses that people follow: our own pages, and the carriers'."""

from typing import Final
from urllib.parse import quote

_CARRIERS: Final = {
    "UPS": "https://www.ups.com/track?tracknum=",
    "USPS": "https://tools.usps.com/go/TrackConfirmAction?tLabels=",
    "FedEx": "https://www.fedex.com/fedextrack/?trknbr=",
    "DHLExpress": "https://www.dhl.com/en/express/tracking.html?AWB=",
}


def tracking_url(public_url: str, token: str) -> str:
    """Return the customer's link to their order."""
    return f"{public_url}/t/{token}"


def carrier_url(carrier: str, tracking_number: str) -> str:
    """Return where the carrier shows a parcel, "" for a carrier we do not know."""
    base = _CARRIERS.get(carrier, "")
    return base + quote(tracking_number, safe="") if base and tracking_number else ""
