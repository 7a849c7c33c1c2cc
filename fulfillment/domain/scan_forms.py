"""Scan forms: one code of the carrier's for a whole list, scanned once instead of every parcel."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from fulfillment.domain.errors import FulfillmentError


class FormState(StrEnum):
    """How far a form is, here and at the carrier."""

    ASKED = "asked"  # the carrier is being asked, or makes it
    MADE = "made"
    REFUSED = "refused"  # with what the carrier said


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanForm:
    """A form for parcels of a manifest. What was labeled later needs one of its own."""

    form_id: str
    manifest_id: str
    state: FormState
    parcels: tuple[str, ...]
    said: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanFormJob:
    """A claimed request. `shipments` are the provider's, `reference` is the provider's form, once it is known.

    `sends` counts the sendings before this one.
    """

    form_id: str
    shipments: tuple[str, ...]
    reference: str
    sends: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FormSnapshot:
    """What the provider says of a form; `url` is where the document lies, once it is made."""

    reference: str
    state: FormState
    said: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormDocument:
    """What is printed, byte for byte as the carrier sent it: a PDF."""

    content: bytes

    @property
    def sha256(self) -> str:
        """The fingerprint of the bytes, in hex."""
        return hashlib.sha256(self.content).hexdigest()

    @classmethod
    def of(cls, content: bytes) -> "FormDocument":
        """Return the document.

        Raises:
            ValueError: it is no PDF.
        """
        if not content.startswith(b"%PDF"):
            raise ValueError(f"{len(content)} bytes that are no PDF")
        return cls(content=content)


class NothingForAForm(FulfillmentError):
    """Every parcel on the manifest is on a form, or has left."""

    code = "nothing_for_a_form"

    def __init__(self, manifest_id: str) -> None:
        super().__init__(
            f"{manifest_id} has no parcel that waits and is on no form yet: make the list again if more was labeled"
        )
        self.manifest_id = manifest_id


class UnknownForm(FulfillmentError):
    """There is no such form, or it is not made yet."""

    def __init__(self, form_id: str) -> None:
        super().__init__(f"there is no scan form {form_id} to print")
        self.form_id = form_id
