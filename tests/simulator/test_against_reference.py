from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from snncc import reference, simulator
from snncc.ir import Emit, NeuronParameters
from snncc.simulator.plan import plan_of
from tests.graphs import Case, graphs
from tests.simulator.chains import chains
from tests.simulator.compare import assert_equal_runs

# Drawing a graph runs the reference executor: a slow draw is no mistake.
SLOW_DRAWS = [HealthCheck.too_slow, HealthCheck.data_too_large]


def compare(case: Case, every: int) -> reference.Run:
    """The simulator against the reference, with and without records; returns the reference's run."""
    record = [node.name for node in case.graph.nodes][::every]
    expected = reference.run(case.graph, case.x, timesteps=case.timesteps, record=record)
    found = simulator.run(case.graph, case.x, timesteps=case.timesteps, record=record, keep_state=True)
    assert_equal_runs(expected, found, state=True)
    plain = simulator.run(case.graph, case.x, timesteps=case.timesteps, threads=1)
    assert_equal_runs(reference.run(case.graph, case.x, timesteps=case.timesteps), plain)
    return expected


@settings(max_examples=60, suppress_health_check=SLOW_DRAWS)
@given(graphs(), st.integers(1, 3))
def test_equals_the_reference(case: Case, every: int) -> None:
    compare(case, every)


@pytest.mark.slow
@settings(max_examples=600, suppress_health_check=SLOW_DRAWS, derandomize=False)
@given(graphs(), st.integers(1, 3))
def test_equals_the_reference_on_many(case: Case, every: int) -> None:
    compare(case, every)


@settings(max_examples=60, suppress_health_check=SLOW_DRAWS)
@given(chains(), st.integers(1, 3))
def test_chains_equal_the_reference(case: Case, every: int) -> None:
    compare(case, every)


@pytest.mark.slow
@settings(max_examples=600, suppress_health_check=SLOW_DRAWS, derandomize=False)
@given(chains(), st.integers(1, 3))
def test_chains_equal_the_reference_on_many(case: Case, every: int) -> None:
    compare(case, every)


def test_most_drawn_graphs_are_alive() -> None:
    """At least four of five graphs spike in every layer, and no layer all the time."""
    alive: Counter[bool] = Counter()

    @settings(max_examples=60, phases=[Phase.generate], suppress_health_check=SLOW_DRAWS, database=None)
    @given(graphs())
    def look(case: Case) -> None:
        run = reference.run(case.graph, case.x, timesteps=case.timesteps, count=False)
        alive[all(is_alive(run, case, node.name, node.parameters) for node in case.graph.neurons)] += 1

    look()
    assert alive[True] >= 0.8 * alive.total(), alive


def is_alive(run: reference.Run, case: Case, name: str, p: NeuronParameters) -> bool:
    if p.emit is not Emit.COUNT:
        return True
    sent = int(run.spikes[name].sum())
    slots = case.graph.edges[name].size * run.batch * run.timesteps
    return sent > 0 and (p.max_count is None or sent < slots * p.max_count)


def test_chains_run_event_by_event() -> None:
    """Nearly every layer of a chain is one that the event kernel takes."""
    layers: Counter[bool] = Counter()

    @settings(max_examples=60, phases=[Phase.generate], suppress_health_check=SLOW_DRAWS, database=None)
    @given(chains())
    def look(case: Case) -> None:
        simulator.run(case.graph, case.x, timesteps=case.timesteps)
        plan = plan_of(case.graph)
        for node in case.graph.neurons:
            prepared = plan.layers.get(node.name)
            layers[prepared is not None and prepared.narrowest < 3] += 1

    look()
    assert layers[True] >= 0.85 * layers.total(), layers
