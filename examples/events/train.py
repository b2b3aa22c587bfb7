"""Train the network on event streams and save its weights.

    python examples/events/train.py events -o events.pt

Some minutes on two cores. Every image is seen anew in each epoch: shifted, turned and scaled a little, with
other noise. The held-out images are looked at once, after the last epoch.
"""

from __future__ import annotations

import sys
from pathlib import Path

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from examples.digits.train import Recipe, main
from examples.events.data import TRAIN_SEED, Saccades
from examples.events.model import event_net


def recipes() -> dict[str, Recipe]:
    """The only one; each call brings a camera that starts anew, so that a training can be repeated."""
    return {"events": Recipe(event_net, Saccades(TRAIN_SEED), epochs=80, rate=1e-2)}


if __name__ == "__main__":
    main(recipes=recipes())
