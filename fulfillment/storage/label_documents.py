"""The bytes of labels, kept when they were bought and given out unchanged."""

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, bindparam, exists, select
from sqlalchemy.dialects.postgresql import insert

from fulfillment.domain.label import LabelDocument
from fulfillment.domain.policy import LabelFormat
from fulfillment.storage.tables import label_documents, labels

_KEEP: Final = insert(label_documents).on_conflict_do_nothing()
_HAS: Final = select(exists().where(label_documents.c.label_id == bindparam("the_label")))
_OF_PARCEL: Final = (
    select(label_documents)
    .join(labels, labels.c.label_id == label_documents.c.label_id)
    .where(labels.c.parcel_id == bindparam("the_parcel"), labels.c.state.in_(["live", "used"]))
    .order_by(label_documents.c.format)
)


def keep(conn: Connection, label_id: str, document: LabelDocument, *, now: datetime) -> None:
    """Keep a label's document; the first one of its format stays."""
    row = {"label_id": label_id, "format": document.format.value, "content": document.content}
    conn.execute(_KEEP, row | {"sha256": document.sha256, "at": now})


def has(conn: Connection, label_id: str) -> bool:
    """Test whether a label can be printed."""
    return bool(conn.execute(_HAS, {"the_label": label_id}).scalar_one())


def of_parcel(conn: Connection, parcel_id: str) -> tuple[LabelDocument, ...]:
    """Return what is printed for a parcel, in every format we have; nothing while it has no live label."""
    rows = conn.execute(_OF_PARCEL, {"the_parcel": parcel_id})
    return tuple(LabelDocument(format=LabelFormat(row.format), content=bytes(row.content)) for row in rows)
