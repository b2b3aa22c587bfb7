"""What a user of Speck gets: the network in sinabs, the chip's configuration, and a map of the cores."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from snncc.backends.speck import limits
from snncc.backends.speck.config import configuration, is_sensor, outputs_of
from snncc.backends.speck.deploy_script import DEPLOY
from snncc.backends.speck.events import operations_per_event, ratios
from snncc.backends.speck.mapped import Mapped, words_of_layer
from snncc.backends.speck.network_script import WEIGHTS, network_script, weight_arrays
from snncc.ir import Presence

NETWORK = "network.py"

README = """# {name} on Speck

Made by snncc. Nothing of snncc is needed here.

- `network.py`, `{weights}`: the integers of the network as a module of sinabs (3.1.3; torch). It needs no
  driver: `python network.py IN.npz OUT.npz` runs it. It computes what snncc's integer graph computes, spike
  for spike.
- `config.json`: the configuration of the chip, field by field.
- `deploy.py`: loads it onto a chip. Needs samna, the vendor's closed driver, which nobody has run this
  script with: the fields are those that sinabs writes.
- `cores.txt`: which layer is on which core.

## What the chip does differently

- It has no timesteps. A neuron fires at most once for each event that it receives, at once, and keeps the
  rest. The module counts all spikes of a timestep together. The two are close where thresholds are at least
  {ratio:g} times the largest weight; `cores.txt` has the ratio of every layer, `snncc verify` the difference
  in spikes.
- A bias is added once in each tick of the slow clock, not in each timestep: set the clock to the rate of
  timesteps{biased}.
{stream}- Potentials stay when a recording ends: load the configuration again before the next.

## Input

{input}

## Output

{output}
"""


def emit(m: Mapped, folder: Path) -> None:
    """Write everything into the empty *folder*."""
    np.savez_compressed(folder / WEIGHTS, allow_pickle=False, **weight_arrays(m))
    document = json.dumps(configuration(m), separators=(",", ":"))
    texts = {
        NETWORK: network_script(m),
        "deploy.py": DEPLOY,
        "config.json": document + "\n",
        "cores.txt": core_table(m),
        "README.md": readme(m),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")


def readme(m: Mapped) -> str:
    """The page that explains the folder."""
    biased = [layer.name for layer in m.layers if layer.bias is not None and np.any(layer.bias)]
    return README.format(
        name=m.graph.name,
        weights=WEIGHTS,
        ratio=limits.LEAST_RATIO,
        stream=stream_text(m),
        biased=f" (layers with a bias: {', '.join(biased)})" if biased else "; no layer here has a bias",
        input=input_text(m),
        output="\n".join(f"- {line}" for line in output_lines(m)),
    )


def stream_text(m: Mapped) -> str:
    """Of networks whose input is given once: what a timestep is."""
    (node,) = m.graph.inputs
    if node.presence is not Presence.FIRST:
        return ""
    steps = m.graph.timesteps
    return (
        f"- A sample takes {steps} timesteps, and the input enters in the first. Layers with a bias need "
        f"{steps} ticks of the slow clock for it, from the first event on.\n"
    )


def input_text(m: Mapped) -> str:
    """How events enter."""
    (node,) = m.graph.inputs
    shape = "x".join(map(str, node.shape))
    text = f"Events of {shape} (channels, rows, columns), one event for each count."
    if is_sensor(m):
        merged = "both polarities merged into one channel" if node.shape[0] == 1 else "polarities as channels"
        return f"{text} The chip's own sensor can give them (`--sensor`): its upper left corner, {merged}."
    return f"{text} They are not what the chip's sensor gives, and must be sent by the host."


def output_lines(m: Mapped) -> Iterator[str]:
    """How results leave."""
    table = {one["core"]: one["readout"] for one in configuration_outputs(m)}
    for layer, output in outputs_of(m).items():
        core = m.core_of[layer]
        yield f"`{output}`: the spikes of layer `{layer}`, monitored on core {core}."
        if table[core]:
            yield (
                f"The chip's readout can count them (`--readout`): by an erratum it reads class k from "
                f"channel {limits.READOUT_STEP} k, so the layer is spread over channels 0, "
                f"{limits.READOUT_STEP}, {2 * limits.READOUT_STEP}, ... and fits its core so."
            )
        else:
            yield (
                f"The chip's readout cannot count them: it takes at most {limits.READOUT_CLASSES} classes of "
                f"one pixel, class k from channel {limits.READOUT_STEP} k, in a layer that fits its core so."
            )


def configuration_outputs(m: Mapped) -> list[dict[str, object]]:
    """The outputs of the configuration."""
    outputs: list[dict[str, object]] = configuration(m)["outputs"]
    return outputs


def core_table(m: Mapped) -> str:
    """One line a core: its layer, memory used, who it sends to, and threshold to largest weight."""
    cores = limits.cores()
    lines = [
        "core  layer: kernel words, neuron words, bias words (used / there); sends to; synaptic operations "
        "for an event (estimate); events a second at most (quoted limit); threshold / largest weight"
    ]
    for core, have in enumerate(cores):
        names = [name for name, one in m.core_of.items() if one == core]
        if not names:
            lines.append(f"{core:4}  free")
            continue
        layer = m.by_name[names[0]]
        need = words_of_layer(layer)
        per_event = operations_per_event(layer)
        to = ", ".join(
            f"core {m.core_of[one.layer]}" + (f" (sums of {one.pool}x{one.pool})" if one.pool > 1 else "")
            for one in m.destinations[layer.name]
        )
        lines.append(
            f"{core:4}  {layer.name}: {need.kernel:,} / {have.kernel:,}, {need.neuron:,} / {have.neuron:,}, "
            f"{need.bias:,} / {have.bias:,}; {to or 'the host'}; {per_event:,.4g}; "
            f"{limits.OPERATIONS[core] / per_event:,.3g}; {ratios(m)[layer.name]:.3g}"
        )
    return "\n".join(lines) + "\n"
