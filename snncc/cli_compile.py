"""From a model to a target, on the command line: ``compile`` and ``check``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from snncc.cli_nir import nir_arguments
from snncc.cli_shared import integers, model_flags, progress_bar, reals
from snncc.errors import BadInput

if TYPE_CHECKING:
    from snncc.ir import SpikeGraph


def compile_arguments(one: argparse.ArgumentParser) -> None:
    model_arguments(one)
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
    chip_arguments(one)
    one.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="the program folder")


def check_arguments(one: argparse.ArgumentParser) -> None:
    model_arguments(one)
    one.add_argument("--target", default="sim", help="one of: snncc targets (default: sim)")
    one.add_argument(
        "--encoding", help="spikes, graded or stream (default: spikes, graded where counts exceed 15)"
    )
    one.add_argument("--precision", default="integer", help="integer or float (default: integer)")
    one.add_argument("--chip", metavar="NAME", help="a chip of `snncc targets`, or the path of a chip file")
    chip_arguments(one)


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


def chip_arguments(one: argparse.ArgumentParser) -> None:
    one.add_argument(
        "--stretch", type=int, default=1, metavar="N", help="loihi: chip steps of a timestep, for long loops"
    )
    one.add_argument(
        "--readout",
        default="potentials",
        help="speck: potentials, or spikes, of neurons put behind a last layer without (approximate)",
    )
    one.add_argument("--split-cores", action="store_true", help="speck: split layers over two cores")


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
    with progress_bar("compile") as progress:
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
            progress=progress,
        )
    program.save(options.output)
    passes = [{"name": s.name, "preserves": s.made_by.preserves} for s in program.stages if s.made_by]
    if options.json:
        found = {"output": str(options.output), "target": options.target, "passes": passes}
        print(json.dumps({**found, "notes": list(program.graph.notes), "measured": list(program.measured)}))
        return 0
    if options.dump:
        print(program.graph)
    for note in program.graph.notes:
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
        stretch=options.stretch,
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
