/* The model of an instance: chosen by the host's file chooser or a name, kept with the project.

   Messages come to the audio thread, which passes them to the host's worker: to change the model takes memory, and
   time. The worker's answer comes back to the audio thread, which tells the host. */

#include <stdio.h>
#include <string.h>

#include <lv2/atom/util.h>

#include "lv2_plugin.h"
#include "system.h"

void core_take(Plugin *plugin) {
    while (atomic_flag_test_and_set(&plugin->busy))
        clock_sleep(1e-3);
}

void core_give(Plugin *plugin) { atomic_flag_clear(&plugin->busy); }

static bool is_a_path(const char *model) { return strchr(model, '/') || strchr(model, '\\'); }

/* --- messages: the audio thread ---------------------------------------------------------------------------- */

void model_message(Plugin *plugin, const LV2_Atom_Object *object) {
    const Names *names = &plugin->names;
    const LV2_Atom *property = NULL, *value = NULL;
    if (object->body.otype != names->patch_Get && object->body.otype != names->patch_Set)
        return;
    lv2_atom_object_get(object, names->patch_property, &property, names->patch_value, &value, 0);
    LV2_URID about = property && property->type == names->atom_URID ? ((const LV2_Atom_URID *)property)->body : 0;
    bool ours = about == names->model || about == names->model_file;
    if (object->body.otype == names->patch_Get) {
        if (ours || !property) { /* without a property: all */
            plugin->tells_file = true;
            atomic_store(&plugin->changed, true);
        }
        return;
    }
    if (!ours || !value || (value->type != names->atom_Path && value->type != names->atom_String))
        return;
    const char *text = LV2_ATOM_BODY_CONST(value);
    if (plugin->schedule && value->size > 1 && value->size <= MAX_NAME && text[value->size - 1] == '\0')
        plugin->schedule->schedule_work(plugin->schedule->handle, value->size, text);
}

static void report(Plugin *plugin, LV2_URID about, LV2_URID type, const char *text) {
    LV2_Atom_Forge *forge = &plugin->forge;
    LV2_Atom_Forge_Frame frame;
    lv2_atom_forge_frame_time(forge, 0);
    lv2_atom_forge_object(forge, &frame, 0, plugin->names.patch_Set);
    lv2_atom_forge_key(forge, plugin->names.patch_property);
    lv2_atom_forge_urid(forge, about);
    lv2_atom_forge_key(forge, plugin->names.patch_value);
    lv2_atom_forge_typed_string(forge, type, text, (uint32_t)strlen(text));
    lv2_atom_forge_pop(forge, &frame);
}

void model_report(Plugin *plugin) {
    LV2_Atom_Sequence *out = (LV2_Atom_Sequence *)plugin->ports[PORT_NOTIFY];
    if (plugin->schedule && atomic_load_explicit(&plugin->changed, memory_order_relaxed) &&
        plugin->schedule->schedule_work(plugin->schedule->handle, 1, "") == LV2_WORKER_SUCCESS)
        atomic_store(&plugin->changed, false);
    if (!out)
        return;
    LV2_Atom_Forge *forge = &plugin->forge;
    LV2_Atom_Forge_Frame all;
    size_t room = sizeof out->atom + out->atom.size; /* until it is written: what the host has room for */
    lv2_atom_forge_set_buffer(forge, (uint8_t *)out, room);
    lv2_atom_forge_sequence_head(forge, &all, 0);
    if (plugin->tells && room >= 2 * strlen(plugin->reported) + 512) {
        bool file = is_a_path(plugin->reported);
        plugin->tells = false;
        report(plugin, plugin->names.model, plugin->names.atom_String, plugin->reported);
        /* Ardour 7 stores a path without a lock while other threads read it: no message without news. */
        if (file || plugin->tells_file)
            report(plugin, plugin->names.model_file, plugin->names.atom_Path, file ? plugin->reported : "");
        plugin->tells_file = file;
    }
    lv2_atom_forge_pop(forge, &all);
}

/* --- the worker --------------------------------------------------------------------------------------------- */

/* `data` is the model to take, or "" to tell which one it is. */
static LV2_Worker_Status work(LV2_Handle handle, LV2_Worker_Respond_Function respond,
                              LV2_Worker_Respond_Handle to, uint32_t size, const void *data) {
    Plugin *plugin = handle;
    char now[MAX_NAME];
    core_take(plugin);
    bool done = size <= 1 || rtsep_core_set_model(plugin->core, data, NULL);
    snprintf(now, sizeof now, "%s", rtsep_core_model(plugin->core));
    core_give(plugin);
    respond(to, (uint32_t)strlen(now) + 1, now);
    return done ? LV2_WORKER_SUCCESS : LV2_WORKER_ERR_UNKNOWN;
}

static LV2_Worker_Status take_answer(LV2_Handle handle, uint32_t size, const void *data) {
    Plugin *plugin = handle;
    if (size > sizeof plugin->reported)
        return LV2_WORKER_ERR_NO_SPACE;
    memcpy(plugin->reported, data, size);
    plugin->tells = true;
    return LV2_WORKER_SUCCESS;
}

const LV2_Worker_Interface MODEL_WORKER = {work, take_answer, NULL};

/* --- state: the model; the host keeps the controls ---------------------------------------------------------- */

static LV2_State_Status save_model(Plugin *plugin, LV2_State_Store_Function store, LV2_State_Handle state,
                                   const LV2_Feature *const *features) {
    const Names *names = &plugin->names;
    const char *model = rtsep_core_model(plugin->core);
    const uint32_t how = LV2_STATE_IS_POD | LV2_STATE_IS_PORTABLE;
    const LV2_State_Map_Path *paths = feature(features, LV2_STATE__mapPath);
    if (!paths || !is_a_path(model))
        return store(state, names->model, model, strlen(model) + 1, names->atom_String, how);
    char *kept = paths->abstract_path(paths->handle, model);
    if (!kept)
        return LV2_STATE_ERR_UNKNOWN;
    LV2_State_Status status = store(state, names->model_file, kept, strlen(kept) + 1, names->atom_Path, how);
    const LV2_State_Free_Path *freeing = feature(features, LV2_STATE__freePath);
    if (freeing)
        freeing->free_path(freeing->handle, kept);
    return status;
}

static LV2_State_Status save(LV2_Handle handle, LV2_State_Store_Function store, LV2_State_Handle state,
                             uint32_t flags, const LV2_Feature *const *features) {
    (void)flags;
    Plugin *plugin = handle;
    core_take(plugin);
    const char *sha256 = rtsep_core_sha256(plugin->core);
    LV2_State_Status status = save_model(plugin, store, state, features);
    if (status == LV2_STATE_SUCCESS && *sha256)
        status = store(state, plugin->names.sha256, sha256, strlen(sha256) + 1, plugin->names.atom_String,
                       LV2_STATE_IS_POD | LV2_STATE_IS_PORTABLE);
    core_give(plugin);
    return status;
}

static const char *text_of(LV2_State_Retrieve_Function retrieve, LV2_State_Handle state, LV2_URID key,
                           LV2_URID wanted) {
    size_t size = 0;
    uint32_t type = 0, how = 0;
    const char *text = retrieve(state, key, &size, &type, &how);
    return text && type == wanted && size > 1 && text[size - 1] == '\0' ? text : NULL;
}

static LV2_State_Status restore(LV2_Handle handle, LV2_State_Retrieve_Function retrieve, LV2_State_Handle state,
                                uint32_t flags, const LV2_Feature *const *features) {
    (void)flags;
    Plugin *plugin = handle;
    const Names *names = &plugin->names;
    const LV2_State_Map_Path *paths = feature(features, LV2_STATE__mapPath);
    const LV2_State_Free_Path *freeing = feature(features, LV2_STATE__freePath);
    const char *model = text_of(retrieve, state, names->model_file, names->atom_Path);
    char *whole = model && paths ? paths->absolute_path(paths->handle, model) : NULL;
    if (whole)
        model = whole;
    else if (!model)
        model = text_of(retrieve, state, names->model, names->atom_String);
    if (!model)
        return LV2_STATE_SUCCESS; /* a preset of controls alone */
    const char *sha256 = text_of(retrieve, state, names->sha256, names->atom_String);
    core_take(plugin);
    bool done = rtsep_core_set_model(plugin->core, model, sha256);
    core_give(plugin);
    atomic_store(&plugin->changed, true);
    if (whole && freeing)
        freeing->free_path(freeing->handle, whole);
    return done ? LV2_STATE_SUCCESS : LV2_STATE_ERR_UNKNOWN;
}

const LV2_State_Interface MODEL_STATE = {save, restore};
