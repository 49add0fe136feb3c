/* A host that calls the plugin in a random order which LV2 allows, for valgrind and the sanitizers.

       random_host BUNDLE SEED STEPS face      by the LV2 face, an audio thread beside the host's main thread
       random_host BUNDLE SEED STEPS core      the core against an engine in this process

   It is linked with the plugin's sources. Ends with 0; with 1 and a line where a result is wrong. */

#define _GNU_SOURCE

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lv2/atom/forge.h>
#include <lv2/buf-size/buf-size.h>
#include <lv2/core/lv2.h>
#include <lv2/options/options.h>
#include <lv2/patch/patch.h>
#include <lv2/state/state.h>
#include <lv2/urid/urid.h>
#include <lv2/worker/worker.h>

#include "controls.h"
#include "link.h"
#include "ports.h"

enum { LONGEST = 8192, INSTANCES = 3, RATE = 48000 };

static _Atomic int failed;

static void fail(const char *what) {
    fprintf(stderr, "wrong: %s\n", what);
    failed = 1;
}

static unsigned next(unsigned *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* --- the host's side of LV2 -------------------------------------------------------------------------------- */

static char *uris[256];
static pthread_mutex_t uris_lock = PTHREAD_MUTEX_INITIALIZER;

static LV2_URID map_uri(LV2_URID_Map_Handle handle, const char *uri) {
    (void)handle;
    pthread_mutex_lock(&uris_lock);
    LV2_URID i = 1;
    while (uris[i] && strcmp(uris[i], uri) != 0)
        i++;
    if (!uris[i])
        uris[i] = strdup(uri);
    pthread_mutex_unlock(&uris_lock);
    return i;
}

static LV2_URID_Map map = {NULL, map_uri};

typedef struct {
    char text[2][80]; /* model, checksum */
} Saved;

static LV2_State_Status keep(LV2_State_Handle handle, uint32_t key, const void *value, size_t size, uint32_t type,
                             uint32_t flags) {
    (void)type;
    (void)flags;
    Saved *saved = handle;
    memcpy(saved->text[key == map_uri(NULL, PLUGIN_URI "#sha256")], value, size);
    return LV2_STATE_SUCCESS;
}

static const void *give(LV2_State_Handle handle, uint32_t key, size_t *size, uint32_t *type, uint32_t *flags) {
    Saved *saved = handle;
    const char *text = saved->text[key == map_uri(NULL, PLUGIN_URI "#sha256")];
    *size = strlen(text) + 1;
    *type = map_uri(NULL, LV2_ATOM__String);
    *flags = LV2_STATE_IS_POD;
    return *text ? text : NULL;
}

typedef struct {
    _Atomic int stage; /* 0: free, 1: asked, 2: answered */
    char text[80];
    uint32_t size;
} Work;

typedef struct {
    LV2_Handle handle;
    float sound[8][LONGEST];
    float values[PORTS];
    union {
        LV2_Atom_Sequence events;
        uint8_t event_bytes[1024];
    };
    union {
        LV2_Atom_Sequence notes;
        uint8_t note_bytes[4096];
    };
    Work work;
    LV2_Worker_Schedule working;
    bool active;
} Instance;

static LV2_Worker_Status ask(LV2_Worker_Schedule_Handle handle, uint32_t size, const void *data) {
    Work *work = &((Instance *)handle)->work;
    if (atomic_load(&work->stage) != 0 || size > sizeof work->text)
        return LV2_WORKER_ERR_NO_SPACE;
    memcpy(work->text, data, size);
    work->size = size;
    atomic_store(&work->stage, 1);
    return LV2_WORKER_SUCCESS;
}

static LV2_Worker_Status answer(LV2_Worker_Respond_Handle handle, uint32_t size, const void *data) {
    Work *work = handle;
    memcpy(work->text, data, size);
    work->size = size;
    return LV2_WORKER_SUCCESS;
}

static const LV2_Descriptor *plugin;
static const LV2_Worker_Interface *worker;
static const char *bundle;

static void connect_all(Instance *one, bool in_place) {
    for (uint32_t port = 0; port < PORTS; port++) {
        void *place = &one->values[port];
        if (port < 8)
            place = one->sound[in_place && port >= 2 ? port - 2 : port];
        else if (port == PORT_EVENTS)
            place = &one->events;
        else if (port == PORT_NOTIFY)
            place = &one->notes;
        plugin->connect_port(one->handle, port, place);
    }
}

static Instance *make(unsigned *seed) {
    Instance *one = calloc(1, sizeof *one);
    int32_t block = 1 + next(seed) % 2048;
    LV2_Options_Option options[] = {
        {LV2_OPTIONS_INSTANCE, 0, map_uri(NULL, LV2_BUF_SIZE__nominalBlockLength), sizeof block,
         map_uri(NULL, LV2_ATOM__Int), &block},
        {LV2_OPTIONS_INSTANCE, 0, 0, 0, 0, NULL},
    };
    LV2_Feature mapping = {LV2_URID__map, &map}, said = {LV2_OPTIONS__options, options};
    one->working = (LV2_Worker_Schedule){one, ask};
    LV2_Feature worker = {LV2_WORKER__schedule, &one->working};
    const LV2_Feature *features[] = {&mapping, &worker, next(seed) % 4 ? &said : NULL, NULL};
    one->handle = plugin->instantiate(plugin, RATE, bundle, features);
    if (!one->handle) {
        fail("no instance");
        exit(1);
    }
    one->events.atom.size = sizeof(LV2_Atom_Sequence_Body);
    one->values[PORT_ENABLED] = 1.0f;
    for (int i = 0; i < CONTROLS; i++)
        one->values[PORT_CONTROLS + i] = (float)CONTROL_DEFAULT[i];
    connect_all(one, false);
    return one;
}

static void drop(Instance *one) {
    if (one->active && plugin->deactivate)
        plugin->deactivate(one->handle);
    plugin->cleanup(one->handle);
    free(one);
}

typedef struct {
    Instance *instance;
    unsigned seed;
    int calls;
} Audio;

/* Write the messages of one call: none, or one that chooses a model, or asks which it is. */
static void write_events(Instance *one, unsigned *seed) {
    LV2_Atom_Forge forge;
    LV2_Atom_Forge_Frame all, object;
    const char *models[] = {"none", "other"};
    unsigned kind = next(seed) % 8, model = next(seed) % 2;
    lv2_atom_forge_init(&forge, &map);
    lv2_atom_forge_set_buffer(&forge, one->event_bytes, sizeof one->event_bytes);
    lv2_atom_forge_sequence_head(&forge, &all, 0);
    if (kind < 2) {
        lv2_atom_forge_frame_time(&forge, 0);
        lv2_atom_forge_object(&forge, &object, 0, map_uri(NULL, kind ? LV2_PATCH__Set : LV2_PATCH__Get));
        lv2_atom_forge_key(&forge, map_uri(NULL, LV2_PATCH__property));
        lv2_atom_forge_urid(&forge, map_uri(NULL, PLUGIN_URI "#model_file"));
        if (kind) {
            lv2_atom_forge_key(&forge, map_uri(NULL, LV2_PATCH__value));
            lv2_atom_forge_path(&forge, models[model], (uint32_t)strlen(models[model]));
        }
        lv2_atom_forge_pop(&forge, &object);
    }
    lv2_atom_forge_pop(&forge, &all);
    one->notes.atom.size = sizeof one->note_bytes - sizeof(LV2_Atom);
}

/* The audio thread: calls of any length, controls of any value. */
static void *play(void *argument) {
    Audio *audio = argument;
    Instance *one = audio->instance;
    for (int call = 0; call < audio->calls; call++) {
        uint32_t frames = next(&audio->seed) % 5 ? next(&audio->seed) % 600 : next(&audio->seed) % (LONGEST + 1);
        if (next(&audio->seed) % 8 == 0)
            connect_all(one, next(&audio->seed) % 2);
        int port = PORT_CONTROLS + (int)(next(&audio->seed) % CONTROLS);
        one->values[port] = next(&audio->seed) % 50 ? (float)(next(&audio->seed) % 300) / 100.0f - 1.0f : NAN;
        for (uint32_t i = 0; i < frames; i++)
            one->sound[0][i] = one->sound[1][i] = (float)(next(&audio->seed) % 2001) / 1000.0f - 1.0f;
        write_events(one, &audio->seed);
        if (atomic_load(&one->work.stage) == 2) {
            worker->work_response(one->handle, one->work.size, one->work.text);
            atomic_store(&one->work.stage, 0);
        }
        plugin->run(one->handle, frames);
        if (one->notes.atom.size > sizeof one->note_bytes)
            fail("more notes than there is room for");
        for (uint32_t i = 0; i < frames; i++)
            if (!isfinite(one->sound[2][i]))
                fail("a sample that is no number");
    }
    return NULL;
}

static void call_by_face(unsigned seed, int steps) {
    Instance *all[INSTANCES] = {NULL};
    plugin = lv2_descriptor(0);
    const LV2_State_Interface *state = plugin->extension_data(LV2_STATE__interface);
    const LV2_Options_Interface *options = plugin->extension_data(LV2_OPTIONS__interface);
    worker = plugin->extension_data(LV2_WORKER__interface);
    if (lv2_descriptor(1) || plugin->extension_data("urn:nothing"))
        fail("more than there is");
    for (int step = 0; step < steps; step++) {
        Instance **place = &all[next(&seed) % INSTANCES], *one = *place;
        if (!one) {
            *place = make(&seed);
            continue;
        }
        unsigned what = next(&seed) % 6;
        if (what == 0) {
            drop(one);
            *place = NULL;
        } else if (what == 1 && one->active) {
            if (plugin->deactivate)
                plugin->deactivate(one->handle);
            one->active = false;
        } else {
            if (!one->active)
                plugin->activate(one->handle);
            one->active = true;
            Audio audio = {one, next(&seed), 1 + (int)(next(&seed) % 40)};
            pthread_t thread;
            pthread_create(&thread, NULL, play, &audio);
            /* Meanwhile, as a host may: the state is thread-safe to restore, and the block changes. */
            Saved saved = {{""}};
            if (what == 2)
                state->save(one->handle, keep, &saved, 0, NULL);
            if (what == 3) {
                snprintf(saved.text[0], sizeof saved.text[0], "%s", next(&seed) % 2 ? "none" : "other");
                state->restore(one->handle, give, &saved, 0, NULL);
            }
            if (what == 4) {
                int32_t block = 1 + next(&seed) % 4096;
                LV2_Options_Option change[] = {
                    {LV2_OPTIONS_INSTANCE, 0, map_uri(NULL, LV2_BUF_SIZE__nominalBlockLength), sizeof block,
                     map_uri(NULL, LV2_ATOM__Int), &block},
                    {LV2_OPTIONS_INSTANCE, 0, 0, 0, 0, NULL},
                };
                if (options->set(one->handle, change) != LV2_OPTIONS_SUCCESS)
                    fail("the block is not taken");
            }
            if (atomic_load(&one->work.stage) == 1) {
                worker->work(one->handle, answer, &one->work, one->work.size, one->work.text);
                atomic_store(&one->work.stage, 2);
            }
            pthread_join(thread, NULL);
        }
    }
    for (int i = 0; i < INSTANCES; i++)
        if (all[i])
            drop(all[i]);
    for (int i = 0; i < 256; i++)
        free(uris[i]);
}

/* --- an engine in this process: hops of 256 frames, the input half as loud, without a delay ------------------ */

enum { HOP = 256 };

typedef struct {
    char *memory;
    _Atomic bool ends;
    unsigned seed;
} Engine;

static void *serve(void *argument) {
    Engine *engine = argument;
    Slot *slots = (Slot *)engine->memory;
    float *input = (float *)(engine->memory + RINGS_AT);
    int64_t frames = atomic_load(&slots[SLOT_RING_FRAMES]), stream = -1, read = 0;
    float *output = input + frames * IN_CHANNELS;
    while (!atomic_load(&engine->ends)) {
        int64_t written = atomic_load(&slots[SLOT_IN_WRITE]);
        if (atomic_load(&slots[SLOT_STREAMS]) != stream) {
            stream = atomic_load(&slots[SLOT_STREAMS]);
            read = atomic_load(&slots[SLOT_STREAM_START]);
            atomic_store(&slots[SLOT_OUT_BEGIN], read);
            atomic_store(&slots[SLOT_OUT_WRITE], read);
            atomic_store(&slots[SLOT_OUT_STREAMS], stream);
            atomic_store(&slots[SLOT_STATE], STATE_READY);
        }
        atomic_store(&slots[SLOT_NEXT_HOP_AT], read + HOP);
        if (written < read + HOP) {
            usleep(100);
            continue;
        }
        for (int64_t i = read; i < read + HOP; i++)
            for (int c = 0; c < OUT_CHANNELS; c++)
                output[(i & (frames - 1)) * OUT_CHANNELS + c] =
                    0.5f * input[(i & (frames - 1)) * IN_CHANNELS + c % IN_CHANNELS];
        read += HOP;
        atomic_store(&slots[SLOT_OUT_WRITE], read);
        if (next(&engine->seed) % 200 == 0)
            usleep(next(&engine->seed) % 3000); /* late at times */
    }
    return NULL;
}

static void call_core(unsigned seed, int steps) {
    static float in[IN_CHANNELS][LONGEST], out[OUT_CHANNELS][LONGEST];
    const float *from[IN_CHANNELS] = {in[0], in[1]};
    float *to[OUT_CHANNELS];
    for (int c = 0; c < OUT_CHANNELS; c++)
        to[c] = out[c];
    RtsepCore *core = rtsep_core_new(RATE, 512, bundle, NULL, NULL, NULL, NULL, false);
    Engine engine = {rtsep_core_memory(core), false, seed};
    pthread_t thread;
    pthread_create(&thread, NULL, serve, &engine);
    uint32_t latency = rtsep_core_latency(core);
    int64_t since = 0, clock = 0; /* of the first frame of the stream; frames so far */
    bool offline = false;
    /* The stream delay that the bundle notes, 256, is not this engine's, 0: its frame n sounds 256 frames early. */
    for (int step = 0; step < steps && !failed; step++) {
        uint32_t frames = next(&seed) % 3 ? next(&seed) % 700 : next(&seed) % (LONGEST + 1);
        if (next(&seed) % 16 == 0) {
            rtsep_core_reset(core);
            since = clock;
        }
        bool was = offline;
        offline = next(&seed) % 12 ? offline : !offline;
        if (offline && !was && frames)
            since = clock;
        for (uint32_t i = 0; i < frames; i++)
            in[0][i] = in[1][i] = (float)((clock + i) % 997) / 997.0f;
        rtsep_core_run(core, from, to, frames, CONTROL_DEFAULT, offline);
        if (rtsep_core_latency(core) != latency)
            fail("another latency");
        for (uint32_t i = 0; offline && i < frames; i++) {
            int64_t frame = clock + i - latency + 256;
            if (frame >= since && out[0][i] != 0.5f * ((float)(frame % 997) / 997.0f)) {
                fail("a frame of a render");
                break;
            }
        }
        clock += frames;
    }
    atomic_store(&engine.ends, true);
    pthread_join(thread, NULL);
    rtsep_core_free(core);
}

int main(int count, char **words) {
    if (count != 5)
        return 2;
    bundle = words[1];
    unsigned seed = (unsigned)atoi(words[2]);
    if (strcmp(words[4], "face") == 0)
        call_by_face(seed, atoi(words[3]));
    else
        call_core(seed, atoi(words[3]));
    return failed;
}
