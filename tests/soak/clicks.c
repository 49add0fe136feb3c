/* Two JACK clients in one program: one plays clicks over soft noise, the other measures when they come back.
 *
 *     cc -O2 clicks.c -o clicks -ldl && ./clicks NAME
 *
 * NAME-out plays on its port "out" and sends MIDI on "midi"; NAME-in listens on "in". They are two, as a client
 * that hears itself closes a loop, which the server opens by a delay. Both note the server's frame number, so
 * the delay is read off, not fitted. Lines on standard input, each answered by one line of JSON:
 *
 *     (empty)              what was counted so far; least and most delay since the last such answer (-1: none)
 *     connect FROM TO      connect two ports; {"code": 0} where they are connected
 *     period FRAMES        ask the server for another period
 *     midi COUNT           send so many control changes, as many a cycle as there is room for
 *
 * Leaves at the end of the input. libjack is loaded at run time: no header of it is needed. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOW = 20000, DISTANCE = 24000, JITTER = 1024, MIDI_AT_ONCE = 64 };

static const float CLICK = 0.5f, NOISE = 0.0005f, HEARD = 0.1f;

static void *(*get_buffer)(void *port, uint32_t frames);
static uint32_t (*last_frame_time)(const void *client);
static void (*midi_clear)(void *buffer);
static int (*midi_write)(void *buffer, uint32_t time, const unsigned char *data, size_t size);
static void *player, *recorder, *out, *midi, *in;

static volatile uint32_t sent_at;          /* frame of the last click */
static volatile long sent, midi_left, midi_sent;
static volatile long heard, missing, discarded, calls, xruns, skipped;
static volatile long least = -1, most = -1, last_delay = -1, frames_now;

static uint32_t chance = 12345;

static uint32_t draw(void) {
    chance = chance * 1664525u + 1013904223u;
    return chance >> 8;
}

static int play(uint32_t frames, void *unused) {
    static uint32_t due;
    uint32_t now = last_frame_time(player);
    float *buffer = get_buffer(out, frames);
    void *notes = get_buffer(midi, frames);
    for (uint32_t k = 0; k < frames; k++) buffer[k] = NOISE * ((float)(draw() & 0xFFFF) / 32768.0f - 1.0f);
    if (sent == 0 && due == 0) due = now + DISTANCE;
    uint32_t ahead = due - now;
    if (ahead > 0x80000000u || ahead > 4 * DISTANCE) { /* the server's clock has jumped over it */
        due = now + DISTANCE;
    } else if (ahead < frames) {
        buffer[ahead] = CLICK;
        sent_at = due;
        __atomic_store_n(&sent, sent + 1, __ATOMIC_RELEASE);
        due += DISTANCE + draw() % JITTER;
    }
    midi_clear(notes);
    for (uint32_t k = 0; k < MIDI_AT_ONCE && midi_left > 0; k++) {
        unsigned char message[3] = {0xB0, 1, (unsigned char)(midi_sent & 0x7F)};
        if (midi_write(notes, k * frames / MIDI_AT_ONCE, message, 3) != 0) break;
        midi_left--;
        midi_sent++;
    }
    return 0;
}

static int listen(uint32_t frames, void *unused) {
    static uint32_t expected, start;
    static long following = 0, peak_delay;
    static int open = 0;
    static float peak;
    uint32_t now = last_frame_time(recorder);
    const float *buffer = get_buffer(in, frames);
    if (calls > 0 && now != expected) {
        skipped++;
        if (open) discarded++, open = 0; /* frames are missing: it says nothing */
    }
    expected = now + frames;
    calls++;
    frames_now = frames;
    long newest = __atomic_load_n(&sent, __ATOMIC_ACQUIRE);
    if (newest != following) {
        if (open) discarded++;
        following = newest, start = sent_at, peak = 0.0f, peak_delay = -1, open = 1;
    }
    for (uint32_t k = 0; open && k < frames; k++) {
        int32_t delay = (int32_t)(now + k - start);
        float level = buffer[k] < 0 ? -buffer[k] : buffer[k];
        if (delay < 0) continue;
        if (level > peak) peak = level, peak_delay = delay;
        if (delay < WINDOW) continue;
        open = 0;
        if (peak < HEARD) {
            missing++;
        } else {
            heard++;
            last_delay = peak_delay;
            if (least < 0 || peak_delay < least) least = peak_delay;
            if (peak_delay > most) most = peak_delay;
        }
    }
    return 0;
}

static int on_xrun(void *unused) {
    xruns++;
    return 0;
}

int main(int argc, char **argv) {
    void *jack = dlopen("libjack.so.0", RTLD_NOW);
    if (!jack || argc != 2) return 1;
    void *(*client_open)(const char *, int, int *, ...) = dlsym(jack, "jack_client_open");
    void *(*port_register)(void *, const char *, const char *, unsigned long, unsigned long) =
        dlsym(jack, "jack_port_register");
    int (*set_process)(void *, int (*)(uint32_t, void *), void *) = dlsym(jack, "jack_set_process_callback");
    int (*set_xrun)(void *, int (*)(void *), void *) = dlsym(jack, "jack_set_xrun_callback");
    int (*activate)(void *) = dlsym(jack, "jack_activate");
    int (*client_close)(void *) = dlsym(jack, "jack_client_close");
    int (*join)(void *, const char *, const char *) = dlsym(jack, "jack_connect");
    int (*set_period)(void *, uint32_t) = dlsym(jack, "jack_set_buffer_size");
    get_buffer = dlsym(jack, "jack_port_get_buffer");
    last_frame_time = dlsym(jack, "jack_last_frame_time");
    midi_clear = dlsym(jack, "jack_midi_clear_buffer");
    midi_write = dlsym(jack, "jack_midi_event_write");
    char name[64], line[512], from[200], to[200];
    snprintf(name, sizeof name, "%s-out", argv[1]);
    player = client_open(name, 1 /* JackNoStartServer */, NULL);
    snprintf(name, sizeof name, "%s-in", argv[1]);
    recorder = client_open(name, 1, NULL);
    if (!player || !recorder) return 2;
    out = port_register(player, "out", "32 bit float mono audio", 2 /* JackPortIsOutput */, 0);
    midi = port_register(player, "midi", "8 bit raw midi", 2, 0);
    in = port_register(recorder, "in", "32 bit float mono audio", 1 /* JackPortIsInput */, 0);
    if (!out || !midi || !in) return 3;
    set_process(player, play, NULL);
    set_process(recorder, listen, NULL);
    set_xrun(recorder, on_xrun, NULL);
    if (activate(player) != 0 || activate(recorder) != 0) return 4;
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "connect %199s %199s", from, to) == 2) {
            int code = join(recorder, from, to);
            printf("{\"code\": %d}\n", code == 17 /* EEXIST */ ? 0 : code);
        } else if (strncmp(line, "period ", 7) == 0) {
            printf("{\"code\": %d}\n", set_period(recorder, (uint32_t)atoi(line + 7)));
        } else if (strncmp(line, "midi ", 5) == 0) {
            midi_left = atol(line + 5);
            printf("{\"code\": 0}\n");
        } else {
            long low = __atomic_exchange_n(&least, -1, __ATOMIC_RELAXED);
            long high = __atomic_exchange_n(&most, -1, __ATOMIC_RELAXED);
            printf("{\"calls\": %ld, \"xruns\": %ld, \"skipped\": %ld, \"clicks\": %ld, \"heard\": %ld, "
                   "\"missing\": %ld, \"discarded\": %ld, \"least\": %ld, \"most\": %ld, \"delay\": %ld, "
                   "\"frames\": %ld, \"midi\": %ld}\n",
                   calls, xruns, skipped, sent, heard, missing, discarded, low, high, last_delay, frames_now,
                   midi_sent);
        }
        fflush(stdout);
    }
    client_close(player);
    client_close(recorder);
    return 0;
}
