#include "transport.h"

#include <string.h>

void transport_reset(Transport *transport) {
    memset(transport, 0, sizeof *transport);
    transport->sound_at = -1;
}

int64_t transport_place(Transport *t, int64_t frame, double speed, uint32_t latency) {
    bool rolled = t->placed && t->speed != 0.0, jumps = !t->placed || frame != t->frame;
    int64_t ago = -1;
    if (speed == 0.0) {
        bool moved = t->placed && !rolled && t->now > t->placed_at && frame == t->frame + (t->now - t->placed_at);
        t->moves = moved || (t->moves && !rolled && !jumps);
        if (rolled)
            t->sound_at = -1;
    } else if (!rolled || jumps) {
        int64_t early = latency < t->now - t->offline_since ? latency : t->now - t->offline_since;
        if (rolled || !t->moves)
            ago = 0;
        else if (t->sound_at < 0 || t->sound_at >= t->now - early)
            ago = early;
        t->moves = false;
        t->sound_at = -1;
    }
    t->frame = frame;
    t->speed = speed;
    t->placed = true;
    t->placed_at = t->now;
    return ago;
}

uint32_t transport_advance(Transport *t, const float *const in[2], uint32_t frames, bool offline) {
    uint32_t silent = frames;
    if (offline && !t->offline) {
        t->offline_since = t->now;
        t->sound_at = -1;
    }
    t->offline = offline;
    if (offline && t->placed && t->speed == 0.0 && t->sound_at < 0)
        for (silent = 0; silent < frames && in[0][silent] == 0.0f && in[1][silent] == 0.0f;)
            silent++;
    if (silent < frames)
        t->sound_at = t->now + silent;
    t->now += frames;
    if (t->speed != 0.0)
        t->frame += frames;
    return silent;
}
