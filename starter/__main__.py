"""`python -m starter`: the command line without the local world around it."""

from fulfillment.temporal import run_process
from starter.cli import app

if __name__ == "__main__":
    run_process(lambda: app(prog_name="python -m starter"))
