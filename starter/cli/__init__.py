"""The command line of the doors: look at orders, act on them, take in files, serve the web."""

import typer

from starter.cli.carriers import app as carrying
from starter.cli.cases import app as troubles
from starter.cli.erasing import app as forgetting
from starter.cli.holds import app as holding
from starter.cli.importing import app as files
from starter.cli.lists import app as reading
from starter.cli.locations import app as places
from starter.cli.parcels import app as moving
from starter.cli.refunds import app as refunding
from starter.cli.serving import app as running
from starter.cli.sourcing import app as sourcing
from starter.cli.stock import app as shelves
from starter.cli.stock_overview import app as vendors
from starter.cli.verbs import app as acting
from starter.cli.webhooks import app as hooks

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # they would show passwords
    help="Waybill: order fulfillment and tracking.",
)
for part in (
    reading,
    shelves,
    vendors,
    sourcing,
    places,
    carrying,
    acting,
    holding,
    troubles,
    refunding,
    moving,
    hooks,
    forgetting,
    files,
    running,
):
    app.add_typer(part)
