/* Links on Linux and macOS: a file without a name, inherited by the engine process; pipes that end with the host. */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "controls.h"
#include "link.h"

extern char **environ;

enum {
    MEMORY_FD = 3, /* as the engine process has it */
    TICK_MS = 200,
    MOST_WORDS = 32,
    LEAVE_MS = 3000, /* for an engine to end by itself */
    RETRY_MS = 250, /* longer after each failure, up to RETRY_MOST_MS */
    RETRY_MOST_MS = 5000
};

static const double QUICK_DEATH_S = 10.0;
static const double LATENCY_PATIENCE_S = 10.0;
static const uint32_t UNKNOWN_MOST = 512, UNKNOWN_DELAY = 512;

struct Watch {
    Link *link;
    LinkPlan plan;
    char *bundle;
    size_t bytes;
    int memory; /* descriptor */
    int leave[2]; /* a pipe: written to once, at the end */
    pthread_t thread;
    bool has_thread;
};

double link_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* --- signals between the processes -------------------------------------------------------------------------- */

static sem_t *signal_of(Link *link, int number) {
    return (sem_t *)((char *)link->slots + SIGNALS_AT + number * SIGNAL_BYTES);
}

#ifdef __APPLE__ /* no semaphores in shared memory: both sides look often */
static void make_signals(Link *link) { (void)link; }
void link_wake_engine(Link *link) { (void)link; }
void link_await_output(Link *link) {
    (void)link;
    usleep(200);
}
#else
_Static_assert(sizeof(sem_t) <= SIGNAL_BYTES, "a semaphore has its place");

static void make_signals(Link *link) {
    sem_init(signal_of(link, 0), 1, 0);
    sem_init(signal_of(link, 1), 1, 0);
}

void link_wake_engine(Link *link) { sem_post(signal_of(link, 0)); }

void link_await_output(Link *link) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 20 * 1000 * 1000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec += 1;
    }
    if (sem_timedwait(signal_of(link, 1), &until) == 0)
        while (sem_trywait(signal_of(link, 1)) == 0) {
        }
}
#endif

/* --- the bundle's files ------------------------------------------------------------------------------------- */

static FILE *open_in(const char *bundle, const char *name) {
    size_t size = strlen(bundle) + strlen(name) + 2;
    char *path = malloc(size);
    if (!path)
        return NULL;
    snprintf(path, size, "%s/%s", bundle, name);
    FILE *file = fopen(path, "re");
    free(path);
    return file;
}

static bool read_line(FILE *file, char *line, int size) {
    if (!fgets(line, size, file))
        return false;
    line[strcspn(line, "\n")] = '\0';
    return true;
}

/* A line of the file `models`: what a model adds in latency at one rate. */
typedef struct {
    char name[256];
    char sha256[65];
    int rate;
    uint32_t most, delay;
} Row;

/* Find the row of this rate for `sha256`, else for `name`; the first model if that is NULL. */
static bool find_row(const char *bundle, const char *name, const char *sha256, int rate, Row *found) {
    FILE *file = open_in(bundle, "models");
    char line[512];
    bool by_name = false;
    if (!file)
        return false;
    while (read_line(file, line, sizeof line)) {
        Row row;
        if (sscanf(line, "%255[^\t]\t%64s\t%d\t%u\t%u", row.name, row.sha256, &row.rate, &row.most, &row.delay) != 5 ||
            row.rate != rate)
            continue;
        bool same = sha256 && *sha256 && strcmp(row.sha256, sha256) == 0;
        if (same || (!by_name && (!name || strcmp(row.name, name) == 0))) {
            *found = row;
            by_name = true;
        }
        if (same)
            break;
    }
    fclose(file);
    return by_name;
}

/* --- the engine process ------------------------------------------------------------------------------------- */

typedef struct {
    pid_t pid;
    int input; /* closed at the end of the host, in whatever way: then the engine ends */
    int lines; /* what it has to say */
} Engine;

static void say(const struct Watch *watch, bool error, const char *line) {
    if (watch->plan.log)
        watch->plan.log(watch->plan.log_handle, error, line);
}

/* Return `descriptor` under a number of its own: never 0 to 3, which those of the engine process replace. */
static int out_of_the_way(int descriptor) {
    int high = descriptor < 0 ? -1 : fcntl(descriptor, F_DUPFD_CLOEXEC, 10);
    if (descriptor >= 0)
        close(descriptor);
    return high;
}

static void close_pipe(int ends[2]) {
    for (int i = 0; i < 2; i++)
        if (ends[i] >= 0)
            close(ends[i]);
    ends[0] = ends[1] = -1;
}

static bool make_pipe(int ends[2]) {
#ifdef __linux__
    if (pipe2(ends, O_CLOEXEC) != 0)
        ends[0] = ends[1] = -1;
#else
    if (pipe(ends) != 0)
        ends[0] = ends[1] = -1;
#endif
    ends[0] = out_of_the_way(ends[0]);
    ends[1] = out_of_the_way(ends[1]);
    if (ends[0] >= 0 && ends[1] >= 0)
        return true;
    close_pipe(ends);
    return false;
}

/* Read the words of the command, one a line; return how many. `text` holds them. */
static int read_command(const char *bundle, char *text, size_t size, char *words[]) {
    FILE *file = open_in(bundle, "engine");
    int count = 0;
    size_t used = 0;
    while (file && count < MOST_WORDS && used + 2 < size && read_line(file, text + used, (int)(size - used))) {
        if (!text[used])
            continue;
        words[count++] = text + used;
        used += strlen(text + used) + 1;
    }
    if (file)
        fclose(file);
    if (count == 0)
        words[count++] = "rtsep";
    return count;
}

static int spawn(struct Watch *watch, Engine *engine) {
    char text[4096], memory[16];
    char *words[MOST_WORDS + 10];
    int count = read_command(watch->bundle, text, sizeof text, words);
    snprintf(memory, sizeof memory, "%d", MEMORY_FD);
    words[count++] = "plugin-host";
    words[count++] = "--memory";
    words[count++] = memory;
    words[count++] = "--model";
    words[count++] = watch->link->model;
    if (*watch->link->sha256) {
        words[count++] = "--sha256";
        words[count++] = watch->link->sha256;
    }
    words[count] = NULL;

    int input[2], lines[2];
    if (!make_pipe(input))
        return EMFILE;
    if (!make_pipe(lines)) {
        close_pipe(input);
        return EMFILE;
    }
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, watch->memory, MEMORY_FD);
    posix_spawn_file_actions_adddup2(&files, input[0], 0);
    posix_spawn_file_actions_adddup2(&files, lines[1], 1);
    posix_spawnattr_init(&how);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setsigdefault(&how, &all);
    posix_spawnattr_setpgroup(&how, 0); /* Ctrl-C in a terminal is for the host */
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    int error = posix_spawnp(&engine->pid, words[0], &files, &how, words, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&how);
    if (error) {
        close_pipe(input);
        close_pipe(lines);
        return error;
    }
    close(input[0]);
    close(lines[1]);
    engine->input = input[1];
    engine->lines = lines[0];
    return 0;
}

/* Lines of the engine, "error ..." or "note ...", are passed on as they come. */
typedef struct {
    char text[2048];
    size_t used;
} Lines;

/* Pass on what has come; return false at the end. */
static bool pass_on(struct Watch *watch, int descriptor, Lines *lines) {
    ssize_t got = read(descriptor, lines->text + lines->used, sizeof lines->text - 1 - lines->used);
    if (got < 0)
        return errno == EINTR || errno == EAGAIN;
    if (got == 0)
        return false;
    lines->used += (size_t)got;
    lines->text[lines->used] = '\0';
    char *line = lines->text, *end;
    while ((end = strchr(line, '\n')) != NULL) {
        *end = '\0';
        bool error = strncmp(line, "error ", 6) == 0, note = strncmp(line, "note ", 5) == 0;
        say(watch, error, line + (error ? 6 : note ? 5 : 0));
        line = end + 1;
    }
    lines->used -= (size_t)(line - lines->text);
    memmove(lines->text, line, lines->used);
    if (lines->used == sizeof lines->text - 1) /* a line beyond all measure */
        lines->used = 0;
    return true;
}

/* Wait for up to `ms`, or without an end; return whether it is time to leave. Passes on lines, if `descriptor`
   is one, and returns with `*ended` set if they end. */
static bool wait_for(struct Watch *watch, int ms, int descriptor, Lines *lines, bool *ended) {
    double until = link_clock() + ms * 1e-3;
    for (;;) {
        struct pollfd at[2] = {{.fd = watch->leave[0], .events = POLLIN}, {.fd = descriptor, .events = POLLIN}};
        double left = ms < 0 ? 1.0 : until - link_clock();
        int pause = left > TICK_MS * 1e-3 ? TICK_MS : left > 0 ? (int)(left * 1e3) + 1 : 0;
        int ready = poll(at, descriptor >= 0 ? 2 : 1, pause);
        if (watch->plan.tick)
            watch->plan.tick(watch->plan.owner, watch->link);
        if (ready > 0 && at[0].revents)
            return true;
        if (ready > 0 && descriptor >= 0 && at[1].revents && !pass_on(watch, descriptor, lines)) {
            *ended = true;
            return false;
        }
        if (ms >= 0 && link_clock() >= until)
            return false;
    }
}

/* Let the engine end, or end it; return its status, -1 where the host has taken that. */
static int end_engine(const Engine *engine, int patience_ms) {
    int status = -1;
    close(engine->input);
    for (int waited = 0;; waited += 5) {
        pid_t ended = waitpid(engine->pid, &status, WNOHANG);
        if (ended == engine->pid || (ended < 0 && errno != EINTR))
            break;
        if (waited == patience_ms / 5 * 5)
            kill(engine->pid, SIGKILL);
        usleep(5000);
    }
    close(engine->lines);
    return status;
}

static void set_state(Link *link, int state) {
    atomic_store_explicit(&link->slots[SLOT_STATE], state, memory_order_release);
}

static int state_of(const Link *link) {
    return (int)atomic_load_explicit(&link->slots[SLOT_STATE], memory_order_acquire);
}

static void *watch_engine(void *argument) {
    struct Watch *watch = argument;
    Link *link = watch->link;
    int failures = 0;
    for (;;) {
        Engine engine;
        Lines lines = {.used = 0};
        bool leaves = false, ended = false;
        double began = link_clock();
        set_state(link, STATE_STARTING);
        int error = spawn(watch, &engine);
        if (error == 0) {
            leaves = wait_for(watch, -1, engine.lines, &lines, &ended);
            end_engine(&engine, leaves ? LEAVE_MS : 1000);
            if (leaves)
                return NULL;
        } else if (failures == 0) {
            char line[512];
            snprintf(line, sizeof line, "the engine cannot be started (%s): dry signal; run 'rtsep plugin install'",
                     strerror(error));
            say(watch, true, line);
        }
        if (state_of(link) == STATE_REFUSED) {
            wait_for(watch, -1, -1, NULL, NULL);
            return NULL;
        }
        set_state(link, STATE_DOWN);
        failures = error || link_clock() - began < QUICK_DEATH_S ? failures + 1 : 1;
        atomic_store(&link->failures, failures);
        if (error == 0 && failures <= 3)
            say(watch, true, "the engine process has ended: dry signal until it is back");
        int pause = RETRY_MS * (failures - 1);
        if (wait_for(watch, pause < RETRY_MOST_MS ? pause : RETRY_MOST_MS, -1, NULL, NULL))
            return NULL;
    }
}

/* --- links -------------------------------------------------------------------------------------------------- */

static int open_memory(size_t bytes) {
#ifdef __linux__
    int descriptor = memfd_create("rtsep-plugin", MFD_CLOEXEC);
    if (descriptor < 0)
        return -1;
    if (posix_fallocate(descriptor, 0, (off_t)bytes) != 0) { /* touched later, a missing page would kill the host */
        close(descriptor);
        return -1;
    }
#else
    char name[64];
    static _Atomic unsigned number;
    snprintf(name, sizeof name, "/rtsep-%d-%u", (int)getpid(), number++);
    int descriptor = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (descriptor < 0)
        return -1;
    shm_unlink(name);
    fcntl(descriptor, F_SETFD, FD_CLOEXEC);
    if (ftruncate(descriptor, (off_t)bytes) != 0) {
        close(descriptor);
        return -1;
    }
#endif
    return out_of_the_way(descriptor);
}

static bool map_memory(Link *link, struct Watch *watch, double rate, uint32_t latency) {
    int64_t frames = 1;
    while (frames < 2 * rate + latency + 2 * LONGEST_CALL)
        frames *= 2;
    watch->bytes = RINGS_AT + (size_t)frames * (IN_CHANNELS + OUT_CHANNELS) * sizeof(float);
    watch->memory = open_memory(watch->bytes);
    if (watch->memory < 0)
        return false;
    char *memory = mmap(NULL, watch->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, watch->memory, 0);
    if (memory == MAP_FAILED)
        return false;
    memset(memory, 0, watch->bytes); /* here, not in the audio thread, its pages are made */
    mlock(memory, watch->bytes); /* if the system allows it */
    link->slots = (Slot *)memory;
    link->input = (float *)(memory + RINGS_AT);
    link->output = link->input + frames * IN_CHANNELS;
    link->ring_frames = frames;
    return true;
}

static void lay_out(Link *link, uint32_t most, uint32_t delay) {
    /* An input frame may wait for its hop to fill and for the call's end; then the engine has a hop's time. */
    link->lag = (int64_t)link->block + 2 * (int64_t)most - 1 + FADE_FRAMES;
    link->latency = (uint32_t)link->lag + delay;
    atomic_store(&link->slots[SLOT_LAG], link->lag);
}

/* Wait for the engine to tell what the model adds in latency. */
static void await_latency(Link *link, struct Watch *watch) {
    double since = link_clock();
    while (!atomic_load(&link->slots[SLOT_MOST]) && state_of(link) != STATE_REFUSED &&
           state_of(link) != STATE_DOWN && link_clock() - since < LATENCY_PATIENCE_S)
        usleep(5000);
    int64_t most = atomic_load(&link->slots[SLOT_MOST]), delay = atomic_load(&link->slots[SLOT_DELAY]);
    int64_t room = link->ring_frames - 2 * LONGEST_CALL;
    if (most > 0 && 2 * most + delay + link->block + FADE_FRAMES < room) {
        lay_out(link, (uint32_t)most, (uint32_t)delay);
        return;
    }
    say(watch, true, "the latency of the model is not known: it plays, if it plays, with a wrong one");
}

Link *link_new(const LinkPlan *plan) {
    Link *link = calloc(1, sizeof *link);
    struct Watch *watch = calloc(1, sizeof *watch);
    if (!link || !watch) {
        free(link);
        free(watch);
        return NULL;
    }
    Row row;
    bool known = find_row(plan->bundle, plan->model, plan->sha256, (int)lround(plan->rate), &row);
    uint32_t most = known ? row.most : UNKNOWN_MOST, delay = known ? row.delay : UNKNOWN_DELAY;
    link->watch = watch;
    link->block = plan->block;
    const char *sha256 = plan->sha256 && *plan->sha256 ? plan->sha256 : known ? row.sha256 : "";
    link->model = strdup(plan->model ? plan->model : known ? row.name : "live");
    link->sha256 = strdup(sha256);
    watch->link = link;
    watch->plan = *plan;
    watch->bundle = strdup(plan->bundle);
    watch->memory = watch->leave[0] = watch->leave[1] = -1;
    if (!link->model || !link->sha256 || !watch->bundle || !make_pipe(watch->leave) ||
        !map_memory(link, watch, plan->rate, known ? 2 * most + delay + plan->block : (uint32_t)(4 * plan->rate))) {
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
        atomic_store(&link->slots[SLOT_MOST], most);
        atomic_store(&link->slots[SLOT_DELAY], delay);
    }
    make_signals(link);
    lay_out(link, most, delay);
    if (plan->watched) {
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before); /* the host's signals are for its own threads */
        watch->has_thread = pthread_create(&watch->thread, NULL, watch_engine, watch) == 0;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (!watch->has_thread) {
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
    if (watch->has_thread) {
        while (write(watch->leave[1], "", 1) < 0 && errno == EINTR) {
        }
        pthread_join(watch->thread, NULL);
    }
    close_pipe(watch->leave);
    if (link->slots)
        munmap(link->slots, watch->bytes);
    if (watch->memory >= 0)
        close(watch->memory);
    free(watch->bundle);
    free(watch);
    free(link->model);
    free(link->sha256);
    free(link);
}
