"""`python -m rlhf.data_formats check FILE`: see `check.py`."""

from minigpt.runs.errors import UserError, did_you_mean, run_main
from rlhf.data_formats import check

COMMANDS = {"check": check.main}


def parse_command(argv: list[str]) -> tuple[list[str], check.CheckConfig]:
    """The file and the settings of `check`, the one command there is."""
    return check.parse_command(argv[1:] if argv[:1] == ["check"] else argv)


def main(argv: list[str]) -> None:
    """Runs the command named first."""
    name = argv[0] if argv else ""
    if name in ("-h", "--help"):
        name, argv = "check", ["check", "--help"]
    if name not in COMMANDS:
        raise UserError(
            f"expected `python -m rlhf.data_formats check FILE`, got {name!r}{did_you_mean(name, COMMANDS)}"
        )
    COMMANDS[name](argv[1:])


if __name__ == "__main__":
    run_main(main)
