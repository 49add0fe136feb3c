/* The plugin without its face: a stream through an engine process, or past it, at one constant delay.

   The audio thread calls `rtsep_core_run` and `rtsep_core_begin` only. They copy to and from shared memory; they
   never wait, lock or allocate, unless the host renders offline. All else is for other threads, one at a time. */

#ifndef RTSEP_CORE_H
#define RTSEP_CORE_H

#include <stdbool.h>
#include <stdint.h>

#include "layout.h"

typedef struct RtsepCore RtsepCore;

/* Takes one line for the host's log, from any thread but the audio thread. */
typedef void (*RtsepLog)(void *handle, bool error, const char *line);

/* Make a core for audio of `rate` Hz in calls of up to `block` frames; longer calls play, but dry. `bundle` is the
   folder with the files `engine` and `models`. `model` may be NULL: the first of `models`. Returns NULL without
   memory. `watched`: false leaves the engine to the caller (tests). */
RtsepCore *rtsep_core_new(double rate, uint32_t block, const char *bundle, const char *model, const char *sha256,
                          RtsepLog log, void *log_handle, bool watched);

/* End the engine process and give everything back. No other call may be under way. */
void rtsep_core_free(RtsepCore *core);

/* Play with another model, or for calls of another length. Safe while the audio thread plays. Returns false if
   there is no memory for it; then all stays as it is. */
bool rtsep_core_set_model(RtsepCore *core, const char *model, const char *sha256);
bool rtsep_core_set_block(RtsepCore *core, uint32_t block);

/* The model asked for; valid until the next `rtsep_core_set_model`. The checksum is "" if it is not known. */
const char *rtsep_core_model(const RtsepCore *core);
const char *rtsep_core_sha256(const RtsepCore *core);

/* Forget all sound: the next frame is the first. Not while `rtsep_core_run` is under way. */
void rtsep_core_reset(RtsepCore *core);

/* Let the frame that came `ago` frames before the next one be the first of a stream for the engine. `ago` is no
   more than the latency. */
void rtsep_core_begin(RtsepCore *core, uint32_t ago);

/* Take `frames` frames and give as many. Inputs and outputs may be the same memory. `values` are the controls in
   the order of the table. `offline`: wait for the engine. */
void rtsep_core_run(RtsepCore *core, const float *const in[IN_CHANNELS], float *const out[OUT_CHANNELS],
                    uint32_t frames, const double *values, bool offline);

/* Frames from input to output: constant, until the model or the block is changed. */
uint32_t rtsep_core_latency(const RtsepCore *core);

/* One of STATE_*, of the engine in use. */
int rtsep_core_state(const RtsepCore *core);

/* Frames that played dry because an engine at work was late. */
int64_t rtsep_core_late_frames(const RtsepCore *core);

/* The memory shared with the engine, for tests. */
void *rtsep_core_memory(const RtsepCore *core);

#endif
