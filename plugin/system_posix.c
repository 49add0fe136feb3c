/* Time and threads on Linux and macOS. */

#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "system.h"

struct Thread {
    pthread_t id;
    void (*run)(void *argument);
    void *argument;
};

static void *run_thread(void *argument) {
    Thread *thread = argument;
    thread->run(thread->argument);
    return NULL;
}

Thread *thread_start(void (*run)(void *argument), void *argument) {
    Thread *thread = malloc(sizeof *thread);
    sigset_t all, before;
    if (!thread)
        return NULL;
    thread->run = run;
    thread->argument = argument;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* the new thread inherits the mask */
    int error = pthread_create(&thread->id, NULL, run_thread, thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) {
        free(thread);
        return NULL;
    }
    return thread;
}

void thread_join(Thread *thread) {
    pthread_join(thread->id, NULL);
    free(thread);
}

double clock_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void clock_sleep(double seconds) {
    struct timespec time = {.tv_sec = (time_t)seconds};
    time.tv_nsec = (long)((seconds - (double)time.tv_sec) * 1e9);
    nanosleep(&time, NULL);
}
