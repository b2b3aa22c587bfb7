"""The text of ``deploy.py``: for a machine with the vendor's driver, samna, and a chip."""

from __future__ import annotations

DEPLOY = '''"""Load config.json onto a Speck 2e or 2f (made by snncc; needs samna, its driver, and a chip).

    python deploy.py                     list the devices that samna sees
    python deploy.py --check             let samna check the configuration, without a chip
    python deploy.py --device N          load it onto the N-th device and let it run
      --sensor                           take events from the chip's own sensor
      --readout                          let the chip's readout count the last layer's spikes

The fields are those that sinabs 3.1.3 writes; all others keep samna's defaults. Between recordings the chip
keeps its potentials: apply the configuration again, as this script does at its start.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

CONFIG = Path(__file__).parent / "config.json"
READOUT_CORE = 12
READOUT_STEP = 4  # an erratum of Speck 2e and 2f: class k is read from channel 4 k


def assign(target, fields):
    """Write the nested *fields* into the structure *target*, whole structures through a copy of their own."""
    for name, value in fields.items():
        if isinstance(value, dict):
            part = getattr(target, name)
            assign(part, value)
            setattr(target, name, part)
        else:
            setattr(target, name, value)


def for_readout(fields):
    """A core's fields with class k at channel 4 k, and nothing in the channels between."""
    fields = dict(fields)
    classes = len(fields["weights"])
    last = (classes - 1) * READOUT_STEP
    for name in ("weights", "biases", "neurons_initial_value"):
        silent = zeros(fields[name][0])
        fields[name] = [
            fields[name][k // READOUT_STEP] if k % READOUT_STEP == 0 else silent for k in range(last + 1)
        ]
    shape = fields["dimensions"]["output_shape"]
    shape = {**shape, "feature_count": last + 1}
    fields["dimensions"] = {**fields["dimensions"], "output_shape": shape}
    fields["destinations"] = [{"layer": READOUT_CORE, "enable": True, "pooling": 1}]
    return fields


def zeros(value):
    return [zeros(one) for one in value] if isinstance(value, list) else 0


def configure(config, document, *, sensor=False, readout=False):
    """Write all of *document*, the contents of config.json, into samna's *config*, and return it."""
    outputs = {str(one["core"]): one for one in document["outputs"]}
    for core, fields in document["cnn_layers"].items():
        if readout and core in outputs:
            if not outputs[core]["readout"]:
                raise SystemExit(f"error: the readout cannot take the layer on core {core}: {outputs[core]}")
            fields = for_readout(fields)
        chip = config.cnn_layers[int(core)]
        fields = {name: value for name, value in fields.items() if name != "layer"}
        destinations = fields.pop("destinations")
        chip.dimensions = fields.pop("dimensions")
        for index, one in enumerate(destinations):
            assign(chip.destinations[index], one)
        for name, value in fields.items():
            setattr(chip, name, value)
    if sensor:
        fields = dict(document["dvs_layer"])
        if not fields.pop("usable"):
            raise SystemExit("error: the input of this network is not that of the sensor")
        for index, one in enumerate(fields.pop("destinations")):
            assign(config.dvs_layer.destinations[index], one)
        assign(config.dvs_layer, {**fields, "pass_sensor_events": True})
    if readout:
        config.readout.enable = True
    return config


def main(arguments):
    parser = argparse.ArgumentParser(description="Load this network onto a Speck.")
    parser.add_argument("--chip", default="speck2f", choices=("speck2e", "speck2f"))
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--device", type=int)
    parser.add_argument("--sensor", action="store_true")
    parser.add_argument("--readout", action="store_true")
    options = parser.parse_args(arguments)
    try:
        import samna
    except ImportError:
        print("error: samna, the vendor's driver, is not installed (pip install samna)", file=sys.stderr)
        return 1
    module = __import__(f"samna.{options.chip}.configuration", fromlist=["SpeckConfiguration"])
    document = json.loads(CONFIG.read_text(encoding="utf-8"))
    config = configure(
        module.SpeckConfiguration(), document, sensor=options.sensor, readout=options.readout
    )
    is_valid, message = getattr(samna, options.chip).validate_configuration(config)
    if not is_valid:
        print(f"error: samna rejects the configuration: {message}", file=sys.stderr)
        return 1
    if options.check:
        print("samna accepts the configuration")
        return 0
    devices = samna.device.get_all_devices()
    if options.device is None or not 0 <= options.device < len(devices):
        for index, one in enumerate(devices):
            print(index, one)
        print(f"{len(devices)} devices; choose one with --device", file=sys.stderr)
        return 0 if options.device is None else 1
    device = samna.device.open_device(devices[options.device])
    device.get_model().apply_configuration(config)
    print("the configuration is on the chip; Ctrl-C ends")
    try:
        import time

        while True:
            time.sleep(1)
    except KeyboardInterrupt:
        samna.device.close_device(device)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
'''
