/* What the machine can do: the events of a layer added to its potentials, and nothing else.
 *
 * The same events, tables and memory as the simulator's kernel, 8-bit weights into 16-bit sums; no threshold,
 * no counting, no lists. The length of a run is a constant of each copy, so that gcc can unroll it.
 */

#include <stdint.h>

struct source {
    const uint16_t *events;
    const int64_t *starts, *rows; /* rows: taps, unused, first state, first weight, in bytes */
    const int32_t *codes;
    int64_t frames, map_rows, to_next, of_next; /* a frame: one timestep of one sample */
};

#define INLINE static inline __attribute__((always_inline))

INLINE void scatter(const int64_t run, const struct source *s, char *state, const char *weights) {
    for (int64_t t = 0; t < s->frames; t++) {
        for (int64_t y = 0; y < s->map_rows; y++) {
            const int64_t *row = s->rows + 4 * y;
            for (int64_t k = s->starts[t * s->map_rows + y]; k < s->starts[t * s->map_rows + y + 1]; k++) {
                const int32_t *code = s->codes + 2 * s->events[k];
                char *to = state + row[2] + code[0];
                const char *of = weights + row[3] + code[1];
                for (int64_t tap = 0; tap < row[0]; tap++) {
                    int16_t *sums = (int16_t *)to;
                    const int8_t *added = (const int8_t *)of;
                    for (int64_t o = 0; o < run; o++) sums[o] += added[o];
                    to += s->to_next;
                    of += s->of_next;
                }
            }
        }
    }
}

#define COPY(run) case run: scatter(run, s, state, weights); break;

void add_events(int64_t run, const struct source *s, char *state, const char *weights) {
    switch (run) {
        COPY(32) COPY(64) COPY(96) COPY(128) COPY(192) COPY(256) COPY(384) COPY(512) COPY(768) COPY(1024)
        default: scatter(run, s, state, weights);
    }
}
