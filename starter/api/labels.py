"""What is glued on: a parcel's label, byte for byte as the carrier sent it."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from fulfillment.domain.label import CONTENT_TYPE
from starter.api import patterns
from starter.api.problems import Problem
from starter.api.warehouse import Working
from starter.doors import Standing

router = APIRouter(prefix="/v1/warehouse", tags=["warehouse"])

ParcelId = Annotated[str, Path(max_length=80, pattern=patterns.ID)]
_IN = {kind.value: content_type for kind, content_type in CONTENT_TYPE.items()}


@router.get(
    "/parcels/{parcel_id}/label",
    response_class=Response,
    responses={200: {"content": {content_type: {} for content_type in _IN.values()}}},
    summary="The label, as the carrier sent it",
)
def label(
    parcel_id: ParcelId,
    doors: Standing,
    _caller: Working,
    kind: Annotated[str | None, Query(alias="format", max_length=8, description="pdf, png or zpl")] = None,
) -> Response:
    """Give out the label of a parcel, in the format that is asked for or the one there is.

    Raises:
        Problem: 404, the parcel has no label that may be used, or none in this format.
    """
    documents = doors.labels.documents(parcel_id)
    found = [document for document in documents if kind in (None, document.format.value)]
    if not documents:
        why = "it was not bought yet, was given back, or there is no such parcel"
        raise Problem("not_found", f"{parcel_id} has no label to print: {why}.")
    if not found:
        there = ", ".join(document.format.value for document in documents)
        raise Problem("not_found", f"The label of {parcel_id} was bought as {there}, not as {kind}.")
    headers = {
        "Content-Disposition": f'inline; filename="{parcel_id}.{found[0].format.value}"',
        "ETag": f'"{found[0].sha256}"',
        "Cache-Control": "no-store",  # it bears a name and an address, and may be given back
        "X-Content-Type-Options": "nosniff",
    }
    return Response(found[0].content, media_type=_IN[found[0].format.value], headers=headers)
