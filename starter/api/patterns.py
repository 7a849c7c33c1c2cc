"""What texts of a request must look like, for the machine and in words."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pydantic_core import PydanticCustomError

from starter.countries import is_country

ONE_LINE: Final = r"^[^\x00-\x1f\x7f]*$"
LINES: Final = r"^[^\x00-\x08\x0b-\x1f\x7f]*$"
ID: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$"
WORD: Final = r"^[A-Za-z0-9][A-Za-z0-9._/ -]*$"
EMAIL: Final = r"^[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+\.[^@\s\x00-\x1f\x7f]+$"
PHONE: Final = r"^(\+[1-9][0-9]{1,14})?$"
COUNTRY: Final = r"^[A-Z]{2}$"
CURRENCY: Final = r"^[A-Z]{3}$"
LOCALE: Final = r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}$"
WEB_ADDRESS: Final = r"^https?://[^\s/?#@]+([/?][^\s#]*)?$"
MANIFEST: Final = r"^M-[A-Za-z0-9._-]+$"
SCAN_FORM: Final = r"^M-[A-Za-z0-9._-]+-F[0-9]+$"
ENDPOINT: Final = r"^we_[0-9a-f]+$"

IN_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        ONE_LINE: "must be one line, without control characters",
        LINES: "must not hold control characters other than line breaks and tabs",
        ID: "must begin with a letter or digit and hold only letters, digits, '.', '_' and '-'",
        NAME: "must begin with a letter or digit and hold only letters, digits, spaces, '.', '_' and '-'",
        WORD: "must begin with a letter or digit and hold only letters, digits, spaces, '.', '_', '/' and '-'",
        EMAIL: "must be an email address such as noor@example.com",
        PHONE: "must be a phone number in international form, such as +12085550123",
        COUNTRY: "must be a country of two capital letters (ISO 3166-1), such as US",
        CURRENCY: "must be a currency of three capital letters (ISO 4217), such as USD",
        LOCALE: "must be a language tag such as en or de-CH",
        WEB_ADDRESS: "must be an http or https address without user name and fragment",
        MANIFEST: "must be the id of a manifest, which begins with M-",
        SCAN_FORM: "must be the id of a scan form, which begins with its manifest's and ends with -F and a number",
        ENDPOINT: "must be the id of an endpoint, such as we_5f0c2a9b11d07e3c",
    }
)


def known_country(code: str) -> str:
    """Return the code of a country that exists, or refuse it."""
    if not is_country(code):
        raise PydanticCustomError("unknown_country", "is no country of ISO 3166-1")
    return code
