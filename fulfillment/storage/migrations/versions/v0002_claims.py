"""Claims that run out."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_STATES = "state IN ('active', 'consumed', 'released')"
_STATES_WITH_EXPIRED = "state IN ('active', 'consumed', 'released', 'expired')"
# One row per order and place again: what is claimed goes before what was, and claims of one place add up.
_FOLD = """
CREATE TEMPORARY TABLE folded ON COMMIT DROP AS
SELECT DISTINCT ON (order_id, sku, location_id) order_id, sku, location_id, sum(quantity) AS quantity, state
FROM reservations GROUP BY order_id, sku, location_id, state ORDER BY order_id, sku, location_id, state
"""
_UNFOLD = """
INSERT INTO reservations (order_id, sku, location_id, quantity, state)
SELECT order_id, sku, location_id, quantity, state FROM folded
"""


def upgrade() -> None:
    """Bring the schema up."""
    op.add_column("reservations", sa.Column("operation_key", sa.Text()))
    op.add_column("reservations", sa.Column("expires_at", sa.DateTime(timezone=True)))
    op.execute(
        "UPDATE reservations r SET operation_key = o.order_id || '\\:reserve',"
        " expires_at = o.accepted_at + interval '15 minutes' FROM orders o WHERE o.order_id = r.order_id"
    )
    op.alter_column("reservations", "operation_key", nullable=False)
    op.alter_column("reservations", "expires_at", nullable=False)
    op.drop_constraint(op.f("pk_reservations"), "reservations")
    op.create_primary_key(
        op.f("pk_reservations"), "reservations", ["order_id", "operation_key", "sku", "location_id"]
    )
    op.drop_constraint(op.f("ck_reservations_state"), "reservations")
    op.create_check_constraint(op.f("ck_reservations_state"), "reservations", _STATES_WITH_EXPIRED)
    op.create_index(
        "ix_reservations_running",
        "reservations",
        ["expires_at"],
        postgresql_where=sa.text("state = 'active'"),
    )


def downgrade() -> None:
    """Bring it back."""
    op.drop_index("ix_reservations_running", "reservations")
    op.execute("UPDATE reservations SET state = 'released' WHERE state = 'expired'")
    op.execute(_FOLD)
    op.execute("DELETE FROM reservations")
    op.drop_constraint(op.f("ck_reservations_state"), "reservations")
    op.create_check_constraint(op.f("ck_reservations_state"), "reservations", _STATES)
    op.drop_constraint(op.f("pk_reservations"), "reservations")
    op.drop_column("reservations", "expires_at")
    op.drop_column("reservations", "operation_key")
    op.create_primary_key(op.f("pk_reservations"), "reservations", ["order_id", "sku", "location_id"])
    op.execute(_UNFOLD)
