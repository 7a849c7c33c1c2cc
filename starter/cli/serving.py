"""Serving the doors, bringing the database up to date, and showing how all of it is set up."""

import typer

from fulfillment.settings import load_settings
from fulfillment.storage.engine import migrate
from starter.cli.terminal import JsonOption, answering, table

app = typer.Typer()
db = typer.Typer(no_args_is_help=True, help="The database's schema.")
config = typer.Typer(no_args_is_help=True, help="How this computer is set up.")
app.add_typer(db, name="db")
app.add_typer(config, name="config")


@db.command()
def upgrade() -> None:
    """Bring the schema up to date; harmless to repeat."""
    with answering() as out:
        migrate(load_settings("database_url").database_url)
        out.say("the schema is up to date")


@config.command("show")
def show_config(as_json: JsonOption = False) -> None:
    """Print every setting with where its value came from; secrets only as set or not."""
    with answering(as_json=as_json) as out:
        settings = load_settings()
        made = table("Variable", "Value", "From")
        for setting in settings.shown():
            made.add_row(setting.variable, setting.value, setting.source)
        data = [{"variable": s.variable, "value": s.value, "source": s.source} for s in settings.shown()]
        out.answer({"settings": data}, made)
