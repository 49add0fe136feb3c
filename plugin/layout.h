/* The memory that a plugin shares with its engine process: one file, mapped by both.

   | where | holds |
   | --- | --- |
   | byte 0 | slots, int64 each, read and written atomically |
   | byte SIGNALS_AT | two futexes (see rtsep/realtime/wake_linux.py), 64 bytes each: input has come, output has come |
   | byte RINGS_AT | input ring, float32 [ring frames, IN_CHANNELS] |
   | behind it | output ring, float32 [ring frames, OUT_CHANNELS] |

   Both rings are indexed by absolute frame numbers: frame n lies at row n modulo the ring's length. The engine
   answers input frame n with output frame n, which sounds as much later as its stream delay says.
   `rtsep/plugin/layout.py` has the same numbers; a test compares them. */

#ifndef RTSEP_LAYOUT_H
#define RTSEP_LAYOUT_H

enum {
    RTSEP_PROTOCOL = 2, /* another number: another layout, or another meaning */
    IN_CHANNELS = 2,
    OUT_CHANNELS = 6, /* main, vocals, instrumental, left and right of each */
    MAX_CONTROLS = 24,
    SIGNALS_AT = 512,
    SIGNAL_BYTES = 64,
    RINGS_AT = 4096
};

enum {
    /* Fixed by the plugin before an engine starts. */
    SLOT_PROTOCOL = 0,
    SLOT_RATE = 1, /* Hz */
    SLOT_RING_FRAMES = 2, /* a power of two */
    SLOT_CONTROLS = 3, /* how many */
    SLOT_LAG = 4, /* the plugin plays output frame n so many frames after input frame n came */
    SLOT_BLOCK = 5, /* frames of a call that the lag allows for */
    SLOT_SPARE = 6, /* frames behind those of a call that must be there as well: a fade to the dry signal */
    /* Written by the audio thread. */
    SLOT_IN_WRITE = 8, /* frames of input */
    SLOT_STREAM_START = 9, /* input frame that the present stream begins with */
    SLOT_OFFLINE = 10, /* 1: the host renders, and waits for the engine */
    SLOT_LATE_FRAMES = 11, /* frames that an engine at work was too late for */
    SLOT_STREAMS = 12, /* streams so far */
    SLOT_VALUES = 16, /* [MAX_CONTROLS] float64 bits of the controls */
    /* Written by the engine. */
    SLOT_OUT_BEGIN = 40, /* first output frame of the present stream */
    SLOT_OUT_WRITE = 41, /* output frames up to here are there */
    SLOT_NEXT_HOP_AT = 42, /* SLOT_IN_WRITE that completes the next hop */
    SLOT_STATE = 43, /* by the thread that starts engines, too */
    SLOT_MAX_HOP = 44, /* frames of a hop at most, for the model in use; 0: not known yet */
    SLOT_DELAY = 45, /* frames by which its output lags its input, the filling of a hop not included */
    SLOT_LATE_MASKS = 46,
    SLOT_HOPS = 47,
    SLOT_ENGINE_PROTOCOL = 48,
    SLOT_OUT_STREAMS = 49, /* SLOT_STREAMS of the stream that the output belongs to */
    SLOT_COUNT = 64
};

enum { STATE_STARTING = 0, STATE_READY = 1, STATE_REFUSED = 2, STATE_DOWN = 3 };

#endif
