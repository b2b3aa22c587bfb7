"""Published figures of Loihi 1 and Speck beside what our chip files and machine say.

``python -m benchmarks.published`` writes ``benchmarks/PUBLISHED.md``. Nothing of it is timed, and it is
deterministic. Neither the networks nor the data of these measurements are published in what we have read:
ours have the published sizes, random 8 bit weights and random spikes, so a firing rate is an assumption
everywhere, and the page shows what follows from it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

from benchmarks.published_figures import (
    BRANCH_W,
    CEOLINI,
    IDLE_W,
    INFERENCE_J,
    PER_SECOND,
    REST_W,
    RUNNING_W,
    SYNAPSES,
    X86_W,
    YAO,
    consistency,
    joules_per_spike,
    joules_per_synapse,
)
from benchmarks.published_keyword import (
    BRANCH_LAYERS,
    BRANCH_WIDTH,
    BRANCHES,
    LOIHI,
    RATES,
    TIMESTEPS,
    branch_watts,
    inference,
    line,
    rate_at,
    static_watts,
)
from snncc.chips import Chip, load_chip

RESULTS = Path(__file__).with_name("PUBLISHED.md")


@dataclass(frozen=True, slots=True)
class Derivation:
    """What speck2f.toml says of the energy of a synaptic operation: its bounds, and their middle, in pJ."""

    low: float
    high: float
    value: float

    @property
    def middle(self) -> float:
        """The geometric middle of the bounds."""
        return sqrt(self.low * self.high)


def derivation(chip: Chip) -> Derivation:
    """As *chip*'s own note has it."""
    number = chip.numbers["operations.synapse.conv.energy"]
    bounds = re.search(r"geometric middle of ([\d.]+) and ([\d.]+) pJ", number.note)
    assert bounds is not None, number.note
    assert number.value is not None
    return Derivation(float(bounds[1]), float(bounds[2]), number.value)


def rails(chip: Chip) -> tuple[float, float]:
    """The rails of memory and logic of an idle Speck, in uW, as *chip*'s own note has them."""
    note = chip.numbers["static.per_chip.low"].note
    found = re.search(r"RAM ([\d.]+) \+ LOGIC ([\d.]+) uW", note)
    assert found is not None, note
    return float(found[1]), float(found[2])


def sanafe_section() -> list[str]:
    return [
        "## Loihi 1: SANA-FE's accuracy",
        "",
        "The authors of SANA-FE publish a mean absolute error of their simulator against silicon, over three "
        "applications: energy within 12 %, latency within 25 % (IEEE TCAD 2025, abstract). Our file "
        "`loihi1-sanafe2025` has the constants of their architecture file. How far our machine agrees with "
        "their simulator is measured in [SANAFE.md](SANAFE.md). Their error is theirs: it holds for their "
        "applications and their model, and agreement with them is no measurement of the chip.",
    ]


def inference_table(chip: str) -> list[str]:
    """One row a rate: what an inference takes."""
    low, high = static_watts(load_chip(chip))
    lines = [
        f"### `{chip}`",
        "",
        "| firing rate | synaptic operations | events, uJ an inference | synapses' share | dynamic mW at "
        "296/s | of the 81 mW | static + dynamic, mW | time of an inference, us |",
        "|-|-|-|-|-|-|-|-|",
    ]
    for rate in RATES:
        one = inference(chip, 0, rate)
        watts = one.joules * PER_SECOND
        lines.append(
            f"| {rate:.0%} | {one.synapses:,.0f} | {one.joules * 1e6:.2f} | "
            f"{one.kinds['dense'] / one.joules:.0%} | {watts * 1e3:.2f} | "
            f"{watts / (RUNNING_W - IDLE_W):.1%} | {(low + watts) * 1e3:.1f} to {(high + watts) * 1e3:.1f} | "
            f"{one.seconds * 1e6:.0f} |"
        )
    return [*lines, ""]


def keyword_section() -> list[str]:
    """Keyword spotting on Loihi 1."""
    highest = inference(LOIHI[0], 0, RATES[-1])
    low, high = static_watts(load_chip(LOIHI[0]))
    idle_share = low + highest.joules * PER_SECOND
    measured = RUNNING_W - IDLE_W
    return [
        "## Loihi 1: keyword spotting, 390-256-256-29, T = 10",
        "",
        f"Measured (Applied Brain Research): idle {IDLE_W * 1e3:.0f} mW, running {RUNNING_W * 1e3:.0f} mW, "
        f"so dynamic {measured * 1e3:.0f} mW; {PER_SECOND} inferences a second; {INFERENCE_J * 1e3:.2f} mJ "
        f"an inference, which is the dynamic power over the rate: {measured / PER_SECOND * 1e3:.3f} mJ. "
        f"Ours, on {highest.cores} cores, for every rate at which all neurons and inputs could fire; the "
        "two files are two accountings, and their figures are not to be mixed or averaged:",
        "",
        *(row for chip in LOIHI for row in inference_table(chip)),
        f"**We are off, low, by a factor of {measured / (highest.joules * PER_SECOND):.0f} at "
        f"{RATES[-1]:.0%} and {measured / (inference(LOIHI[0], 0, RATES[0]).joules * PER_SECOND):.0f} at "
        f"{RATES[0]:.0%}** (`{LOIHI[0]}`), and no plausible rate closes the gap. Why:",
        "",
        f"- The measurement is bound by its host: an inference takes {1e3 / PER_SECOND:.2f} ms of wall "
        f"time, ours {highest.seconds * 1e6:.0f} us even at {RATES[-1]:.0%}. For "
        f"{1 - highest.seconds * PER_SECOND:.0%} of that time, or more, the neuron cores have nothing to "
        "do; the board runs on.",
        f"- What runs meanwhile is in no table: the chip's x86 cores (about {X86_W * 1e3:.0f} mW a chip in "
        f"Frady 2020, {X86_W / measured:.0%} of the dynamic figure), input and output, the energy of the "
        "barrier. The chip files leave them out because no source gives them by event. That they are the "
        "rest is our explanation; the measurement does not separate them.",
        "- Rates, weights and what the input layer is on the chip are not published in what we have read.",
        f"- Static power: ours is a range, {low * 1e3:.1f} to {high * 1e3:.1f} mW a chip. Its low end is a "
        f"reading of an idle board from the same source as these {IDLE_W * 1e3:.0f} mW: that they agree "
        f"shows nothing. With the low end and {RATES[-1]:.0%} we have {idle_share * 1e3:.1f} mW where "
        f"{RUNNING_W * 1e3:.0f} were measured; the high end alone is {high / RUNNING_W:.0%} of that, and "
        "leaves no room for the dynamic figure.",
        "",
        *branch_section(),
    ]


def branch_section() -> list[str]:
    """The slope that a branch adds."""
    columns = {chip: [branch_watts(chip, rate) for rate in RATES] for chip in LOIHI}
    lines = [
        f"### A branch of {BRANCH_LAYERS} layers x {BRANCH_WIDTH} neurons",
        "",
        f"Measured: each added branch costs {BRANCH_W * 1e3:.2f} mW (slope, R2 0.9998). A slope is free of "
        "what does not grow with the network: the host, and static power as long as the same chips are on. "
        "It is the better test of the constants, with the rate as the only thing to choose. Ours: the "
        f"network with {BRANCHES} branches less that with none, by {BRANCHES}; each branch reads the second "
        f"hidden layer (assumed), neurons leak (assumed: each is updated in each timestep), {PER_SECOND} "
        f"inferences of {TIMESTEPS} timesteps a second (assumed: the rate of the network without branches), "
        "mW:",
        "",
        "| firing rate | " + " | ".join(f"`{chip}`" for chip in LOIHI) + " |",
        "|-|" + "-|" * len(LOIHI),
    ]
    for k, rate in enumerate(RATES):
        cells = " | ".join(f"{columns[chip][k] * 1e3:.2f}" for chip in LOIHI)
        lines.append(f"| {rate:.0%} | {cells} |")
    found = {chip: rate_at(BRANCH_W, RATES, columns[chip]) for chip in LOIHI}
    cells = " | ".join(f"{line(RATES, columns[chip])[0] * 1e3:.2f}" for chip in LOIHI)
    lines.append(f"| 0 (line through the rows) | {cells} |")
    cells = " | ".join(f"**{found[chip]:.1%}**" for chip in LOIHI)
    lines.append(f"| rate at {BRANCH_W * 1e3:.2f} mW | {cells} |")
    at_ten = columns[LOIHI[0]][RATES.index(0.1)] / BRANCH_W
    return [
        *lines,
        "",
        f"The rate that gives the measured slope is {found[LOIHI[0]]:.1%} with the fitted file and "
        f"{found[LOIHI[1]]:.1%} with the pre-silicon one: inside the range of 1 to 20 % that is plausible "
        "for such networks, at its low end. The rate was not published, so this is a check for the order "
        f"of magnitude, not agreement: at 10 % we would be {at_ten:.1f} times above the measurement. If the "
        "inferences became fewer as branches were added, the rate that fits is higher.",
    ]


def ceolini_section() -> list[str]:
    """What can be said of Ceolini et al."""
    low, high = static_watts(load_chip(LOIHI[0]))
    rows = [
        f"| {one.name} | {one.watts * 1e3:.1f} | {one.seconds * 1e3:.2f} | {one.joules * 1e6:.1f} | "
        f"{one.watts * one.seconds * 1e6:.1f} | {consistency(one) - 1:+.2%} |"
        for one in CEOLINI
    ]
    return [
        "## Loihi 1: Ceolini et al. 2020, gestures from muscles and event cameras",
        "",
        "| network | mW | ms | uJ, published | mW x ms | off by |",
        "|-|-|-|-|-|-|",
        *rows,
        "",
        "The published figures are consistent: energy is power x time to the digits that are printed. "
        "**More we cannot compute**: sizes, weights and spike counts of these networks are not in the "
        "sources that we have read, so there is nothing to place and no rate to run. Putting in a network "
        "and a rate of our own would fit three numbers with as many choices.",
        "",
        f"One thing can be seen: {CEOLINI[0].watts * 1e3:.1f} mW for EMG is not above even the low end of "
        f"our static power of a chip, {low * 1e3:.1f} to {high * 1e3:.1f} mW. Either these powers are "
        "without static power, or that board's is lower than both of ours; the published figures must not "
        "be compared with static + dynamic of ours.",
    ]


def speck_section() -> list[str]:
    """Where the constant of the Speck file comes from."""
    chip, (low, high) = load_chip("speck2f"), joules_per_synapse()
    found, (ram, logic), static = derivation(chip), rails(chip), static_watts(chip)
    rows = []
    for window in YAO:
        each = joules_per_spike(window)
        most, least = (each / count * 1e12 for count in SYNAPSES)
        rows.append(
            f"| {window.name} | {window.watts * 1e3:.1f} | {window.spikes / 1e6:.1f} | {each * 1e9:.2f} | "
            f"{least:.1f} | {most:.1f} |"
        )
    lowest, highest = low * 1e12, high * 1e12
    outside = [one.name for one in YAO if joules_per_spike(one) / min(SYNAPSES) * 1e12 > 1.05 * found.high]
    rest = [one for one in YAO if one.name not in outside]
    without = joules_per_synapse(rest)[1] * 1e12
    return [
        "## Speck: Yao et al. 2024, where our constant comes from",
        "",
        "**No agreement is shown here.** The makers publish no energy of a synaptic operation; "
        "`snncc/chips/speck2f.toml` derives one from this very table, so that a recomputation would return "
        "what was put in. The derivation: power less 0.42 mW at rest, times 540 ms, over the spikes, is "
        f"the energy of a spike; over {SYNAPSES[1]} or {SYNAPSES[0]} operations a spike (what window and "
        "spike mean is assumed):",
        "",
        f"| | mW | million spikes | nJ a spike | pJ an operation, {SYNAPSES[1]} a spike | "
        f"{SYNAPSES[0]} a spike |",
        "|-|-|-|-|-|-|",
        *rows,
        "",
        f"The file takes the geometric middle of {found.low:g} and {found.high:g} pJ: sqrt({found.low:g} x "
        f"{found.high:g}) = {found.middle:.1f}, and has {found.value:g} pJ. The table above spans "
        f"{lowest:.1f} to {highest:.1f} pJ, whose geometric middle is {sqrt(lowest * highest):.1f}. The "
        f"file's upper bound leaves out {', '.join(outside) or 'nothing'}: without it the table ends at "
        f"{without:.1f} pJ. From the constant to the ends of the whole table are factors of "
        f"{found.value / lowest:.1f} down and {highest / found.value:.1f} up. Energies computed with that "
        "file are no evidence of anything about the chip; ratios between two networks do not depend on the "
        "constant, as long as synaptic operations are all that is compared.",
        "",
        f"Static power of the file: {ram:g} uW of memory and {logic:g} uW of logic on an idle kit are "
        f"{ram + logic:.1f} uW, its low end ({static[0] * 1e6:.1f} uW); the {REST_W * 1e3:.2f} mW at rest "
        f"of this paper are its high end ({static[1] * 1e6:.1f} uW). Two sources agree here; it is the only "
        "figure of Speck for which that can be said.",
    ]


def report() -> str:
    """Everything, in Markdown."""
    intro = [
        "# Results of `python -m benchmarks.published`",
        "",
        "Published measurements beside what snncc computes. Of the published work we have figures, not "
        "networks: where a network is run here it has the published sizes, random 8 bit weights and random "
        "spikes. Read where we are off as the statement of how far the figures of our reports can be "
        "trusted on an absolute scale. Figures of different chip files are different accountings and are "
        "never mixed.",
    ]
    sections = (sanafe_section(), keyword_section(), ceolini_section(), speck_section())
    return "\n".join("\n".join([*section, ""]) for section in (intro, *sections))


def main() -> int:
    RESULTS.write_text(report(), encoding="utf-8")
    print(RESULTS.read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
