"""Running whole batches: chunks of samples over threads, results in the order of the samples."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from threading import Lock
from typing import Any

import numpy as np

from snncc.errors import BadInput, StateOverflow
from snncc.ir import Array, Presence, SpikeGraph
from snncc.reference import enter
from snncc.reference.inputs import Data, by_input, check_tables
from snncc.reference.side import check_trains
from snncc.simulator.chunk import run_chunk
from snncc.simulator.dense_synapse import ONE_THREAD
from snncc.simulator.plan import Plan, plan_of
from snncc.simulator.result import Part, Run, run_of, state_part

Progress = Callable[[int, int], None]
AS_IT_IS = nullcontext()


def run(
    graph: SpikeGraph,
    x: Data,
    *,
    timesteps: int,
    record: Collection[str] = (),
    threads: int | None = None,
    progress: Progress | None = None,
    state: Mapping[str, Any] | None = None,
    keep_state: bool = False,
    firing: Collection[str] = (),
) -> Run:
    """Execute the integer *graph* on *x*, with the results of `snncc.reference.run`, bit for bit.

    *x* is [T, B, *shape] for a sequence, [B, *shape] for a value given once, a dict where there are several
    inputs. *record* names nodes whose trains and potentials are kept; *threads* defaults to the processors
    of the machine; *progress* is called with the samples done and all samples. *state* is the ``state`` of
    an earlier run of the same batch (of this or of the reference executor, with *keep_state*), to go on
    from. *firing* names nodes that send, whose spikes are listed (``firings``). Raises `CannotLower` for a
    float graph, `BadInput`, `UnknownName`, `StateOverflow`.
    """
    plan = plan_of(graph, record, by_events=state is None and not keep_state)
    data = shaped(plan, graph, x, timesteps)
    if plan.has_tables:
        check_trains(graph, timesteps, state)
        check_tables(graph, timesteps, state)
    batch = len(next(iter(data.values()))[0])
    bounds = chunks(plan, timesteps, batch, workers := threads or os.cpu_count() or 1)
    done, lock = 0, Lock()

    def one(bound: tuple[int, int]) -> Part:
        nonlocal done
        start, stop = bound
        before = None if state is None else state_part(state, start, stop)
        part = run_chunk(plan, data, start, stop, timesteps, before, keep_state, firing)
        if progress is not None:
            with lock:
                done += stop - start
                progress(done, batch)
        return part

    try:
        with ONE_THREAD if plan.multiplies else AS_IT_IS:
            if workers == 1 or len(bounds) == 1:
                parts = [one(bound) for bound in bounds]
            else:
                parts = shared_out(one, bounds, workers)
    except BadInput:
        enter(graph, x, timesteps)  # says the same, with the place in the whole data
        raise
    except StateOverflow:
        progress = None
        for b in range(batch):
            relabelled(one, b)
        raise
    return run_of(plan, timesteps, parts)


def shared_out(
    one: Callable[[tuple[int, int]], Part], bounds: Sequence[tuple[int, int]], workers: int
) -> list[Part]:
    """What *one* yields for each of *bounds*, in their order, by so many threads, of which this is one."""
    left, parts = deque(enumerate(bounds)), {}

    def work() -> None:
        while left:
            try:
                k, bound = left.popleft()
            except IndexError:  # another thread was faster
                return
            try:
                parts[k] = one(bound)
            except BaseException:
                left.clear()
                raise

    with ThreadPoolExecutor(min(workers, len(bounds)) - 1) as pool:
        others = [pool.submit(work) for _ in range(min(workers, len(bounds)) - 1)]
        work()
        for other in others:
            other.result()
    return [parts[k] for k in range(len(bounds))]


def relabelled(one: Callable[[tuple[int, int]], Part], b: int) -> None:
    """Run sample *b* alone; its error names it."""
    try:
        one((b, b + 1))
    except StateOverflow as error:
        error.args = (error.message.replace("in sample 0;", f"in sample {b};"),)
        error.message = error.args[0]
        raise


def shaped(plan: Plan, graph: SpikeGraph, x: Data, timesteps: int) -> dict[str, Array]:
    """The data of each input as [T or 1, B, *shape], its values not yet looked at."""
    data = by_input(graph, x)
    batch = -1
    for node in plan.inputs:
        is_sequence = node.presence is Presence.SEQUENCE
        array = data[node.name] if is_sequence else data[node.name][None]
        fits = array.shape == (timesteps if is_sequence else 1, *array.shape[1:2], *node.shape)
        if timesteps < 1 or not fits or not array.size or array.dtype.kind not in "fiub":
            enter(graph, x, timesteps)
        data[node.name] = plain_data(array)
        if batch not in (-1, array.shape[1]):
            enter(graph, x, timesteps)
        batch = array.shape[1]
    return data


def plain_data(array: Array) -> Array:
    """*array* as kernels take it: contiguous, writable, in the machine's byte order."""
    if array.flags.carray and array.dtype.isnative:
        return array
    return np.require(array, array.dtype.newbyteorder("="), ["C", "W"])


def chunks(plan: Plan, timesteps: int, batch: int, workers: int) -> list[tuple[int, int]]:
    """Bounds of chunks of samples, none too large for memory or not worth a thread.

    Large ones come first, which share weights in the cache; then small ones, so that threads end together.
    """
    if batch == 1:
        return [(0, 1)]
    one = max(1, plan.signal_bytes * timesteps)
    most, least = max(1, CHUNK_BYTES // one), -(-WORTH_BYTES // one)
    if workers == 1 or batch < 2 * least:
        least = batch
    bounds: list[tuple[int, int]] = []
    start = 0
    while start < batch:
        half = (batch >> len(bounds) // workers) // 2  # each round of the threads takes half of what is left
        size = min(max(half // workers, least), most, batch - start)
        bounds.append((start, start + size))
        start += size
    return bounds


CHUNK_BYTES = 1 << 26
"""How much memory the trains of a chunk may take, unless a single sample takes more."""
WORTH_BYTES = 1 << 23
"""The same for the smallest chunk that is worth starting."""
