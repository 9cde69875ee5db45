"""The command line: ``midband``, whose commands load only when they are asked for."""

__all__ = ["main"]


def main() -> None:
    """Run the command line and leave with its exit code."""
    from midband.cli.root import run

    raise SystemExit(run())
