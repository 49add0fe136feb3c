/* One link: its memory, and the thread that starts the engine process and watches it. */

#include "link.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bundle.h"
#include "controls.h"
#include "engine_process.h"
#include "shared.h"
#include "system.h"

enum {
    TICK_MS = 200,
    MOST_WORDS = 32,
    LEAVE_MS = 3000, /* for an engine to end by itself */
    RETRY_MS = 250, /* longer after each failure, up to MAX_RETRY_MS */
    MAX_RETRY_MS = 5000
};

static const double QUICK_DEATH_S = 10.0;
static const double LATENCY_PATIENCE_S = 10.0;
static const uint32_t UNKNOWN_MAX_HOP = 512, UNKNOWN_DELAY = 512;

struct Watch {
    Link *link;
    LinkPlan plan;
    char *bundle;
    Shared shared;
    Process *process;
    Thread *thread;
};

void link_wake_engine(Link *link) { shared_post(&link->watch->shared, INPUT_CAME); }

void link_await_output(Link *link) { shared_wait(&link->watch->shared, OUTPUT_CAME); }

/* --- the engine process ------------------------------------------------------------------------------------- */

static void write_log(const struct Watch *watch, bool error, const char *line) {
    if (watch->plan.log)
        watch->plan.log(watch->plan.log_handle, error, line);
}

static int start_engine(struct Watch *watch) {
    char text[4096];
    char *words[MOST_WORDS + 10];
    int count = bundle_command(watch->bundle, text, sizeof text, words, MOST_WORDS);
    words[count++] = "plugin-host";
    words[count++] = "--memory";
    words[count++] = watch->shared.name;
    words[count++] = "--model";
    words[count++] = watch->link->model;
    if (*watch->link->sha256) {
        words[count++] = "--sha256";
        words[count++] = watch->link->sha256;
    }
    words[count] = NULL;
    return process_start(watch->process, words, &watch->shared);
}

/* Lines of the engine, "error ..." or "note ...", are passed on as they come. */
typedef struct {
    char text[2048];
    size_t used;
} Lines;

static void pass_on(struct Watch *watch, Lines *lines) {
    lines->text[lines->used] = '\0';
    char *line = lines->text, *end;
    while ((end = strchr(line, '\n')) != NULL) {
        *end = '\0';
        bool error = strncmp(line, "error ", 6) == 0, note = strncmp(line, "note ", 5) == 0;
        write_log(watch, error, line + (error ? 6 : note ? 5 : 0));
        line = end + 1;
    }
    lines->used -= (size_t)(line - lines->text);
    memmove(lines->text, line, lines->used);
    if (lines->used == sizeof lines->text - 1) /* a line beyond all measure */
        lines->used = 0;
}

/* Wait for up to `ms`, or without an end (-1), or until the engine ends; return whether it is time to leave. */
static bool wait_for(struct Watch *watch, int ms) {
    Lines lines = {.used = 0};
    double until = clock_now() + ms * 1e-3;
    for (;;) {
        double left = ms < 0 ? 1.0 : until - clock_now();
        int pause = left > TICK_MS * 1e-3 ? TICK_MS : left > 0 ? (int)(left * 1e3) + 1 : 0;
        size_t got;
        Happened what = process_wait(watch->process, pause, lines.text + lines.used,
                                     sizeof lines.text - 1 - lines.used, &got);
        if (watch->plan.tick)
            watch->plan.tick(watch->plan.owner, watch->link);
        if (what == MUST_LEAVE)
            return true;
        if (what == LINES_ENDED)
            return false;
        lines.used += got;
        pass_on(watch, &lines);
        if (ms >= 0 && clock_now() >= until)
            return false;
    }
}

static void set_state(Link *link, int state) {
    atomic_store_explicit(&link->slots[SLOT_STATE], state, memory_order_release);
}

static int state_of(const Link *link) {
    return (int)atomic_load_explicit(&link->slots[SLOT_STATE], memory_order_acquire);
}

static void watch_engine(void *argument) {
    struct Watch *watch = argument;
    Link *link = watch->link;
    int failures = 0;
    for (;;) {
        double began = clock_now();
        set_state(link, STATE_STARTING);
        int error = start_engine(watch);
        if (error == 0) {
            bool leaves = wait_for(watch, -1);
            process_end(watch->process, leaves ? LEAVE_MS : 1000);
            if (leaves)
                return;
        } else if (failures == 0) {
            char reason[256], line[512];
            process_reason(error, reason, sizeof reason);
            snprintf(line, sizeof line, "the engine cannot be started (%s): dry signal; run 'rtsep plugin install'",
                     reason);
            write_log(watch, true, line);
        }
        if (state_of(link) == STATE_REFUSED) {
            wait_for(watch, -1);
            return;
        }
        set_state(link, STATE_DOWN);
        failures = error || clock_now() - began < QUICK_DEATH_S ? failures + 1 : 1;
        atomic_store(&link->failures, failures);
        if (error == 0 && failures <= 3)
            write_log(watch, true, "the engine process has ended: dry signal until it is back");
        int pause = RETRY_MS * (failures - 1);
        if (wait_for(watch, pause < MAX_RETRY_MS ? pause : MAX_RETRY_MS))
            return;
    }
}

/* --- links -------------------------------------------------------------------------------------------------- */

static bool map_memory(Link *link, double rate, uint32_t latency) {
    int64_t frames = 1;
    while (frames < 2 * rate + latency + 2 * MAX_CALL_FRAMES)
        frames *= 2;
    if (!shared_open(&link->watch->shared,
                     RINGS_AT + (size_t)frames * (IN_CHANNELS + OUT_CHANNELS) * sizeof(float)))
        return false;
    char *memory = link->watch->shared.bytes;
    link->slots = (Slot *)memory;
    link->input = (float *)(memory + RINGS_AT);
    link->output = link->input + frames * IN_CHANNELS;
    link->ring_frames = frames;
    return true;
}

static void lay_out(Link *link, uint32_t max_hop, uint32_t delay) {
    /* An input frame may wait for its hop to fill and for the call's end; then the engine has a hop's time. */
    link->lag = (int64_t)link->block + 2 * (int64_t)max_hop - 1 + FADE_FRAMES;
    link->latency = (uint32_t)link->lag + delay;
    atomic_store(&link->slots[SLOT_LAG], link->lag);
}

/* Wait until the engine reports the latency that the model adds. */
static void await_latency(Link *link, struct Watch *watch) {
    double since = clock_now();
    while (!atomic_load(&link->slots[SLOT_MAX_HOP]) && state_of(link) != STATE_REFUSED &&
           state_of(link) != STATE_DOWN && clock_now() - since < LATENCY_PATIENCE_S)
        clock_sleep(5e-3);
    int64_t max_hop = atomic_load(&link->slots[SLOT_MAX_HOP]), delay = atomic_load(&link->slots[SLOT_DELAY]);
    int64_t room = link->ring_frames - 2 * MAX_CALL_FRAMES;
    if (max_hop > 0 && 2 * max_hop + delay + link->block + FADE_FRAMES < room) {
        lay_out(link, (uint32_t)max_hop, (uint32_t)delay);
        return;
    }
    write_log(watch, true, "the latency of the model is not known: it plays, if it plays, with a wrong one");
}

static char *copy_of(const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = malloc(size);
    return copy ? memcpy(copy, text, size) : NULL;
}

Link *link_new(const LinkPlan *plan) {
    Link *link = calloc(1, sizeof *link);
    struct Watch *watch = calloc(1, sizeof *watch);
    if (!link || !watch) {
        free(link);
        free(watch);
        return NULL;
    }
    ModelRow row;
    bool known = bundle_find_model(plan->bundle, plan->model, plan->sha256, (int)lround(plan->rate), &row);
    uint32_t max_hop = known ? row.max_hop : UNKNOWN_MAX_HOP, delay = known ? row.delay : UNKNOWN_DELAY;
    link->watch = watch;
    link->block = plan->block;
    const char *sha256 = plan->sha256 && *plan->sha256 ? plan->sha256 : known ? row.sha256 : "";
    link->model = copy_of(plan->model ? plan->model : known ? row.name : "live");
    link->sha256 = copy_of(sha256);
    watch->link = link;
    watch->plan = *plan;
    watch->bundle = copy_of(plan->bundle);
    watch->process = process_new();
    if (!link->model || !link->sha256 || !watch->bundle || !watch->process ||
        !map_memory(link, plan->rate, known ? 2 * max_hop + delay + plan->block : (uint32_t)(4 * plan->rate))) {
        link_free(link);
        return NULL;
    }
    atomic_store(&link->slots[SLOT_PROTOCOL], RTSEP_PROTOCOL);
    atomic_store(&link->slots[SLOT_RATE], lround(plan->rate));
    atomic_store(&link->slots[SLOT_RING_FRAMES], link->ring_frames);
    atomic_store(&link->slots[SLOT_BLOCK], link->block);
    atomic_store(&link->slots[SLOT_SPARE], FADE_FRAMES);
    atomic_store(&link->slots[SLOT_CONTROLS], CONTROLS);
    atomic_store(&link->slots[SLOT_NEXT_HOP_AT], 1);
    if (known) {
        atomic_store(&link->slots[SLOT_MAX_HOP], max_hop);
        atomic_store(&link->slots[SLOT_DELAY], delay);
    }
    lay_out(link, max_hop, delay);
    if (plan->watched) {
        watch->thread = thread_start(watch_engine, watch);
        if (!watch->thread) {
            link_free(link);
            return NULL;
        }
        if (!known)
            await_latency(link, watch);
    }
    return link;
}

void link_free(Link *link) {
    struct Watch *watch = link->watch;
    if (watch->thread) {
        process_leave(watch->process);
        thread_join(watch->thread);
    }
    if (watch->process)
        process_free(watch->process);
    shared_close(&watch->shared);
    free(watch->bundle);
    free(watch);
    free(link->model);
    free(link->sha256);
    free(link);
}
