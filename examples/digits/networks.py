"""The four trained networks of the demo, each with the data that it reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from examples.digits.data import LEVELS, Digits, events_of
from examples.digits.model import TIMESTEPS, if_net, lif_net, sfa_net
from examples.events.data import TIMESTEPS as EVENT_STEPS
from examples.events.data import streams
from examples.events.model import event_net

HERE = Path(__file__).resolve().parent
CALIBRATION = 256
"""Training images from which ranges and spikes are measured."""


@dataclass(frozen=True, eq=False)
class Network:
    """A trained *model* in evaluation mode, held-out data *x* with labels *y*, and *calibration* data.

    Data are in the model's *layout*, with its batch axis. *kind* says what the input holds.
    """

    name: str
    what: str
    model: torch.nn.Module
    x: NDArray[np.float32]
    y: NDArray[np.int64]
    calibration: NDArray[np.float32]
    layout: str = "TB"
    kind: str = "spike"

    def first(self, samples: int) -> NDArray[np.float32]:
        """The first held-out samples."""
        return self.x[:samples] if self.layout == "B" else self.x[:, :samples]


def sfa(digits: Digits) -> Network:
    """Images to integer activations."""
    return Network(
        *("SFA", "integer activations 0..4, expanded to 4 ticks"),
        model=with_weights(sfa_net(), HERE / "sfa.pt"),
        x=digits.test_x,
        y=digits.test_y,
        calibration=digits.train_x[:CALIBRATION],
        layout="B",
        kind="analog",
    )


def lif(digits: Digits) -> Network:
    """Images, repeated, to leaky neurons: direct coding."""
    return Network(
        *("LIF", f"leaky neurons, {TIMESTEPS} timesteps"),
        model=with_weights(lif_net(), HERE / "lif.pt"),
        x=np.repeat(digits.test_x[None], TIMESTEPS, axis=0),
        y=digits.test_y,
        calibration=np.repeat(digits.train_x[None, :CALIBRATION], TIMESTEPS, axis=0),
        kind="analog",
    )


def spiking(digits: Digits) -> Network:
    """Pixels as numbers of spikes to integrate-and-fire neurons."""
    return Network(
        *("IF", f"a pixel 0..{LEVELS} as that many events, neurons without a leak, {LEVELS} timesteps"),
        model=with_weights(if_net(), HERE / "if.pt"),
        x=events_of(torch.from_numpy(digits.test_x)).numpy(),
        y=digits.test_y,
        calibration=events_of(torch.from_numpy(digits.train_x[:CALIBRATION])).numpy(),
    )


def event_stream() -> Network:
    """What a moving event camera sees of the digits."""
    data = streams()
    return Network(
        *("events", f"digits seen by a simulated moving event camera, {EVENT_STEPS} timesteps"),
        model=with_weights(event_net(), HERE.parent / "events" / "events.pt"),
        x=data.test_x,
        y=data.test_y,
        calibration=data.calibration,
    )


def with_weights(model: torch.nn.Module, path: Path) -> torch.nn.Module:
    """*model* with the weights in the file *path*, in evaluation mode."""
    model.load_state_dict(torch.load(path, weights_only=True))
    return model.eval()
