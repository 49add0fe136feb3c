/* Shared memory on Linux and macOS: a file without a name, inherited by the engine process. */

#define _GNU_SOURCE

#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#endif

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

#ifdef __linux__ /* futexes, as in rtsep/realtime/wake_linux.py */
static _Atomic int32_t *signal_of(Shared *shared, int signal) {
    return (_Atomic int32_t *)(shared->bytes + SIGNALS_AT + signal * SIGNAL_BYTES);
}

void shared_post(Shared *shared, int signal) {
    atomic_store(signal_of(shared, signal), 1);
    syscall(SYS_futex, signal_of(shared, signal), FUTEX_WAKE, 1, NULL, NULL, 0);
}

void shared_wait(Shared *shared, int signal) {
    struct timespec patience = {.tv_nsec = 20 * 1000 * 1000};
    if (atomic_exchange(signal_of(shared, signal), 0) != 0)
        return;
    syscall(SYS_futex, signal_of(shared, signal), FUTEX_WAIT, 0, &patience, NULL, 0);
    atomic_exchange(signal_of(shared, signal), 0);
}
#else /* no such words in shared memory: both sides look often */
void shared_post(Shared *shared, int signal) {
    (void)shared;
    (void)signal;
}

void shared_wait(Shared *shared, int signal) {
    (void)shared;
    (void)signal;
    clock_sleep(200e-6);
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
