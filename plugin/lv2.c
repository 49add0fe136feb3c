/* The LV2 face of the core. Ports and their order: `rtsep/plugin/ttl.py`, which writes ports.h. */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lv2/atom/util.h>
#include <lv2/buf-size/buf-size.h>
#include <lv2/options/options.h>
#include <lv2/patch/patch.h>
#include <lv2/time/time.h>

#include "controls.h"
#include "lv2_plugin.h"

static void write_log(void *handle, bool error, const char *line) {
    Plugin *plugin = handle;
    if (plugin->log)
        plugin->log->printf(plugin->log->handle, error ? plugin->names.log_Error : plugin->names.log_Note,
                            "rtsep: %s\n", line);
    else
        fprintf(stderr, "rtsep: %s\n", line);
}

static void map_names(Names *names, const LV2_URID_Map *map) {
    const struct {
        LV2_URID *name;
        const char *uri;
    } all[] = {
        {&names->atom_Blank, LV2_ATOM__Blank},
        {&names->atom_Float, LV2_ATOM__Float},
        {&names->atom_Double, LV2_ATOM__Double},
        {&names->atom_Int, LV2_ATOM__Int},
        {&names->atom_Long, LV2_ATOM__Long},
        {&names->atom_Object, LV2_ATOM__Object},
        {&names->atom_Path, LV2_ATOM__Path},
        {&names->atom_String, LV2_ATOM__String},
        {&names->atom_URID, LV2_ATOM__URID},
        {&names->log_Error, LV2_LOG__Error},
        {&names->log_Note, LV2_LOG__Note},
        {&names->nominal_block, LV2_BUF_SIZE__nominalBlockLength},
        {&names->max_block, LV2_BUF_SIZE__maxBlockLength},
        {&names->patch_Get, LV2_PATCH__Get},
        {&names->patch_Set, LV2_PATCH__Set},
        {&names->patch_property, LV2_PATCH__property},
        {&names->patch_value, LV2_PATCH__value},
        {&names->time_Position, LV2_TIME__Position},
        {&names->time_frame, LV2_TIME__frame},
        {&names->time_speed, LV2_TIME__speed},
        {&names->model, PLUGIN_URI "#model"},
        {&names->model_file, PLUGIN_URI "#model_file"},
        {&names->sha256, PLUGIN_URI "#sha256"},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        *all[i].name = map->map(map->handle, all[i].uri);
}

/* Return the frames of a usual call by these options; 0: not said. */
static uint32_t block_of(const Names *names, const LV2_Options_Option *options) {
    uint32_t nominal = 0, max = 0;
    for (; options && (options->key || options->value); options++) {
        if (options->type != names->atom_Int || options->size != sizeof(int32_t) || !options->value)
            continue;
        int32_t value = *(const int32_t *)options->value;
        if (value > 0 && options->key == names->nominal_block)
            nominal = (uint32_t)value;
        if (value > 0 && options->key == names->max_block)
            max = (uint32_t)value;
    }
    return nominal ? nominal : max;
}

static LV2_Handle instantiate(const LV2_Descriptor *descriptor, double rate, const char *bundle,
                              const LV2_Feature *const *features) {
    (void)descriptor;
    const LV2_URID_Map *map = feature(features, LV2_URID__map);
    Plugin *plugin = calloc(1, sizeof *plugin);
    if (!plugin)
        return NULL;
    plugin->log = feature(features, LV2_LOG__log);
    if (!map) {
        fprintf(stderr, "rtsep: the host lacks " LV2_URID__map "; use another one\n");
        free(plugin);
        return NULL;
    }
    plugin->schedule = feature(features, LV2_WORKER__schedule);
    map_names(&plugin->names, map);
    lv2_atom_forge_init(&plugin->forge, (LV2_URID_Map *)map);
    atomic_flag_clear(&plugin->busy);
    uint32_t block = block_of(&plugin->names, feature(features, LV2_OPTIONS__options));
    plugin->core = rtsep_core_new(rate, block ? block : DEFAULT_BLOCK, bundle, NULL, NULL, write_log, plugin, true);
    if (!plugin->core) {
        write_log(plugin, true, "no memory");
        free(plugin);
        return NULL;
    }
    return plugin;
}

static void connect_port(LV2_Handle handle, uint32_t port, void *data) {
    if (port < PORTS)
        ((Plugin *)handle)->ports[port] = data;
}

static void activate(LV2_Handle handle) {
    Plugin *plugin = handle;
    rtsep_core_reset(plugin->core);
    transport_reset(&plugin->transport);
}

static double value_at(const Plugin *plugin, int port, double otherwise) {
    const float *value = plugin->ports[port];
    return value ? *value : otherwise;
}

static void write_value(const Plugin *plugin, int port, double value) {
    float *place = (float *)plugin->ports[port];
    if (place)
        *place = (float)value;
}

static bool number_of(const Names *names, const LV2_Atom *atom, double *number) {
    if (!atom)
        return false;
    if (atom->type == names->atom_Long)
        *number = (double)((const LV2_Atom_Long *)atom)->body;
    else if (atom->type == names->atom_Int)
        *number = ((const LV2_Atom_Int *)atom)->body;
    else if (atom->type == names->atom_Double)
        *number = ((const LV2_Atom_Double *)atom)->body;
    else if (atom->type == names->atom_Float)
        *number = ((const LV2_Atom_Float *)atom)->body;
    else
        return false;
    return true;
}

static void play(Plugin *plugin, uint32_t from, uint32_t to, const double *values, bool offline) {
    const float *in[IN_CHANNELS];
    float *out[OUT_CHANNELS];
    for (int c = 0; c < IN_CHANNELS; c++)
        in[c] = (const float *)plugin->ports[PORT_IN + c] + from;
    for (int c = 0; c < OUT_CHANNELS; c++)
        out[c] = (float *)plugin->ports[PORT_OUT + c] + from;
    uint32_t count = to - from;
    uint32_t silent = transport_advance(&plugin->transport, in, count, offline);
    if (silent < count) {
        if (silent > 0)
            rtsep_core_run(plugin->core, in, out, silent, values, offline);
        rtsep_core_begin(plugin->core, 0);
        for (int c = 0; c < IN_CHANNELS; c++)
            in[c] += silent;
        for (int c = 0; c < OUT_CHANNELS; c++)
            out[c] += silent;
        count -= silent;
    }
    if (count > 0)
        rtsep_core_run(plugin->core, in, out, count, values, offline);
}

/* Take a position of the host. Returns by how many frames a stream of a render begins before it; -1: none. */
static int64_t take_position(Plugin *plugin, const LV2_Atom_Object *object) {
    const Names *names = &plugin->names;
    const LV2_Atom *frame = NULL, *speed = NULL;
    lv2_atom_object_get(object, names->time_frame, &frame, names->time_speed, &speed, 0);
    double at, by = plugin->transport.speed;
    if (!number_of(names, frame, &at))
        return -1;
    number_of(names, speed, &by);
    return transport_place(&plugin->transport, (int64_t)at, by, rtsep_core_latency(plugin->core));
}

static void run(LV2_Handle handle, uint32_t frames) {
    Plugin *plugin = handle;
    const Names *names = &plugin->names;
    double values[CONTROLS];
    for (int i = 0; i < CONTROLS; i++)
        values[i] = value_at(plugin, PORT_CONTROLS + i, CONTROL_DEFAULT[i]);
    if (!(value_at(plugin, PORT_ENABLED, 1.0) > 0.5))
        values[BYPASS] = 1.0;
    bool offline = value_at(plugin, PORT_FREE_WHEEL, 0.0) > 0.5;
    uint32_t done = 0;
    const LV2_Atom_Sequence *events = plugin->ports[PORT_EVENTS];
    if (events) {
        LV2_ATOM_SEQUENCE_FOREACH (events, event) {
            const LV2_Atom_Object *object = (const LV2_Atom_Object *)&event->body;
            if (object->atom.type != names->atom_Object && object->atom.type != names->atom_Blank)
                continue;
            if (object->body.otype != names->time_Position) {
                model_message(plugin, object);
                continue;
            }
            if (event->time.frames > done && event->time.frames < frames) {
                play(plugin, done, (uint32_t)event->time.frames, values, offline);
                done = (uint32_t)event->time.frames;
            }
            int64_t ago = take_position(plugin, object);
            if (offline && ago >= 0)
                rtsep_core_begin(plugin->core, (uint32_t)ago);
        }
    }
    play(plugin, done, frames, values, offline);
    model_report(plugin);
    write_value(plugin, PORT_LATENCY, rtsep_core_latency(plugin->core));
    write_value(plugin, PORT_STATE, rtsep_core_state(plugin->core));
    write_value(plugin, PORT_LATE, (double)rtsep_core_late_frames(plugin->core));
}

static void cleanup(LV2_Handle handle) {
    Plugin *plugin = handle;
    rtsep_core_free(plugin->core);
    free(plugin);
}

/* --- options: the host's block length may change ----------------------------------------------------------- */

static uint32_t get_options(LV2_Handle handle, LV2_Options_Option *options) {
    (void)handle;
    (void)options;
    return LV2_OPTIONS_ERR_BAD_KEY;
}

static uint32_t set_options(LV2_Handle handle, const LV2_Options_Option *options) {
    Plugin *plugin = handle;
    uint32_t block = block_of(&plugin->names, options);
    if (!block)
        return LV2_OPTIONS_ERR_BAD_KEY;
    core_take(plugin);
    bool done = rtsep_core_set_block(plugin->core, block);
    core_give(plugin);
    return done ? LV2_OPTIONS_SUCCESS : LV2_OPTIONS_ERR_UNKNOWN;
}

static const void *extension_data(const char *uri) {
    static const LV2_Options_Interface options = {get_options, set_options};
    if (strcmp(uri, LV2_STATE__interface) == 0)
        return &MODEL_STATE;
    if (strcmp(uri, LV2_WORKER__interface) == 0)
        return &MODEL_WORKER;
    if (strcmp(uri, LV2_OPTIONS__interface) == 0)
        return &options;
    return NULL;
}

LV2_SYMBOL_EXPORT const LV2_Descriptor *lv2_descriptor(uint32_t index) {
    static const LV2_Descriptor descriptor = {
        PLUGIN_URI, instantiate, connect_port, activate, run, NULL, cleanup, extension_data,
    };
    return index == 0 ? &descriptor : NULL;
}
