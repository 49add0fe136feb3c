/* The memory shared with one engine process, and the thread that starts and watches that process. */

#ifndef RTSEP_LINK_H
#define RTSEP_LINK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core.h"
#include "layout.h"

typedef _Atomic int64_t Slot;

struct Link;

/* What a link needs to be made. Texts are copied. */
typedef struct {
    double rate;
    uint32_t block;
    const char *bundle;
    const char *model;
    const char *sha256; /* "" or NULL: whichever the model has */
    RtsepLog log;
    void *log_handle;
    /* Called a few times a second by the thread that watches `of`. */
    void (*tick)(void *owner, struct Link *of);
    void *owner;
    bool watched;
} LinkPlan;

typedef struct Link {
    Slot *slots;
    float *input; /* [ring_frames, IN_CHANNELS] */
    float *output; /* [ring_frames, OUT_CHANNELS] */
    int64_t ring_frames;
    int64_t lag; /* frames */
    uint32_t latency; /* frames: lag and stream delay */
    uint32_t block;
    char *model;
    char *sha256;
    _Atomic int failures; /* engines running that have ended soon after their start, or not started */
    struct Watch *watch; /* private to link.c */
} Link;

/* Frames over which wet and dry change places. */
enum { FADE_FRAMES = 64, MAX_CALL_FRAMES = 8192 };

/* Make the memory and start the thread. Returns NULL without memory. May wait some seconds for an engine, if the
   latency of the model is not in the bundle's file `models`. */
Link *link_new(const LinkPlan *plan);

/* End the thread and the engine process; give the memory back. */
void link_free(Link *link);

/* Wake the engine. Never waits. */
void link_wake_engine(Link *link);

/* Wait until the engine has written output, a moment at most. */
void link_await_output(Link *link);

#endif
