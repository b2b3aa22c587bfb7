"""The network of the digits that is made for events, for a sensor of 16x16 with two polarities."""

from __future__ import annotations

from examples.digits.model import IFNet
from examples.seeds.events import SIZE


def event_net() -> IFNet:
    """The network of events.pt. Its timesteps hold too few events to be divided."""
    return IFNet(channels=2, side=SIZE, stride=2, finest=1)
