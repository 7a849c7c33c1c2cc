"""The command line of the doors: look at orders, act on them, take in files, serve the web."""

import typer

from starter.cli import importing, lists, serving, verbs

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Waybill: order fulfillment and tracking.")
for part in (lists, verbs, importing, serving):
    app.add_typer(part.app)
