#include "core.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "controls.h"
#include "link.h"
#include "system.h"

/* While the host renders: how long an engine may bring nothing before the sound goes on without it. It may have to
   compile first, on a slow machine. */
static const double PATIENCE_S = 180.0;

/* While the host renders: after so many engines in a row that did not stay, the sound goes on without one. */
enum { MOST_FAILURES = 5 };

enum { FEEDS = 3 };

struct RtsepCore {
    double rate;
    char *bundle;
    RtsepLog log;
    void *log_handle;
    bool watched;
    Link *wanted; /* of the other threads: the link that was made last */

    Link *link; /* of the audio thread */
    _Atomic(Link *) next; /* made, but not taken by the audio thread yet */
    _Atomic(Link *) retired; /* left by the audio thread */
    atomic_flag freeing; /* a link's thread frees another link */

    /* Of the audio thread. */
    int64_t silent_before; /* input frames before this one are forgotten */
    int wet; /* 0..FADE_FRAMES: how much of the engine's output sounds */
    float dry_gain[FEEDS]; /* as the last call ended */
    bool begins; /* a stream, `begins_ago` frames before the next one */
    uint32_t begins_ago;
    bool was_offline;
    bool given_up; /* the engine brought nothing for PATIENCE_S */

    _Atomic uint32_t latency;
};

static char *copy_of(const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = malloc(size);
    return copy ? memcpy(copy, text, size) : NULL;
}

static int64_t load(const Link *link, int slot) {
    return atomic_load_explicit(&link->slots[slot], memory_order_acquire);
}

static void store(Link *link, int slot, int64_t value) {
    atomic_store_explicit(&link->slots[slot], value, memory_order_release);
}

/* --- links come and go ------------------------------------------------------------------------------------- */

/* Free the link that the audio thread has left. `by` is the one whose thread this is: it cannot free itself.

   One thread at a time: to free a link is to wait for its thread, and two threads could wait for each other. */
static void free_retired(void *owner, Link *by) {
    RtsepCore *core = owner;
    if (atomic_flag_test_and_set(&core->freeing))
        return; /* at the next tick */
    Link *old = atomic_load(&core->retired);
    if (old && old != by && atomic_compare_exchange_strong(&core->retired, &old, NULL))
        link_free(old);
    atomic_flag_clear(&core->freeing);
}

static Link *make_link(RtsepCore *core, uint32_t block, const char *model, const char *sha256) {
    LinkPlan plan = {
        .rate = core->rate,
        .block = block < 1 ? 1 : block > MAX_CALL_FRAMES ? MAX_CALL_FRAMES : block,
        .bundle = core->bundle,
        .model = model,
        .sha256 = sha256,
        .log = core->log,
        .log_handle = core->log_handle,
        .tick = free_retired,
        .owner = core,
        .watched = core->watched,
    };
    return link_new(&plan);
}

RtsepCore *rtsep_core_new(double rate, uint32_t block, const char *bundle, const char *model, const char *sha256,
                          RtsepLog log, void *log_handle, bool watched) {
    RtsepCore *core = calloc(1, sizeof *core);
    if (!core)
        return NULL;
    core->rate = rate;
    core->log = log;
    core->log_handle = log_handle;
    core->watched = watched;
    core->bundle = copy_of(bundle);
    core->begins = true;
    atomic_flag_clear(&core->freeing);
    if (core->bundle)
        core->link = core->wanted = make_link(core, block, model, sha256);
    if (!core->link) {
        free(core->bundle);
        free(core);
        return NULL;
    }
    atomic_store(&core->latency, core->link->latency);
    return core;
}

void rtsep_core_free(RtsepCore *core) {
    Link *next = atomic_exchange(&core->next, NULL);
    if (next)
        link_free(next);
    link_free(core->link);
    Link *old = atomic_exchange(&core->retired, NULL); /* its thread may be freeing another one */
    if (old)
        link_free(old);
    free(core->bundle);
    free(core);
}

static bool change_link(RtsepCore *core, uint32_t block, const char *model, const char *sha256) {
    Link *made = make_link(core, block, model, sha256);
    if (!made)
        return false;
    core->wanted = made;
    Link *untaken = atomic_exchange(&core->next, made);
    if (untaken)
        link_free(untaken);
    return true;
}

bool rtsep_core_set_model(RtsepCore *core, const char *model, const char *sha256) {
    const Link *now = core->wanted;
    if (strcmp(now->model, model) == 0 && (!sha256 || !*sha256 || strcmp(now->sha256, sha256) == 0))
        return true;
    return change_link(core, now->block, model, sha256);
}

bool rtsep_core_set_block(RtsepCore *core, uint32_t block) {
    if (block == core->wanted->block)
        return true;
    char *model = copy_of(core->wanted->model), *sha256 = copy_of(core->wanted->sha256);
    bool done = model && sha256 && change_link(core, block, model, sha256);
    free(model);
    free(sha256);
    return done;
}

const char *rtsep_core_model(const RtsepCore *core) { return core->wanted->model; }

const char *rtsep_core_sha256(const RtsepCore *core) { return core->wanted->sha256; }

uint32_t rtsep_core_latency(const RtsepCore *core) { return atomic_load(&core->latency); }

int rtsep_core_state(const RtsepCore *core) { return (int)load(core->link, SLOT_STATE); }

int64_t rtsep_core_late_frames(const RtsepCore *core) { return load(core->link, SLOT_LATE_FRAMES); }

void *rtsep_core_memory(const RtsepCore *core) { return core->link->slots; }

/* --- the audio thread -------------------------------------------------------------------------------------- */

/* Take over a link that another thread has made, with as much of the past as it plays with a delay. */
static void take_next_link(RtsepCore *core) {
    if (!atomic_load_explicit(&core->next, memory_order_relaxed) ||
        atomic_load_explicit(&core->retired, memory_order_acquire))
        return;
    Link *link = atomic_exchange(&core->next, NULL), *old = core->link;
    if (!link)
        return;
    int64_t end = load(old, SLOT_IN_WRITE), past = link->latency;
    if (past > end - core->silent_before)
        past = end - core->silent_before;
    if (past > old->ring_frames)
        past = old->ring_frames;
    for (int64_t i = 0; i < past; i++) {
        const float *from = old->input + ((end - past + i) & (old->ring_frames - 1)) * IN_CHANNELS;
        memcpy(link->input + (i & (link->ring_frames - 1)) * IN_CHANNELS, from, IN_CHANNELS * sizeof(float));
    }
    core->begins = true;
    core->begins_ago = 0;
    store(link, SLOT_IN_WRITE, past);
    core->link = link;
    core->silent_before = 0;
    core->wet = 0;
    atomic_store(&core->latency, link->latency);
    atomic_store_explicit(&core->retired, old, memory_order_release);
}

void rtsep_core_reset(RtsepCore *core) {
    take_next_link(core);
    core->silent_before = load(core->link, SLOT_IN_WRITE);
    core->wet = 0;
    rtsep_core_begin(core, 0);
}

void rtsep_core_begin(RtsepCore *core, uint32_t ago) {
    core->begins = true;
    core->begins_ago = ago;
}

static float gain(double decibels, bool silent) {
    return silent || decibels <= SILENT_DB ? 0.0f : (float)pow(10.0, decibels / 20.0);
}

/* Levels of the dry signal on main, vocals and instrumental: those of `rtsep/dsp/router.py` for a network that is
   missing. */
static void dry_levels(const double *v, float level[FEEDS]) {
    float vocals = gain(v[VOCALS_GAIN], v[VOCALS_MUTE] > 0.5 ||
                                            (v[INSTRUMENTAL_SOLO] > 0.5 && !(v[VOCALS_SOLO] > 0.5)));
    float instrumental = gain(v[INSTRUMENTAL_GAIN], v[INSTRUMENTAL_MUTE] > 0.5 ||
                                                        (v[VOCALS_SOLO] > 0.5 && !(v[INSTRUMENTAL_SOLO] > 0.5)));
    float wanted = v[BYPASS] > 0.5 ? 0.0f : (float)v[BLEND];
    float on_vocals = vocals * fminf(1.0f, (float)(2.0 * v[BALANCE]));
    float on_instrumental = instrumental * fminf(1.0f, (float)(2.0 - 2.0 * v[BALANCE]));
    level[0] = 1.0f - wanted + wanted * fmaxf(on_vocals, on_instrumental);
    level[1] = 1.0f - wanted + (vocals > 0.0f ? wanted * vocals : 0.0f);
    level[2] = vocals > 0.0f ? 0.0f : wanted * instrumental;
}

/* Return `value` as control `i` accepts it: hosts send what they like, an automation all that lies in between. */
static double accepted(int i, double value) {
    if (!(value >= CONTROL_MIN[i])) /* not a number, too */
        return isnan(value) ? CONTROL_DEFAULT[i] : CONTROL_MIN[i];
    if (value > CONTROL_MAX[i])
        return CONTROL_MAX[i];
    return CONTROL_WHOLE[i] ? floor(value + 0.5) : value;
}

static void take_input(RtsepCore *core, Link *link, const float *const in[], uint32_t frames, int64_t start) {
    for (uint32_t i = 0; i < frames; i++) {
        float *row = link->input + ((start + i) & (link->ring_frames - 1)) * IN_CHANNELS;
        for (int c = 0; c < IN_CHANNELS; c++)
            row[c] = in[c][i];
    }
    bool begins = core->begins;
    if (begins) {
        int64_t ago = core->begins_ago < start ? core->begins_ago : start;
        store(link, SLOT_STREAM_START, start - ago);
        store(link, SLOT_STREAMS, load(link, SLOT_STREAMS) + 1);
    }
    core->begins = false;
    /* The engine stores NEXT_HOP_AT, then looks at IN_WRITE; one of us must see the other. */
    atomic_exchange_explicit(&link->slots[SLOT_IN_WRITE], start + frames, memory_order_seq_cst);
    if (begins || start + frames >= atomic_load_explicit(&link->slots[SLOT_NEXT_HOP_AT], memory_order_seq_cst))
        link_wake_engine(link);
}

/* Frames of output that belong to the present stream: from `*begin` on, up to the one returned. */
static int64_t output_of(Link *link, int64_t *begin) {
    bool ours = load(link, SLOT_OUT_STREAMS) == load(link, SLOT_STREAMS);
    int64_t write = load(link, SLOT_OUT_WRITE);
    *begin = load(link, SLOT_OUT_BEGIN);
    return ours ? write : *begin;
}

/* Wait for output up to frame `end`, as long as there is an engine that may bring it. */
static void await_output(RtsepCore *core, Link *link, int64_t end) {
    int64_t begin, now = output_of(link, &begin), seen = now;
    double since = clock_now();
    while ((now < end || load(link, SLOT_OUT_STREAMS) != load(link, SLOT_STREAMS)) &&
           load(link, SLOT_STATE) != STATE_REFUSED) {
        if (core->given_up && now == seen)
            return;
        link_await_output(link);
        now = output_of(link, &begin);
        if (now != seen) {
            seen = now;
            since = clock_now();
            core->given_up = false;
        } else if (clock_now() - since > PATIENCE_S || atomic_load(&link->failures) >= MOST_FAILURES) {
            core->given_up = true;
        }
    }
}

static void give_output(RtsepCore *core, Link *link, float *const out[], uint32_t frames, int64_t start,
                        const float to[FEEDS], bool offline) {
    const int64_t mask = link->ring_frames - 1;
    int64_t begin, write = output_of(link, &begin), late = 0;
    for (uint32_t i = 0; i < frames; i++) {
        int64_t frame = start + i - link->lag, dry_frame = start + i - link->latency;
        bool there = frame >= begin && frame < write;
        if (!there)
            core->wet = 0;
        else if (offline) /* it was waited for */
            core->wet = FADE_FRAMES;
        else if (frame + FADE_FRAMES < write)
            core->wet += core->wet < FADE_FRAMES;
        else
            core->wet -= core->wet > 0;
        late += frame >= begin && frame >= write;
        const float *wet = link->output + (frame & mask) * OUT_CHANNELS;
        if (core->wet == FADE_FRAMES) {
            for (int c = 0; c < OUT_CHANNELS; c++)
                out[c][i] = wet[c];
            continue;
        }
        float moved = (float)(i + 1) / (float)frames, share = (float)core->wet / FADE_FRAMES;
        const float *past = link->input + (dry_frame & mask) * IN_CHANNELS;
        bool sounds = dry_frame >= core->silent_before;
        for (int c = 0; c < OUT_CHANNELS; c++) {
            int feed = c / IN_CHANNELS;
            float level = core->dry_gain[feed] + (to[feed] - core->dry_gain[feed]) * moved;
            float dry = sounds ? level * past[c % IN_CHANNELS] : 0.0f;
            out[c][i] = core->wet > 0 ? dry + share * (wet[c] - dry) : dry;
        }
    }
    memcpy(core->dry_gain, to, sizeof core->dry_gain);
    if (late && load(link, SLOT_STATE) == STATE_READY)
        store(link, SLOT_LATE_FRAMES, load(link, SLOT_LATE_FRAMES) + late);
}

static void run_call(RtsepCore *core, const float *const in[], float *const out[], uint32_t frames,
                     const double *values, bool offline) {
    Link *link = core->link;
    int64_t start = load(link, SLOT_IN_WRITE);
    double taken[CONTROLS];
    for (int i = 0; i < CONTROLS; i++) {
        int64_t bits;
        taken[i] = accepted(i, values[i]);
        memcpy(&bits, &taken[i], sizeof bits);
        store(link, SLOT_VALUES + i, bits);
    }
    store(link, SLOT_OFFLINE, offline);
    bool first = start == 0;
    take_input(core, link, in, frames, start);
    if (offline)
        await_output(core, link, start + frames - link->lag + FADE_FRAMES);
    float to[FEEDS];
    dry_levels(taken, to);
    if (first) /* nothing has sounded yet: no fade */
        memcpy(core->dry_gain, to, sizeof to);
    give_output(core, link, out, frames, start, to, offline);
}

void rtsep_core_run(RtsepCore *core, const float *const in[IN_CHANNELS], float *const out[OUT_CHANNELS],
                    uint32_t frames, const double *values, bool offline) {
    take_next_link(core);
    if (offline && !core->was_offline)
        rtsep_core_begin(core, 0);
    core->was_offline = offline;
    for (uint32_t done = 0; done < frames;) {
        uint32_t count = frames - done < MAX_CALL_FRAMES ? frames - done : MAX_CALL_FRAMES;
        const float *from[IN_CHANNELS];
        float *to[OUT_CHANNELS];
        for (int c = 0; c < IN_CHANNELS; c++)
            from[c] = in[c] + done;
        for (int c = 0; c < OUT_CHANNELS; c++)
            to[c] = out[c] + done;
        run_call(core, from, to, count, values, offline);
        done += count;
    }
}
