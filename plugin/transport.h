/* Where a render begins: the first frame of what the host renders is to be the first of a stream, so that an export
   is what `rtsep file` makes of the same sound.

   A host may roll at once. Or, as Ardour does, it begins earlier by the latency of the plugins: then its position
   moves while it says that it stands, and sound comes as long before it rolls. */

#ifndef RTSEP_TRANSPORT_H
#define RTSEP_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    int64_t frame; /* of the host's position, due at the next call */
    double speed; /* 0: it stands */
    int64_t now; /* frames since the reset */
    int64_t placed_at; /* `now` at the last position */
    int64_t offline_since; /* `now` */
    int64_t sound_at; /* `now` of the first sound of a render that stands; -1: none yet */
    bool placed; /* the host tells its position */
    bool moves; /* it moves while it stands */
    bool offline;
} Transport;

void transport_reset(Transport *transport);

/* Take the host's position at the next frame. Return by how many frames a stream of a render begins before that
   frame, or -1 where none begins. `latency` is the plugin's own, in frames. */
int64_t transport_place(Transport *transport, int64_t frame, double speed, uint32_t latency);

/* Go on by `frames` frames of input. Return how many of them are before the first frame of a stream: all of them
   where none begins. */
uint32_t transport_advance(Transport *transport, const float *const in[2], uint32_t frames, bool offline);

#endif
