"""The configuration of the chip, field by field, as sinabs writes it into samna's SpeckConfiguration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from snncc.backends.speck import limits
from snncc.backends.speck.layers import Layer, sources_of
from snncc.backends.speck.mapped import Mapped
from snncc.ir import Concat, Reset

Fields = dict[str, Any]


def configuration(m: Mapped) -> Fields:
    """All that is written; what is not mentioned keeps the default of the driver. x is the width."""
    return {
        "chip": limits.CHIP,
        "cnn_layers": {
            str(m.core_of[layer.name]): core_fields(m, layer)
            for layer in sorted(m.layers, key=lambda one: m.core_of[one.name])
        },
        "dvs_layer": sensor_fields(m),
        "input": input_fields(m),
        "outputs": output_fields(m),
    }


def core_fields(m: Mapped, layer: Layer) -> Fields:
    """One core: weights [f][c][x][y], biases [f], initial potentials [f][x][y]."""
    p = layer.neuron.parameters
    (channels, height, width), (features, rows, columns) = layer.in_shape, layer.out_shape
    bias = np.zeros(features, np.int64) if layer.bias is None else layer.bias
    state = np.broadcast_to(p.v_init, m.graph.edges[layer.name].shape).reshape(layer.out_shape)
    assert p.clamp_low is not None
    return {
        "layer": layer.name,
        "dimensions": {
            "input_shape": {"size": {"x": width, "y": height}, "feature_count": channels},
            "output_shape": {"size": {"x": columns, "y": rows}, "feature_count": features},
            "padding": {"x": layer.padding[1], "y": layer.padding[0]},
            "stride": {"x": layer.stride[1], "y": layer.stride[0]},
            "kernel_size": layer.weight.shape[2],
        },
        "weights": layer.weight.transpose(0, 1, 3, 2).astype(int).tolist(),
        "biases": bias.astype(int).tolist(),
        "leak_enable": bool(np.any(bias)),
        "neurons_initial_value": state.transpose(0, 2, 1).astype(int).tolist(),
        "return_to_zero": p.reset is Reset.VALUE,
        "threshold_high": int(p.theta),
        "threshold_low": int(p.clamp_low),
        "monitor_enable": layer.name in outputs_of(m),
        "destinations": [
            {"layer": m.core_of[one.layer], "enable": True, "pooling": one.pool}
            | ({"feature_shift": one.first} if one.first else {})
            for one in m.destinations[layer.name]
        ],
    }


def is_sensor(m: Mapped) -> bool:
    """Whether the input can be the chip's own sensor: one or two polarities on a part of its array."""
    (node,) = m.graph.inputs
    shape = node.shape
    pools = {one.pool for one in m.destinations[node.name]}
    fits = len(shape) == 3 and shape[0] <= limits.SENSOR[0] and max(shape[1:]) <= limits.SENSOR[1]
    return fits and len(pools) == 1


def sensor_fields(m: Mapped) -> Fields:
    """Settings of the sensor layer; disabled events until the deployment script is told to use it."""
    (node,) = m.graph.inputs
    if not is_sensor(m):
        return {"usable": False}
    channels, height, width = node.shape
    pool = m.destinations[node.name][0].pool  # the sensor pools first, then it cuts
    return {
        "usable": True,
        "merge": channels == 1,
        "mirror": {"x": False, "y": False},
        "mirror_diagonal": False,
        "cut": {"x": width // pool - 1, "y": height // pool - 1},
        "origin": {"x": 0, "y": 0},
        "pooling": {"x": pool, "y": pool},
        "pass_sensor_events": False,
        "destinations": [
            {"layer": m.core_of[one.layer], "enable": True} for one in m.destinations[node.name]
        ],
    }


def input_fields(m: Mapped) -> Fields:
    """Where events of a recording enter: an event for each destination core, its coordinates divided."""
    (node,) = m.graph.inputs
    return {
        "shape": list(node.shape),
        "destinations": [
            {"layer": m.core_of[one.layer], "pooling": one.pool} for one in m.destinations[node.name]
        ],
    }


def outputs_of(m: Mapped) -> Mapping[str, str]:
    """By layer, the outputs that the host makes of its spikes: one alone, or summed, or with others."""
    found: dict[str, list[str]] = {}
    for output in m.graph.outputs:
        for source in sources_of(m.graph, output.inputs[0].source):
            if source.name in m.core_of and output.name not in found.setdefault(source.name, []):
                found[source.name].append(output.name)
    return {layer: ", ".join(names) for layer, names in found.items()}


def output_fields(m: Mapped) -> list[Fields]:
    """Layers whose spikes the host counts, and whether the chip's own readout can."""
    fields = []
    for layer, output in outputs_of(m).items():
        features, rows, columns = m.by_name[layer].out_shape
        fields.append(
            {
                "output": output,
                "core": m.core_of[layer],
                "shape": [features, rows, columns],
                "first_channel": first_channel(m, layer),
                "readout": readout_fits(m, layer),
            }
        )
    return fields


def first_channel(m: Mapped, layer: str) -> int:
    """The channel of an output at which the first one of *layer* is: not 0 in the second half of a layer."""
    for output in m.graph.outputs:
        for source in sources_of(m.graph, output.inputs[0].source):
            if source.name == layer:
                return source.first
    return 0


def is_joined(m: Mapped, layer: str) -> bool:
    """Whether *layer* is half of what an output reads."""
    return any(isinstance(m.graph.by_name[reader], Concat) for reader in m.graph.readers[layer])


def readout_fits(m: Mapped, name: str) -> bool:
    """Whether the layer's core holds it with class k at channel 4 k, as the readout takes it."""
    layer = m.by_name[name]
    features, rows, columns = layer.out_shape
    if (
        (rows, columns) != (1, 1)
        or features > limits.READOUT_CLASSES
        or m.destinations[name]
        or is_joined(m, name)
    ):
        return False
    spread = (features - 1) * limits.READOUT_STEP + 1
    need = limits.words_of((spread, *layer.weight.shape[1:]), (spread, 1, 1), has_bias=layer.bias is not None)
    return need.fits(limits.cores()[m.core_of[name]])
