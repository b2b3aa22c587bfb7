"""A program and data, on the command line: ``simulate``, ``verify`` and ``evaluate``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snncc.cli_events import event_arguments, input_of, labeled_input_of
from snncc.cli_shared import integers, model_flags, progress_bar
from snncc.errors import BadFile, BadInput

if TYPE_CHECKING:
    from snncc.api import Program


def simulate_arguments(one: argparse.ArgumentParser) -> None:
    program_arguments(one)
    accounting_argument(one)
    timing_argument(one)
    event_arguments(one)
    one.add_argument("--timesteps", type=int, metavar="T", help="timesteps to run (default: as traced)")
    one.add_argument("--period", type=float, default=0.0, metavar="S", help="of timesteps: self-timed chips")
    one.add_argument("--drops", default="error", help="of events, on self-timed chips: error or count")
    one.add_argument(
        "--trace", type=Path, metavar="T.json", help="timeline of the first sample, for Perfetto"
    )
    one.add_argument("--report", type=Path, metavar="FILE.html", help="write a report, one static file")
    one.add_argument("--floor-plan", type=Path, metavar="FILE", help="draw the chip: .png, .svg or .pdf")
    one.add_argument("--save-output", type=Path, metavar="FILE.npz", help="write the outputs")
    engine_arguments(one)


def verify_arguments(one: argparse.ArgumentParser) -> None:
    program_arguments(one)
    one.add_argument("--model", type=Path, help="the model that was compiled: .pt, .pt2, .onnx or .nir")
    model_flags(one)
    event_arguments(one)
    one.add_argument("--samples", type=int, default=64, metavar="N", help="compare the first N (default: 64)")
    engine_arguments(one)


def evaluate_arguments(one: argparse.ArgumentParser) -> None:
    program_arguments(one)
    accounting_argument(one)
    timing_argument(one)
    event_arguments(one)
    one.add_argument("--timesteps", type=integers, metavar="T,T,..", help="numbers of timesteps to try")


def program_arguments(one: argparse.ArgumentParser) -> None:
    one.add_argument("program", type=Path, help="a program folder")
    one.add_argument(
        "--input",
        type=Path,
        required=True,
        metavar="X.npz",
        help="x, and labels y; or events: docs/events.md",
    )
    one.add_argument("--jobs", type=int, metavar="N", help="threads (default: all)")


def engine_arguments(one: argparse.ArgumentParser) -> None:
    one.add_argument("--engine", help="run what was emitted on software of others: lava or sinabs")
    one.add_argument(
        "--engine-python",
        "--lava-python",
        metavar="PYTHON",
        help="the interpreter of that software's own environment",
    )


def timing_argument(one: argparse.ArgumentParser) -> None:
    one.add_argument(
        "--timing",
        default="none",
        choices=("none", "analytic", "cycle", "reserved"),
        help="time and energy on the chip (default: none); reserved is approximate",
    )


def accounting_argument(one: argparse.ArgumentParser) -> None:
    one.add_argument(
        "--accounting",
        default="paper",
        choices=("paper", "cmos45"),
        help="what counted operations cost (default: paper); cmos45 has memory accesses and neuron updates",
    )


def simulate_command(options: argparse.Namespace) -> int:
    import snncc
    from snncc.api.placing import clock_of
    from snncc.api.tables import chip_table, cost_table
    from snncc.api.timeline import write_timeline

    if options.save_output is not None and not options.save_output.absolute().parent.is_dir():
        raise BadFile(f"{options.save_output}: there is no such folder")
    if options.floor_plan is not None and options.timing == "none":
        raise BadInput("--floor-plan needs a timing", hint="add --timing analytic, cycle or reserved")
    program = snncc.load_program(options.program)
    if options.trace is not None:
        clock_of("cycle", options.period, options.drops, program.placement)  # before anything runs
    data, lost = input_of(options, program, options.timesteps)
    if options.engine is not None:
        print_notes((*lost, *program.unseen(options.timesteps or program.timesteps)))
        return engine_command(options, program, data["x"])
    with progress_bar("simulate") as progress:
        result = program.run(
            data["x"],
            timesteps=options.timesteps,
            threads=options.jobs,
            progress=progress,
            timing=options.timing,
            period=options.period,
            drops=options.drops,
            accounting=options.accounting,
        )
    if options.save_output is not None:
        save_outputs(options.save_output, result.outputs)
    if options.report is not None:
        from snncc.api.report import write_report

        write_report(options.report, program, result)
    if options.floor_plan is not None and result.chip is not None:
        snncc.measure.floor_plan(result.chip, options.floor_plan)
    if options.trace is not None:
        write_timeline(options.trace, program, data["x"], options.timesteps, options.period)
    if options.json:
        chip = None if result.chip is None else result.chip.as_dict()
        counts, notes = result.counts.as_dict(), [*lost, *result.notes]
        print(json.dumps({"samples": result.run.batch, "counts": counts, "chip": chip, "notes": notes}))
    else:
        print(cost_table(result.counts))
        if result.chip is not None:
            print(chip_table(result.chip))
        for note in (*lost, *result.notes):
            print(note)
    return 0


def print_notes(notes: Iterable[str]) -> None:
    """What is beside the results, to stderr."""
    for note in notes:
        print(note, file=sys.stderr)


def engine_command(options: argparse.Namespace, program: Program, x: Any) -> int:
    from snncc.api.tables import text_table

    ours = {"--timing": options.timing != "none", "--report": options.report, "--trace": options.trace}
    for flag, is_given in ours.items():
        if is_given:
            raise BadInput(f"{flag} is for our simulator, not for the engine {options.engine}")
    with progress_bar(options.engine) as progress:
        run = program.run_engine(
            options.engine, x, timesteps=options.timesteps, python=options.engine_python, progress=progress
        )
    if options.save_output is not None:
        save_outputs(options.save_output, run.outputs)
    spikes = {name: float(counts.sum()) / run.batch for name, counts in run.spikes.items()}
    if options.json:
        print(json.dumps({"engine": options.engine, "samples": run.batch, "spikes": spikes}))
        return 0
    rows = [[name, f"{value:,.1f}"] for name, value in spikes.items()]
    print(text_table(f"{run.batch} samples on {options.engine}", ("layer", "spikes a sample"), rows))
    return 0


def save_outputs(path: Path, outputs: Any) -> None:
    import io

    import numpy as np

    from snncc.ir.write import replace_file

    buffer = io.BytesIO()
    np.savez(buffer, **outputs)
    replace_file(path, buffer.getvalue())


def verify_command(options: argparse.Namespace) -> int:
    import snncc
    from snncc.api import load_oracle
    from snncc.api.tables import proof_table

    program = snncc.load_program(options.program)
    model = None
    if options.model is not None:
        model = load_oracle(options.model, factory=options.factory, trust=options.trust)
    data, lost = input_of(options, program)
    with progress_bar("verify") as progress:
        proof = snncc.verify(
            *(program, model, data["x"]),
            samples=options.samples,
            progress=progress,
            engine=options.engine,
            python=options.engine_python,
        )
    print_notes(lost)
    print(json.dumps(proof.as_dict()) if options.json else proof_table(proof))
    return 0 if proof.holds else 1


def evaluate_command(options: argparse.Namespace) -> int:
    import snncc
    from snncc.api.tables import report_table

    program = snncc.load_program(options.program)
    data, lost = labeled_input_of(options, program)
    if "y" not in data:
        raise BadFile(f"{options.input}: needs labels 'y'", hint="numpy.savez(path, x=..., y=...)")
    with progress_bar("evaluate") as progress:
        report = snncc.evaluate(
            program,
            data["x"],
            data["y"],
            timesteps=options.timesteps,
            jobs=options.jobs,
            progress=progress,
            accounting=options.accounting,
            timing=options.timing,
        )
    if options.json:
        print(json.dumps(report.as_dict() | {"notes": list(lost)}))
        return 0
    print(report_table(report))
    for note in dict.fromkeys((*lost, *(note for score in report.scores for note in score.notes))):
        print(note)
    return 0
