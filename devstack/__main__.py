"""`python -m devstack`: the whole command line, as `./waybill` runs it."""

from devstack.cli import app
from fulfillment.temporal import run_process

if __name__ == "__main__":
    run_process(lambda: app(prog_name="waybill"))
