/* A JACK client as plain as they come: copies its input to its output and counts what it misses.
 *
 *     cc -O2 plain_client.c -o plain_client -ldl && ./plain_client NAME
 *
 * Answers every line on standard input with its counts so far, and the longest time between two calls since
 * the last answer, as JSON; leaves at the end of the input. libjack is loaded at run time: no header of it is
 * needed. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static void *(*get_buffer)(void *port, uint32_t frames);
static uint32_t (*last_frame_time)(const void *client);
static void *client, *in, *out;
static volatile long calls, xruns, skipped;
static long long last_ns;
static long long longest_ns; /* swapped and raised atomically: two threads write it */
static uint32_t expected;

static long long now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static int process(uint32_t frames, void *unused) {
    long long now = now_ns(), gap = now - last_ns, longest = __atomic_load_n(&longest_ns, __ATOMIC_RELAXED);
    uint32_t frame = last_frame_time(client);
    if (calls > 0) {
        if (frame != expected) skipped++;
        while (gap > longest && !__atomic_compare_exchange_n(&longest_ns, &longest, gap, 0, __ATOMIC_RELAXED,
                                                             __ATOMIC_RELAXED)) {
        }
    }
    expected = frame + frames;
    last_ns = now;
    memcpy(get_buffer(out, frames), get_buffer(in, frames), frames * sizeof(float));
    calls++;
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
    get_buffer = dlsym(jack, "jack_port_get_buffer");
    last_frame_time = dlsym(jack, "jack_last_frame_time");
    client = client_open(argv[1], 1 /* JackNoStartServer */, NULL);
    if (!client) return 2;
    in = port_register(client, "in", "32 bit float mono audio", 1 /* JackPortIsInput */, 0);
    out = port_register(client, "out", "32 bit float mono audio", 2 /* JackPortIsOutput */, 0);
    set_process(client, process, NULL);
    set_xrun(client, on_xrun, NULL);
    if (activate(client) != 0) return 3;
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        long long longest = __atomic_exchange_n(&longest_ns, 0, __ATOMIC_RELAXED);
        printf("{\"calls\": %ld, \"xruns\": %ld, \"skipped\": %ld, \"gap_ms\": %.2f}\n", calls, xruns,
               skipped, longest / 1e6);
        fflush(stdout);
    }
    client_close(client);
    return 0;
}
