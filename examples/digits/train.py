"""Train one of the three networks on the digits and save its weights.

    python examples/digits/train.py sfa -o sfa.pt
    python examples/digits/train.py lif --seed 1 -o lif.pt
    python examples/digits/train.py if -o if.pt

A minute or two on two cores. The held-out images are looked at once, after the last epoch.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from examples.digits.data import Digits, augment, events_of, load
from examples.digits.model import TIMESTEPS, IFNet, if_net, lif_net, sfa_net
from snncc.nn import SFA, DirectEncoder, Neuron

BATCH = 64
WAITING = 3.0
"""The weight of spikes that wait (`examples.digits.model.waiting`) in the loss of an `IFNet`."""


@dataclass(frozen=True)
class Recipe:
    """How a network is made, fed and trained."""

    factory: Callable[[], nn.Module]
    encode: Callable[[Tensor], Tensor]
    epochs: int
    rate: float


RECIPES = {
    "sfa": Recipe(sfa_net, nn.Identity(), epochs=200, rate=4e-3),
    "lif": Recipe(lif_net, DirectEncoder(TIMESTEPS), epochs=120, rate=4e-3),
    "if": Recipe(if_net, events_of, epochs=40, rate=1e-2),
}


def train(
    recipe: Recipe, digits: Digits, *, seed: int = 0, epochs: int | None = None, quiet: bool = False
) -> nn.Module:
    """The network of *recipe* after its last epoch, in evaluation mode.

    The same for the same seed, machine and number of threads.
    """
    epochs = recipe.epochs if epochs is None else epochs
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.from_numpy(digits.train_x), torch.from_numpy(digits.train_y)
    batches = max(1, len(x) // BATCH)
    model = recipe.factory()
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=recipe.rate, total_steps=epochs * batches, pct_start=0.2
    )
    for epoch in range(1, epochs + 1):
        model.train()
        total = 0.0
        for picked in torch.randperm(len(x), generator=generator).chunk(batches):
            logits = model(recipe.encode(augment(x[picked], generator)))
            loss = F.cross_entropy(logits, y[picked], label_smoothing=0.05)
            if isinstance(model, IFNet):
                loss = loss + WAITING * model.waiting
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if isinstance(model, IFNet):
                model.bound_weights()
            schedule.step()
            total += loss.item()
        if not quiet and (epoch % 10 == 0 or epoch == epochs):
            print(f"epoch {epoch:3d}/{epochs}  loss {total / batches:.4f}", file=sys.stderr, flush=True)
    return model.eval()


def predict(recipe: Recipe, model: nn.Module, x: Tensor) -> Tensor:
    """The digits that *model* sees in the images *x* [N, 1, 8, 8]."""
    with torch.no_grad():
        return model(recipe.encode(x)).argmax(1)


def errors(recipe: Recipe, model: nn.Module, digits: Digits) -> int:
    """How many of the held-out images *model* gets wrong."""
    predicted = predict(recipe, model, torch.from_numpy(digits.test_x))
    return int((predicted != torch.from_numpy(digits.test_y)).sum())


@dataclass(frozen=True)
class Activity:
    """What the neurons of one layer send, over all images and timesteps."""

    neurons: int
    mean: float  # spikes per neuron and timestep; an integer activation n counts as n spikes
    active: float  # the share of nonzero values


def activity(recipe: Recipe, model: nn.Module, x: Tensor) -> dict[str, Activity]:
    """The activity of every layer of neurons for the images *x*, by the layer's name."""
    seen: dict[str, Activity] = {}
    layers = {name: module for name, module in model.named_modules() if isinstance(module, Neuron)}

    def watch(name: str, unit: float, batch_axis: int) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(_: nn.Module, __: object, out: Tensor) -> None:
            neurons = out[(0,) * (batch_axis + 1)].numel()
            seen[name] = Activity(neurons, float((out / unit).mean()), float((out != 0).float().mean()))

        return hook

    hooks = [
        layer.register_forward_hook(
            watch(name, 1 / layer.norm if isinstance(layer, SFA) else 1.0, int(layer.step_mode == "m"))
        )
        for name, layer in layers.items()
    ]
    predict(recipe, model, x)
    for hook in hooks:
        hook.remove()
    return seen


def main(arguments: Sequence[str] | None = None, recipes: Mapping[str, Recipe] = RECIPES) -> None:
    defaults = ", ".join(f"{recipe.epochs} ({kind})" for kind, recipe in recipes.items())
    parser = argparse.ArgumentParser(description="Train a spiking network on handwritten digits.")
    parser.add_argument("kind", choices=sorted(recipes), help="which network")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, help=f"default: {defaults}")
    parser.add_argument("-o", "--output", type=Path, required=True, help="where the weights go")
    options = parser.parse_args(arguments)
    torch.set_num_threads(min(2, torch.get_num_threads()))  # more do not help networks of this size
    options.output.parent.mkdir(parents=True, exist_ok=True)  # before the work, not after
    digits, recipe = load(), recipes[options.kind]
    start = time.perf_counter()
    model = train(recipe, digits, seed=options.seed, epochs=options.epochs)
    seconds = time.perf_counter() - start
    torch.save(model.state_dict(), options.output)
    for name, layer in activity(recipe, model, torch.from_numpy(digits.test_x)).items():
        print(f"{name:15} {layer.neurons:5} neurons  mean {layer.mean:.3f}  active {layer.active:.1%}")
    wrong, images = errors(recipe, model, digits), len(digits.test_y)
    print(f"trained in {seconds:.0f} s; {wrong} of {images} held-out images wrong: {1 - wrong / images:.2%}")


if __name__ == "__main__":
    main()
