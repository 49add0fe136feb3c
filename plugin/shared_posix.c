/* Shared memory on Linux and macOS: a file without a name, inherited by the engine process. */

#define _GNU_SOURCE

#include <fcntl.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "layout.h"
#include "engine_process.h"
#include "shared.h"
#include "system.h"

int out_of_the_way(int descriptor) {
    int high = descriptor < 0 ? -1 : fcntl(descriptor, F_DUPFD_CLOEXEC, 10);
    if (descriptor >= 0)
        close(descriptor);
    return high;
}

#ifdef __APPLE__ /* no semaphores in shared memory: both sides look often */
static void make_signals(Shared *shared) { (void)shared; }

void shared_post(Shared *shared, int signal) {
    (void)shared;
    (void)signal;
}

void shared_wait(Shared *shared, int signal) {
    (void)shared;
    (void)signal;
    clock_sleep(200e-6);
}
#else
_Static_assert(sizeof(sem_t) <= SIGNAL_BYTES, "a semaphore has its place");

static sem_t *signal_of(Shared *shared, int signal) {
    return (sem_t *)(shared->bytes + SIGNALS_AT + signal * SIGNAL_BYTES);
}

static void make_signals(Shared *shared) {
    for (int i = 0; i < SIGNALS; i++)
        sem_init(signal_of(shared, i), 1, 0);
}

void shared_post(Shared *shared, int signal) { sem_post(signal_of(shared, signal)); }

/* It polls: sem_timedwait waits by the time of day, which may be set back. Only an export waits here. */
void shared_wait(Shared *shared, int signal) {
    for (int i = 0; i < 200 && sem_trywait(signal_of(shared, signal)) != 0; i++)
        clock_sleep(100e-6);
    while (sem_trywait(signal_of(shared, signal)) == 0) {
    }
}
#endif

static int open_memory(size_t size) {
#ifdef __linux__
    int descriptor = memfd_create("rtsep-plugin", MFD_CLOEXEC);
    if (descriptor < 0)
        return -1;
    if (posix_fallocate(descriptor, 0, (off_t)size) != 0) { /* touched later, a missing page would kill the host */
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
    if (ftruncate(descriptor, (off_t)size) != 0) {
        close(descriptor);
        return -1;
    }
#endif
    return out_of_the_way(descriptor);
}

bool shared_open(Shared *shared, size_t size) {
    memset(shared, 0, sizeof *shared);
    int descriptor = open_memory(size);
    if (descriptor < 0)
        return false;
    shared->handle = descriptor;
    char *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (bytes == MAP_FAILED)
        return false;
    memset(bytes, 0, size); /* here, not in the audio thread, its pages are made */
    mlock(bytes, size); /* if the system allows it */
    shared->bytes = bytes;
    shared->size = size;
    snprintf(shared->name, sizeof shared->name, "%d", MEMORY_FD);
    make_signals(shared);
    return true;
}

void shared_close(Shared *shared) {
    if (shared->bytes)
        munmap(shared->bytes, shared->size);
    if (shared->handle)
        close((int)shared->handle);
    shared->bytes = NULL;
    shared->handle = 0;
}
