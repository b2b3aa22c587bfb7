"""The command line: each command parses, calls the API once, and prints.

Results go to stdout, progress and errors to stderr. Exit code 0: done; 1: the model or data is at fault (or a
check failed); 2: the command line is.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from snncc import __version__
from snncc.cli_compile import check_arguments, check_command, compile_arguments, compile_command
from snncc.cli_nir import export_arguments, export_command
from snncc.cli_run import (
    evaluate_arguments,
    evaluate_command,
    simulate_arguments,
    simulate_command,
    verify_arguments,
    verify_command,
)
from snncc.errors import SnnccError

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit code."""
    options = parser().parse_args(arguments)
    command: Command = options.command
    try:
        with asked_to_end():
            return command(options)
    except SnnccError as error:
        return refused(error, is_json=options.json)
    except MemoryError as problem:
        said = f"not enough memory: {str(problem) or 'the network or its data are too large'}"
        hint = "take fewer samples or timesteps, or a machine with more memory"
        return refused(SnnccError(said, hint=hint), is_json=options.json)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 1
    except BrokenPipeError:
        sys.stderr.close()
        return 1


def refused(error: SnnccError, *, is_json: bool) -> int:
    """Say what is wrong. Returns the exit code."""
    if is_json:
        print(json.dumps({"error": error.message, "hint": error.hint, "kind": type(error).__name__}))
    print(f"error: {error}", file=sys.stderr)
    return 1


@contextmanager
def asked_to_end() -> Iterator[None]:
    """SIGTERM ends a command as Ctrl-C does: what it started ends with it, and what is half done goes."""

    def end(number: int, _: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def parser() -> argparse.ArgumentParser:
    """The grammar of the command line."""
    top = argparse.ArgumentParser(
        prog="snncc",
        description="Compile trained spiking networks for neuromorphic chips, and simulate them.",
    )
    top.add_argument("--version", action="version", version=f"snncc {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, (arguments, run, text) in COMMANDS.items():
        one = commands.add_parser(name, help=text, description=text)
        one.set_defaults(command=run)
        one.add_argument("--json", action="store_true", help="print JSON")
        arguments(one)
    return top


def targets_command(options: argparse.Namespace) -> int:
    import snncc
    from snncc.chips import chip_names, load_chip

    found = {name: target.summary for name, target in sorted(snncc.targets().items())}
    chips = {name: load_chip(name).title for name in chip_names()}
    if options.json:
        print(json.dumps({"targets": found, "chips": chips}))
        return 0
    print("\n".join(f"{name:8} {text}" for name, text in found.items()))
    print("chips (--chip):")
    print("\n".join(f"{name:18} {text}" for name, text in chips.items()))
    return 0


def passes_command(options: argparse.Namespace) -> int:
    from snncc.api.describe import passes

    rows = passes()
    if options.json:
        print(json.dumps(rows))
        return 0
    for row in rows:
        print(f"{row['name']:18} {row['preserves']:12} {row['summary']}")
    return 0


def no_arguments(one: argparse.ArgumentParser) -> None:
    """Of a command that takes none."""


COMMANDS: dict[str, tuple[Callable[[argparse.ArgumentParser], None], Command, str]] = {
    "compile": (compile_arguments, compile_command, "compile a model for a target into a program folder"),
    "check": (check_arguments, check_command, "say what keeps a model from fitting a target"),
    "simulate": (simulate_arguments, simulate_command, "run a program and report spikes, energy, latency"),
    "verify": (verify_arguments, verify_command, "show that the program computes what the model does"),
    "evaluate": (evaluate_arguments, evaluate_command, "accuracy with its cost, on labeled data"),
    "export": (export_arguments, export_command, "write a network for other frameworks (NIR)"),
    "targets": (no_arguments, targets_command, "list the targets"),
    "passes": (no_arguments, passes_command, "list the passes and what they preserve"),
}


if __name__ == "__main__":
    sys.exit(main())
