"""`python -m starter`: the command line without the local world around it."""

from starter.cli import app

if __name__ == "__main__":
    app(prog_name="python -m starter")
