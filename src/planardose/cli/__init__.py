"""The command line; `main` is the entry point of ``planardose``."""

from planardose.cli.subcommands import STEPS, app, main

__all__ = ["STEPS", "app", "main"]
