"""What streams on Speck cost: small SFA and QCFS networks for digits, trained here, with both biases.

``python -m benchmarks.speck_streams`` writes ``benchmarks/SPECK_STREAMS.md``, in a minute or two.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

import snncc
from benchmarks.measure import machine
from examples.digits.data import LEVELS, Digits, load
from examples.seeds.common import CALIBRATION, accuracy, fit, in_torch, markdown, spread
from snncc.backends.speck.events import run_by_events
from snncc.ir import Array
from snncc.nn import QCFS, SFA

RESULTS = Path(__file__).with_name("SPECK_STREAMS.md")
MOST = 4
NEURONS: dict[str, Callable[[], nn.Module]] = {"QCFS": lambda: QCFS(MOST, 8.0), "SFA": lambda: SFA(MOST)}
BIASES = ("spread", "v0")
COLUMNS = ("PyTorch", *(f"`--bias {bias}`" for bias in BIASES), *(f"{bias}, by events" for bias in BIASES))


class Events(nn.Module):
    """Images of 0..1 as counts of 0..16."""

    def forward(self, x: Tensor) -> Tensor:
        return (LEVELS * x).round().clamp(0, LEVELS)


def network(kind: str) -> nn.Sequential:
    """Two convolutions and a linear layer on 8x8 counts."""
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 3), NEURONS[kind](), nn.Conv2d(8, 16, 3, stride=2), NEURONS[kind]()),
        *(nn.Flatten(), nn.Linear(64, 10)),
    )


def right_answers(kind: str, digits: Digits, seed: int, epochs: int) -> dict[str, float]:
    """Percent of the held-out images by each of `COLUMNS`."""
    torch.manual_seed(seed)
    model, encode = network(kind), Events()
    fit(model, digits, encode, seed=seed, epochs=epochs, name=kind)
    train, test = (encode(torch.from_numpy(x)).numpy() for x in (digits.train_x, digits.test_x))
    graph = snncc.trace(model, test[:2], layout="B", input_kind="count")
    found = {"PyTorch": in_torch(model, test, digits.test_y)}
    for bias in BIASES:
        program = snncc.compile(
            graph,
            target="speck",
            encoding="stream",
            bias=bias,
            readout="spikes",
            calibration=train[:CALIBRATION],
        )
        found[f"`--bias {bias}`"] = accuracy(program.run(test).output, digits.test_y)
        found[f"{bias}, by events"] = accuracy(by_events(program, test), digits.test_y)
    return found


def by_events(program: snncc.Program, x: Array) -> Array:
    """Spikes of the last layer in the model `event`, [B, classes]."""
    spikes, _ = run_by_events(program.graph, x, timesteps=program.timesteps)
    total: Array = spikes[program.graph.outputs[0].inputs[0].source].sum(axis=0)
    return total


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speck_streams", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=200)
    options = parser.parse_args()
    torch.set_num_threads(1)
    about, digits, rows = machine(), load(), []
    for kind in NEURONS:
        each = [right_answers(kind, digits, seed, options.epochs) for seed in range(options.seeds)]
        rows.append([kind, *(f"{spread([one[name] for one in each], 1)} %" for name in COLUMNS)])
    text = TEXT.format(
        about=about,
        date=datetime.date.today().isoformat(),
        tested=len(digits.test_y),
        table=markdown(("", *COLUMNS), rows),
        **vars(options),
    )
    RESULTS.write_text(text, encoding="utf-8")
    print(text, end="")
    return 0


TEXT = """\
# Results of `python -m benchmarks.speck_streams`

{about}; {date}.

Right answers on the {tested} held-out images of scikit-learn's 8x8 digits, mean ± standard deviation over
{seeds} seeds of the training ({epochs} epochs each). Two convolutions (8 and 16 channels) and a linear
layer, counts up to 4; a pixel of 0..16 is that many events; `--encoding stream --readout spikes`.
`--bias`: the integer program by timesteps, as Sinabs computes it. *By events*: the same program as the chip
computes it, one spike for each event, at once. These networks were trained for neither: `IFNet` of
`examples/digits` was trained for events.

{table}
"""

if __name__ == "__main__":
    sys.exit(main())
