"""The carriers' tables: every code they list has its meaning, and one they do not list is unknown, never dropped."""

from collections.abc import Callable

import pytest

from fulfillment.domain.reasons import Reason
from fulfillment.domain.tracking import CarrierStatus, Flag
from fulfillment.providers.carriers.aftership import statuses as aftership
from fulfillment.providers.carriers.dhl import statuses as dhl
from fulfillment.providers.carriers.fedex import statuses as fedex
from fulfillment.providers.carriers.meanings import Meaning
from fulfillment.providers.carriers.ups import statuses as ups
from fulfillment.providers.carriers.usps import statuses as usps

C, R = CarrierStatus, Reason

USPS = {
    "GX MA": C.PRE_TRANSIT,
    "03 OA UA TM PA": C.PICKED_UP,
    "10 A1 T1 TL NT SF EF PC 06 07 08 15 80 81 82": C.IN_TRANSIT,
    "OF 59 DG": C.OUT_FOR_DELIVERY,
    "02 30 51 53 54 55 56 71": C.ATTEMPTED,
    "14 16": C.AVAILABLE_FOR_PICKUP,
    "04 05 09 21 22 23 24 25 26 27 28 31 44": C.RETURN_TO_SENDER,
    "01 17 43": C.DELIVERED,
    "11": C.LOST,
}
FEDEX = {
    "OC OX EP MD": C.PRE_TRANSIT,
    "PU PX": C.PICKED_UP,
    "AR DP IT AF FD LO TR AO AE DY SE CD": C.IN_TRANSIT,
    "OD": C.OUT_FOR_DELIVERY,
    "DE": C.ATTEMPTED,
    "HL HP": C.AVAILABLE_FOR_PICKUP,
    "RS RT": C.RETURN_TO_SENDER,
    "DL": C.DELIVERED,
    "CA": C.CANCELLED,
}
AFTERSHIP = {
    "Pending Expired Exception Exception_001": None,
    "InfoReceived": C.PRE_TRANSIT,
    "InTransit InTransit_007 InTransit_006": C.IN_TRANSIT,
    "InTransit_002": C.PICKED_UP,
    "OutForDelivery": C.OUT_FOR_DELIVERY,
    "AttemptFail AttemptFail_002": C.ATTEMPTED,
    "AvailableForPickup AvailableForPickup_001": C.AVAILABLE_FOR_PICKUP,
    "Delivered Delivered_005": C.DELIVERED,
    "Exception_010": C.RETURN_TO_SENDER,
    "Exception_011": C.RETURNED,
    "Exception_013": C.LOST,
}
DHL = {
    "SD": C.PRE_TRANSIT,
    "PU": C.PICKED_UP,
    "PL DF AF AR CR": C.IN_TRANSIT,
    "WC": C.OUT_FOR_DELIVERY,
    "NH CA BA RD ND": C.ATTEMPTED,
    "CC": C.AVAILABLE_FOR_PICKUP,
    "RT": C.RETURN_TO_SENDER,
    "OK DD": C.DELIVERED,
    "DS": C.DESTROYED,
}


def _each(table: dict[str, C | None]) -> list[tuple[str, C | None]]:
    return [(code, status) for codes, status in table.items() for code in codes.split()]


@pytest.mark.parametrize(
    ("translate", "code", "status"),
    [
        (translate, code, status)
        for translate, table in (
            (usps.translate, USPS),
            (fedex.translate, FEDEX),
            (aftership.translate, AFTERSHIP),
            (dhl.translate, DHL),
        )
        for code, status in _each(table)
    ],
)
def test_every_listed_code_has_its_meaning(
    translate: Callable[[str], Meaning], code: str, status: C | None
) -> None:
    meaning = translate(code)

    assert meaning.status is status
    assert not meaning.is_unknown


@pytest.mark.parametrize(
    ("meaning", "reason", "flag"),
    [
        (usps.translate("08"), R.CARRIER_SORTING_ERROR, Flag.DELAYED),
        (usps.translate("21"), R.CARRIER_ADDRESS_NOT_FOUND, None),
        (usps.translate("44"), R.RETAILER_CANCELLED, None),
        (usps.translate("04"), R.CONSIGNEE_REFUSED, None),
        (usps.translate("51"), R.CONSIGNEE_BUSINESS_CLOSED, None),
        (usps.translate("02"), R.CONSIGNEE_NOT_HOME, None),
        (usps.translate("27"), R.CONSIGNEE_NOT_AVAILABLE, None),
        (usps.translate("53"), R.CONSIGNEE_ACCESS_RESTRICTED, None),
        (usps.translate("55"), R.CONSIGNEE_SAFE_PLACE_UNAVAILABLE, None),
        (usps.translate("22"), R.CONSIGNEE_INCORRECT_ADDRESS, None),
        (usps.translate("71"), None, Flag.DELAYED),
        (usps.translate("81"), R.UNKNOWN, None),
        (fedex.translate("DE", exception="08"), R.CONSIGNEE_NOT_AVAILABLE, None),
        (fedex.translate("CD"), R.CUSTOMS_DELAY, Flag.CUSTOMS),
        (fedex.translate("DY", delay="weather"), R.WEATHER_DELAY, Flag.DELAYED),
        (fedex.translate("SE", exception="A52", delay="OPERATIONAL"), None, Flag.DELAYED),
        (aftership.translate("Exception_012"), R.CARRIER_DAMAGED_PARCEL, Flag.DAMAGED),
        (aftership.translate("Exception_013"), R.CARRIER_PARCEL_LOST, None),
        (aftership.translate("Exception_003"), R.CONSIGNEE_REFUSED, None),
        (aftership.translate("Exception_007"), R.CONSIGNEE_INCORRECT_ADDRESS, None),
        (aftership.translate("Exception_004"), R.CUSTOMS_DELAY, Flag.CUSTOMS),
        (aftership.translate("Exception_018"), R.CUSTOMS_DOCUMENTATION, Flag.CUSTOMS),
        (aftership.translate("Exception_006"), R.CUSTOMS_DUTIES_UNPAID, Flag.ON_HOLD),
        (aftership.translate("Exception_006", abroad=False), R.UNKNOWN, Flag.ON_HOLD),
        (aftership.translate("Exception_017"), R.WEATHER_DELAY, Flag.DELAYED),
        (aftership.translate("Exception_016"), None, Flag.DELAYED),
        (aftership.translate("Exception_009"), R.UNKNOWN, None),
        (dhl.translate("CM"), R.CONSIGNEE_INCORRECT_ADDRESS, None),
        (dhl.translate("UD"), R.CUSTOMS_INSPECTION, Flag.CUSTOMS),
        (dhl.translate("MS"), R.CARRIER_SORTING_ERROR, Flag.DELAYED),
    ],
)
def test_a_code_of_trouble_says_whose_it_is(meaning: Meaning, reason: R | None, flag: Flag | None) -> None:
    assert (meaning.reason, meaning.flag) == (reason, flag)


@pytest.mark.parametrize(
    ("kind", "code", "status"),
    [
        ("M", "MP", C.PRE_TRANSIT),
        ("MV", "VD", C.CANCELLED),
        ("P", "PU", C.PICKED_UP),
        ("I", "OR", C.PICKED_UP),
        ("I", "DP", C.IN_TRANSIT),
        ("I", "a code of tomorrow", C.IN_TRANSIT),
        ("I", "OT", C.OUT_FOR_DELIVERY),
        ("O", "", C.OUT_FOR_DELIVERY),
        ("D", "FS", C.DELIVERED),
        ("D", "KB", C.DELIVERED),
        ("D", "LD", None),  # loaded: news about the delivery, and none
        ("RS", "", C.RETURN_TO_SENDER),
        ("NA", "", None),
    ],
)
def test_upss_delivery_news_is_a_delivery_only_where_the_code_says_so(
    kind: str, code: str, status: C | None
) -> None:
    assert ups.translate(kind, code).status is status


def test_upss_date_of_delivery_makes_its_news_a_delivery() -> None:
    assert ups.translate("D", "LD", delivered=True).status is C.DELIVERED


@pytest.mark.parametrize(
    ("text", "status", "reason", "flag"),
    [
        ("The receiver has refused the delivery.", C.ATTEMPTED, R.CONSIGNEE_REFUSED, None),
        ("Delivery attempted; the business was closed", C.ATTEMPTED, R.CONSIGNEE_BUSINESS_CLOSED, None),
        ("Your package is being returned to the sender.", C.RETURN_TO_SENDER, None, None),
        ("A late flight has caused a delay.", None, None, Flag.DELAYED),
        ("Severe weather conditions have delayed delivery.", None, R.WEATHER_DELAY, Flag.DELAYED),
        ("All merchandise is damaged.", None, R.CARRIER_DAMAGED_PARCEL, Flag.DAMAGED),
        ("The address is incorrect.", None, R.CONSIGNEE_INCORRECT_ADDRESS, None),
        ("Something we have never read.", None, R.UNKNOWN, None),
    ],
)
def test_upss_exceptions_are_read_by_their_sentence(
    text: str, status: C | None, reason: R | None, flag: Flag | None
) -> None:
    meaning = ups.translate("X", "", text=text)

    assert (meaning.status, meaning.reason, meaning.flag) == (status, reason, flag)


@pytest.mark.parametrize("word", dhl.WORDS)
def test_dhls_unified_words_stand_where_there_is_no_code(word: str) -> None:
    assert not dhl.translate("", word).is_unknown


@pytest.mark.parametrize(
    "meaning",
    [
        usps.translate("ZZ"),
        usps.translate(""),
        fedex.translate("ZZ"),
        ups.translate("ZZ"),
        aftership.translate("Exception_099"),
        aftership.translate("Teleported"),
        dhl.translate("ZZ"),
        dhl.translate("", "teleported"),
    ],
)
def test_p36_a_code_in_no_table_is_unknown_and_moves_nothing(meaning: Meaning) -> None:
    assert meaning == Meaning(is_unknown=True)
