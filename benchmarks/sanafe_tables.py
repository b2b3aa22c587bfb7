"""The tables of `benchmarks/SANAFE.md`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.sanafe_compared import AGAIN, Compared
from benchmarks.tables import table

MICRO = 1e6
OUR_STAGES = {
    "analytic": "ours: analytic",
    "latency": "+ hops, receivers",
    "interval": "+ intervals",
    "cycle": "+ slots = cycle",
    "bounded": "(+ slots of receivers)",
    "reserved": "(reserved)",
}
THEIR_STAGES = {
    "simple": "theirs: simple",
    "ranked": "+ hops, receivers, in our order",
    "replayed": "in their order",
    "endless": "+ congestion",
    "detailed": "+ blocking = detailed",
}


def micro(seconds: float) -> str:
    return f"{seconds * MICRO:,.3f}"


def percent(ratio: float) -> str:
    return f"{ratio * 100:+.2f} %"


def equality(results: Sequence[Compared]) -> list[str]:
    """The tables of what has to be equal."""
    networks = [
        [r.case.name, r.case.about, r.case.neuron, f"{r.neurons:,}", f"{r.synapses:,}", r.case.timesteps]
        for r in results
    ]
    sums = [
        [
            r.case.name,
            *(f"{r.spikes:,}", r.differing_spikes),
            *(f"{r.counts['message_out'][1]:,}", r.differing_messages),
            f"{r.counts['east_west'][1]:,} / {r.counts['north_south'][1]:,}",
            sum(theirs != mine for theirs, mine in r.counts.values()),
            *(f"{r.joules['total'][1] * MICRO:.9g}", f"{r.energy_error:.0e}"),
            *(micro(r.total[1] - r.stages["cycle"] + r.stages["simple"]), f"{r.simple_error:.0e}"),
            "yes" if r.is_equal else "NO",
        ]
        for r in results
    ]
    names = [*results[0].counts]
    kinds = [[r.case.name, *(f"{r.counts[name][0]:,}" for name in names), f"{r.awake:,}"] for r in results]
    parts = [
        [
            r.case.name,
            *(f"{r.joules[u][k] * MICRO:.9g}" for u in ("synapse", "soma", "network") for k in (0, 1)),
        ]
        for r in results
    ]
    return [
        *table(["network", "what", "neurons", "how many", "synapses", "timesteps"], networks),
        *table(
            [
                *("network", "spikes", "differing", "messages", "differing", "hops E-W / N-S"),
                *("events whose counts differ", "uJ", "largest relative difference of an energy"),
                *("simple / analytic, us", "largest relative difference of a step", "equal"),
            ],
            sums,
        ),
        "Counts (theirs, which are ours where the column above says 0):",
        "",
        *table(["network", *names, "of the updates: awake"], kinds),
        "Energies in uJ, theirs and ours:",
        "",
        *table(
            [
                "network",
                *(f"{unit}, {who}" for unit in ("synapse", "soma", "network") for who in ("theirs", "ours")),
            ],
            parts,
        ),
    ]


def stages_table(results: Sequence[Compared]) -> list[str]:
    """Time without synchronization, stage by stage, on both sides."""
    rows = []
    for r in results:
        s = r.stages
        shown = [s[name] for name in OUR_STAGES] + [s[name] for name in THEIR_STAGES]
        off = [percent(s["cycle"] / s["detailed"] - 1), percent(r.total[1] / r.total[0] - 1)]
        steps = " to ".join(percent(one) for one in r.per_step)
        rows.append([r.case.name, *map(micro, shown), percent(r.spread), *off, steps])
    head = [
        *("network", *OUR_STAGES.values(), *THEIR_STAGES.values(), f"{AGAIN + 1} such runs differ by"),
        *("cycle against detailed", "with synchronization", "single steps, with it"),
    ]
    paths = [
        [r.case.name, *(micro(seconds) for seconds in r.path.values()), f"{r.blocked:,}"] for r in results
    ]
    return [
        *table(head, rows),
        "The critical path of their detailed model, us, summed over all steps:",
        "",
        *table(["network", *results[0].path, "blocked messages"], paths),
    ]


def speed_table(found: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Both sides' times; ours, and what they are compared with, hot / cold."""
    against = (("analytic", "simple"), ("reserved", "detailed"), ("cycle", "detailed"))
    whole = ("theirs simple", "theirs detailed", "theirs as shipped", "theirs build and load")
    rows = []
    for name, t in found.items():
        mine = {level: (t[f"ours {level}"], t[f"ours {level} cold"]) for level, _ in against}
        theirs = {level: t[f"theirs {model}"] for level, model in against}
        rows.append(
            [
                name,
                *(f"{t[key] * 1e3:,.2f}" for key in whole),
                *(both(f"{one * 1e3:,.2f}" for one in pair) for pair in mine.values()),
                f"{t['ours place and build'] * 1e3:,.2f}",
                *(both(f"{theirs[level] / one:.0f}x" for one in pair) for level, pair in mine.items()),
                f"{t['theirs MB']:,.0f}",
                f"{t['ours MB']:,.0f} ({t['ours idle MB']:,.0f})",
            ]
        )
    head = [
        *("network", "SANA-FE simple, ms", "detailed, ms", "(detailed, 1,024 input units a core, ms)"),
        *("(build and load, ms)", "ours analytic, ms, hot / cold", "reserved, ms", "cycle, ms"),
        *("(place and build, ms)", *(f"{model} : {level}" for level, model in against)),
        *("peak memory SANA-FE, MB", "ours, MB (after imports)"),
    ]
    return table(head, rows)


def both(texts: Iterable[str]) -> str:
    return " / ".join(texts)
