"""`python -m devstack`: the whole command line, as `./waybill` runs it."""

from devstack.cli import app

if __name__ == "__main__":
    app(prog_name="waybill")
