"""What `benchmarks/SANAFE.md` says between its tables."""

COMPARED = """\
Both sides get the same networks on the same cores, with the same input. All that follows is measured;
"equal" means: the same spikes of every neuron in every step, the same messages (from which neuron to which
core, in which step, how many synapses, how many hops), the same count of every kind of event, every energy
and the time of every step (their *simple* model, our level `analytic`) equal to nine digits.

How the two are brought to the same:

- **Steps.** A message of SANA-FE acts one timestep later. With every wire between populations one timestep
  late all populations are swept in every chip step, and our step k is their timestep k + 1. A network
  without such delays, in the schedule `pipelined`, is the same one shifted: timestep t of a population of
  depth l is chip step t + l, their timestep t + l + 1. The only difference is at both ends: they access
  every mapped neuron in every timestep, our machine only in steps in which its population has a timestep.
- **Tiles.** They number tiles column by column, we row by row.
- **Neurons.** Theirs are floats, cut off toward zero to 1/64 after each leak: ours are integers that count
  1/64 where there is a leak (rounding `zero`), and whole numbers otherwise. Theirs fire when they exceed
  the threshold (`strict`). *binary* neurons keep nothing (reset and lower clamp to 0), *plain* ones keep
  what is left, *leaky* ones leak.
- **Inputs.** In the file that comes with SANA-FE an input neuron costs nothing. Ours are on cores and cost
  what a neuron costs that nothing has reached: an access, and a spike if it fires; their input units get
  these two.
- **The synchronization** is looked up alike: the largest entry of the table that is not above the number of
  tiles that hold neurons.
- Counts of single events come from a second run of theirs in which energies are powers of two.
"""

DIFFERENCES = """\
What had to be set aside, and what would make it equal:

- **Which neurons are updated.** SANA-FE updates a neuron in a step if something reached it, if it has a
  bias, *if its potential was not 0 before the step*, or if its parameter `force_update` says so. Ours: if
  something reached it, or if its population has a bias or a leak. So theirs also updates neurons that keep
  a potential and hear nothing (the column *awake*; network `memory`), and does not update a leaky neuron at
  rest. In the tables leaky neurons have `force_update`, and ours are charged for those awake: then all is
  equal. To have this without help, `touch` of a chip file would need a third value: reached, or bias, or
  potential not 0.
- **Delays of two steps and more** are left out. With their buffer before the soma, as in their Loihi file,
  the unit `accumulator_with_delay` hands on what it has kept only in a step in which another message
  reaches the same neuron (measured: weight 1.0 with a delay of 3 to a threshold of 0.5 does not fire it in
  10 steps when nothing else comes).
- A neuron has one kind of synapse in their Python interface; the networks here keep to that.
"""

STAGES = """\
### Their detailed model and our level cycle

Times in us, all steps, without synchronization. The first two columns of both sides are the same to nine
digits (replaying their trace: a message takes its hops, then waits for its receiver, which takes messages
in the order of arrival; a neuron sends to its cores in the order of core numbers. `memory` differs, as
theirs has the updates of neurons awake in it). From there on the two count different things:

- **Order (theirs).** A receiver takes messages in the order in which they were *sent*: a message from afar
  holds up those sent later that are there before it; ours in the order of arrival. A neuron's messages to
  several cores leave in the order of the memory addresses of their core objects, ours by core number; so
  two runs of theirs can differ (with synchronization, see the column).
- **Congestion (theirs).** A message is in the network from when it is sent until its receiver *begins* with
  it, and lies with 1 / (hops + 2) on each link of its route and on its core's output. A new message adds up
  what lies on its route, m, and takes at least m x (mean work of receivers on all messages in the network)
  / (hops + 1). So a message that waits in a receiver's queue makes others slow that go elsewhere, if they
  share a link that it left long ago, and how slow depends on the work of receivers, not on the link. Ours
  has no such term: a message that has arrived in a queue of a synapse unit is no longer on any link.
- **Blocking (theirs).** With m above (hops + 1) x 16 the sender waits for (m - that) x the same mean. It
  then sends later, so fewer messages are in the network: blocking can make the whole faster than congestion
  alone.
- **Intervals (ours).** A link carries one message at a time (4.1 and 6.5 ns); theirs carries any number.
- **Slots (ours).** 16 slots in front of each link, taken from the start of the link before; a message that
  finds none stops all behind it, back to the neuron unit. `eject` and the queue of a synapse unit are
  unbounded in our chip file; with 16 slots there, too, the time is the one of the next column. Theirs has no
  queues, only the sums above.
- The column *reserved* is our approximation of that name; it belongs to neither chain.

Where the receivers' work fills the step the two agree within 0.3 % (`chain`, `fan-out`, `convolution`,
`hot-spot`, `W1-32`). They part most in `W3`: 700 inputs on one core send every spike to four cores that
work 0.26 us on it, side by side. All of these messages share the sender's output link, so the m of each
counts what waits for all four receivers, and with no hop to take it is held for up to m = 16 times 0.26 us,
as if one receiver had to work through all 16; meanwhile receivers idle. In our machine a message that waits
for one receiver does not hold up one to another, unless queues are full up to the link that both take.
"""

SPEED = """\
### Speed

One thread each, in turns, medians. Ours: functional simulation and machine with energies, as a user calls
it; theirs: `sim()` alone, without traces, on a chip just loaded. Ours are given twice, hot / cold
(`benchmarks/measure.py`): cold is the first run after the job before it in the turn, hot the mean of those
that follow for 5 ms, as every benchmark here takes it; a run that fills its turn is both. Their file for
Loihi has 1,024 units for inputs on each of 128 cores, which take about 1.7 GB and hardly any time; in the
measured runs a core has as many as it has inputs. Memory: peak of a process of its own with one run (theirs
with reading the network as lists, which its Python interface takes). The machine was shared with other
work: single times vary, ratios less so.
"""
