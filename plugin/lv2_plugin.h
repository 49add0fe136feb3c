/* One instance behind the LV2 face, as its files share it. */

#ifndef RTSEP_LV2_PLUGIN_H
#define RTSEP_LV2_PLUGIN_H

#include <stdatomic.h>
#include <string.h>

#include <lv2/atom/atom.h>
#include <lv2/atom/forge.h>
#include <lv2/core/lv2.h>
#include <lv2/log/log.h>
#include <lv2/state/state.h>
#include <lv2/urid/urid.h>
#include <lv2/worker/worker.h>

#include "core.h"
#include "ports.h"
#include "transport.h"

typedef struct {
    LV2_URID atom_Blank, atom_Float, atom_Double, atom_Int, atom_Long, atom_Object, atom_Path, atom_String, atom_URID;
    LV2_URID log_Error, log_Note;
    LV2_URID nominal_block, max_block;
    LV2_URID patch_Get, patch_Set, patch_property, patch_value;
    LV2_URID time_Position, time_frame, time_speed;
    LV2_URID model, model_file, sha256;
} Names;

enum { MAX_NAME = 4096 }; /* of a model, or its path, with the byte that ends it */

typedef struct {
    RtsepCore *core;
    Names names;
    const LV2_Log_Log *log;
    const LV2_Worker_Schedule *schedule; /* NULL: the host has none */
    const void *ports[PORTS];
    Transport transport;

    atomic_flag busy; /* a thread that is not the audio thread uses the core */
    atomic_bool changed; /* the model, by another way than a message */

    /* Of the audio thread. */
    LV2_Atom_Forge forge;
    char reported[MAX_NAME]; /* the model, as last reported to the host */
    bool tells;
    bool tells_file; /* the next report names the model file, too, though there is none */
} Plugin;

/* Return what the host calls this, or NULL. */
static inline void *feature(const LV2_Feature *const *features, const char *uri) {
    for (; features && *features; features++)
        if (strcmp((*features)->URI, uri) == 0)
            return (*features)->data;
    return NULL;
}

/* Take the core for a thread that is not the audio thread, and give it back. */
void core_take(Plugin *plugin);
void core_give(Plugin *plugin);

/* --- the model: lv2_model.c ------------------------------------------------------------------------------- */

extern const LV2_State_Interface MODEL_STATE;
extern const LV2_Worker_Interface MODEL_WORKER;

/* In the audio thread: take a message of the host, if it is about the model. */
void model_message(Plugin *plugin, const LV2_Atom_Object *object);

/* In the audio thread, at the end of a call: report the chosen model to the host, if it has changed. */
void model_report(Plugin *plugin);

#endif
