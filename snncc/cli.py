"""The command line: each command parses, calls the API once, and prints.

Results go to stdout, progress and errors to stderr. Exit code 0: done; 1: the model or data is at fault (or a
check failed); 2: the command line is.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snncc import __version__
from snncc.cli_events import event_arguments, input_of, labeled_input_of
from snncc.cli_nir import export_arguments, export_command, nir_arguments
from snncc.errors import BadFile, BadInput, SnnccError

if TYPE_CHECKING:
    from snncc.api import Program
    from snncc.ir import SpikeGraph

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit code."""
    options = parser().parse_args(arguments)
    command: Command = options.command
    try:
        return command(options)
    except SnnccError as error:
        if options.json:
            print(json.dumps({"error": error.message, "hint": error.hint, "kind": type(error).__name__}))
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 1
    except BrokenPipeError:
        sys.stderr.close()
        return 1


def parser() -> argparse.ArgumentParser:
    """The grammar of the command line."""
    top = argparse.ArgumentParser(
        prog="snncc",
        description="Compile trained spiking networks for neuromorphic chips, and simulate them.",
    )
    top.add_argument("--version", action="version", version=f"snncc {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)

    one = command(commands, "compile", compile_command, "compile a model for a target into a program folder")
    model_arguments(one)
    compile_arguments(one)
    one.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="the program folder")

    one = command(commands, "check", check_command, "say what keeps a model from fitting a target")
    model_arguments(one)
    one.add_argument("--target", default="sim", help="one of: snncc targets (default: sim)")
    one.add_argument(
        "--encoding", help="spikes, graded or stream (default: spikes, graded where counts exceed 15)"
    )
    one.add_argument("--precision", default="integer", help="integer or float (default: integer)")
    one.add_argument("--chip", metavar="NAME", help="a chip of `snncc targets`, or the path of a chip file")
    speck_arguments(one)

    one = command(commands, "simulate", simulate_command, "run a program and report spikes, energy, latency")
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

    one = command(commands, "verify", verify_command, "show that the program computes what the model does")
    program_arguments(one)
    one.add_argument("--model", type=Path, help="the model that was compiled")
    model_flags(one)
    event_arguments(one)
    one.add_argument("--samples", type=int, default=64, metavar="N", help="compare the first N (default: 64)")
    engine_arguments(one)

    one = command(commands, "evaluate", evaluate_command, "accuracy with its cost, on labeled data")
    program_arguments(one)
    accounting_argument(one)
    timing_argument(one)
    event_arguments(one)
    one.add_argument("--timesteps", type=integers, metavar="T,T,..", help="numbers of timesteps to try")

    one = command(commands, "export", export_command, "write a network for other frameworks (NIR)")
    export_arguments(one)

    command(commands, "targets", targets_command, "list the targets")
    command(commands, "passes", passes_command, "list the passes and what they preserve")
    return top


def command(commands: Any, name: str, run: Command, text: str) -> argparse.ArgumentParser:
    one: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    one.set_defaults(command=run)
    one.add_argument("--json", action="store_true", help="print JSON")
    return one


def model_arguments(one: argparse.ArgumentParser) -> None:
    one.add_argument("model", type=Path, help="model.pt, .pt2, .onnx, or a graph .snn, .nir")
    model_flags(one)
    one.add_argument("--timesteps", type=int, metavar="T", help="timesteps for which the network was trained")
    one.add_argument("--layout", choices=("B", "TB", "BT"), help="leading axes that the model takes")
    one.add_argument("--input-shape", type=integers, metavar="C,H,W", help="input per sample and timestep")
    one.add_argument(
        "--input-kind", default="analog", choices=("analog", "spike", "count"), help="what the input holds"
    )
    one.add_argument("--over", metavar="HOW", help="outputs over time: sequence, sum, mean, last or maximum")
    nir_arguments(one)
    one.add_argument("--presence", choices=("sequence", "constant", "first"), help="when the input is there")


def model_flags(one: argparse.ArgumentParser) -> None:
    one.add_argument("--factory", metavar="PACKAGE.MODULE:FUNCTION", help="builds the model of a state dict")
    one.add_argument(
        "--trust", action="store_true", help="run code from the file: only for a file of your own"
    )


def compile_arguments(one: argparse.ArgumentParser) -> None:
    one.add_argument("--target", default="sim", help="one of: snncc targets (default: sim)")
    one.add_argument("--calibration", type=Path, metavar="X.npz", help="data from which ranges are measured")
    one.add_argument("--input-range", type=reals, metavar="LOW,HIGH", help="range of the input, without data")
    one.add_argument(
        "--encoding",
        help="spikes, graded (exact) or stream (approximate); default: spikes, graded where counts exceed 15",
    )
    one.add_argument("--flush", type=int, default=0, metavar="N", help="extra ticks of a stream")
    one.add_argument("--bias", default="spread", help="bias of a stream: spread or v0")
    one.add_argument("--fold", default="weights", help="batch normalization into weights or thresholds")
    one.add_argument(
        "--rounding", default="keep", help="half-to-even neurons: keep, or half-up (approximate)"
    )
    one.add_argument(
        "--relu-levels",
        type=int,
        metavar="N",
        help="plain ReLU as counts 0..N, on calibration data (approximate)",
    )
    one.add_argument("--precision", default="integer", help="integer or float (default: integer)")
    one.add_argument(
        "--attention", default="dynamic", help="gains of attention modules: dynamic, or static (approximate)"
    )
    one.add_argument("--dump", action="store_true", help="print the compiled graph, node by node")
    one.add_argument("--weight-bits", type=int, default=8, metavar="BITS")
    one.add_argument("--state-bits", type=int, metavar="BITS", help="16, 24 or 32 (default: what is needed)")
    one.add_argument("--input-bits", type=int, default=8, metavar="BITS")
    one.add_argument("--per-tensor", action="store_true", help="one scale a layer, not one a channel")
    one.add_argument("--overflow", default="saturate", help="saturate, wrap or error (default: saturate)")
    one.add_argument("--chip", metavar="NAME", help="a chip of `snncc targets`, or the path of a chip file")
    one.add_argument("--schedule", help="chip steps: pipelined or layered (default: pipelined if possible)")
    one.add_argument(
        "--cores", type=int, metavar="N", help="cores to spread over (default: as few as hold it)"
    )
    one.add_argument("--profile", type=Path, metavar="X.npz", help="data against which placing is improved")
    one.add_argument("--seed", type=int, default=0, help="of the placement (default: 0)")
    one.add_argument(
        "--stretch", type=int, default=1, metavar="N", help="loihi: chip steps of a timestep, for long loops"
    )
    speck_arguments(one)


def speck_arguments(one: argparse.ArgumentParser) -> None:
    one.add_argument(
        "--readout",
        default="potentials",
        help="speck: potentials, or spikes, of neurons put behind a last layer without (approximate)",
    )
    one.add_argument("--split-cores", action="store_true", help="speck: split layers over two cores")


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


def integers(text: str) -> tuple[int, ...]:
    """A list of integers such as 1,28,28."""
    return tuple(int(part) for part in text.split(","))


def reals(text: str) -> tuple[float, ...]:
    """A list of numbers such as 0,1."""
    return tuple(float(part) for part in text.split(","))


def graph_of(options: argparse.Namespace) -> SpikeGraph:
    import snncc

    return snncc.load(
        options.model,
        input_shape=options.input_shape,
        timesteps=options.timesteps,
        layout=options.layout,
        factory=options.factory,
        trust=options.trust,
        reset=options.reset,
        dt=options.dt,
        input_kind=options.input_kind,
        presence=options.presence,
        over=options.over,
    )


def compile_command(options: argparse.Namespace) -> int:
    import snncc
    from snncc.api import read_data

    graph = graph_of(options)
    data = None if options.calibration is None else read_data(options.calibration)["x"]
    if options.input_range is not None and len(options.input_range) != 2:
        raise BadInput(f"--input-range takes LOW,HIGH, not {options.input_range}")
    program = snncc.compile(
        graph,
        target=options.target,
        calibration=data,
        encoding=options.encoding,
        flush=options.flush,
        bias=options.bias,
        fold=options.fold,
        rounding=options.rounding,
        relu_levels=options.relu_levels,
        attention=options.attention,
        precision=options.precision,
        weight_bits=options.weight_bits,
        state_bits=options.state_bits,
        input_bits=options.input_bits,
        per_channel=not options.per_tensor,
        overflow=options.overflow,
        input_range=options.input_range,
        chip=options.chip,
        schedule=options.schedule,
        cores=options.cores,
        profile=None if options.profile is None else read_data(options.profile)["x"],
        seed=options.seed,
        stretch=options.stretch,
        readout=options.readout,
        split_cores=options.split_cores,
    )
    program.save(options.output)
    passes = [{"name": s.name, "preserves": s.made_by.preserves} for s in program.stages if s.made_by]
    if options.json:
        found = {"output": str(options.output), "target": options.target, "passes": passes}
        print(json.dumps({**found, "measured": list(program.measured)}))
        return 0
    if options.dump:
        print(program.graph)
    for note in graph.notes:
        print(note)
    layers = [program.graph.edges[node.name].size for node in program.graph.neurons]
    print(f"{program.graph.name}: {len(layers)} neuron layers, {sum(layers):,} neurons")
    for one in passes:
        print(f"pass {one['name']}: {one['preserves']}")
    if program.placement is not None:
        from snncc.api.tables import usage_table

        print(usage_table(program.placement))
    for line in program.measured:
        print(line)
    print(f"compiled for {options.target}: {options.output}")
    return 0


def check_command(options: argparse.Namespace) -> int:
    import snncc
    from snncc.api.tables import text_table

    graph = graph_of(options)
    problems = snncc.check(
        graph,
        options.target,
        encoding=options.encoding,
        precision=options.precision,
        chip=options.chip,
        readout=options.readout,
        split_cores=options.split_cores,
    )
    where = options.target if options.chip is None else f"{options.target} on {options.chip}"
    if options.json:
        from dataclasses import asdict

        found = [asdict(problem) for problem in problems]
        print(json.dumps({"fits": not problems, "problems": found, "notes": list(graph.notes)}))
        return 1 if problems else 0
    for note in graph.notes:
        print(note)
    if problems:
        hints = {p.hint: "" for p in problems if p.hint}
        hints = {hint: f"[{k}]" for k, hint in enumerate(hints, start=1)}
        rows = [[p.where, p.what, p.need, p.have, hints.get(p.hint, "")] for p in problems]
        print(text_table("", ("where", "what", "need", "have", "hint"), rows))
        for hint, mark in hints.items():
            print(f"{mark} {hint}")
        print(f"does not fit {where}: {len(problems)} problem{'s' * (len(problems) != 1)}")
    else:
        print(f"fits {where}")
    return 1 if problems else 0


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
        print_notes(lost)
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
    from snncc.api.tables import proof_table

    program = snncc.load_program(options.program)
    model = None
    if options.model is not None:
        model = snncc.load_model(options.model, factory=options.factory, trust=options.trust)
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


class progress_bar:  # noqa: N801
    """A progress bar on a terminal, nothing in a pipe; gives a callable (done, total)."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.bar: Any = None

    def __enter__(self) -> Callable[[int, int], None]:
        if not sys.stderr.isatty():
            return lambda done, total: None
        from rich.console import Console
        from rich.progress import Progress

        self.bar = Progress(console=Console(stderr=True), transient=True)
        self.bar.start()
        task = self.bar.add_task(self.text, total=None)
        return lambda done, total: self.bar.update(task, completed=done, total=total)

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()


if __name__ == "__main__":
    sys.exit(main())
