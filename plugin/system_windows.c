/* Time and threads on Windows. Compiled by our tests where they find a compiler for Windows, never run. */

#include <windows.h>

#include <process.h>
#include <stdint.h>
#include <stdlib.h>

#include "system.h"

struct Thread {
    HANDLE handle;
    void (*run)(void *argument);
    void *argument;
};

static unsigned __stdcall run_thread(void *argument) {
    Thread *thread = argument;
    thread->run(thread->argument);
    return 0;
}

Thread *thread_start(void (*run)(void *argument), void *argument) {
    Thread *thread = malloc(sizeof *thread);
    if (!thread)
        return NULL;
    thread->run = run;
    thread->argument = argument;
    thread->handle = (HANDLE)_beginthreadex(NULL, 0, run_thread, thread, 0, NULL);
    if (!thread->handle) {
        free(thread);
        return NULL;
    }
    return thread;
}

void thread_join(Thread *thread) {
    WaitForSingleObject(thread->handle, INFINITE);
    CloseHandle(thread->handle);
    free(thread);
}

double clock_now(void) {
    LARGE_INTEGER ticks, rate;
    QueryPerformanceCounter(&ticks);
    QueryPerformanceFrequency(&rate);
    return (double)ticks.QuadPart / (double)rate.QuadPart;
}

void clock_sleep(double seconds) { Sleep((DWORD)(seconds * 1e3 + 0.5)); }
