/* Shared memory on Windows: a mapping and kernel semaphores by name. Compiled by our tests where they find a
   compiler for Windows, never run. */

#include <windows.h>

#include <stdio.h>
#include <string.h>

#include "shared.h"

bool shared_open(Shared *shared, size_t size) {
    static volatile LONG number;
    memset(shared, 0, sizeof *shared);
    char base[40], name[64];
    snprintf(base, sizeof base, "rtsep-plugin-%lu-%ld", (unsigned long)GetCurrentProcessId(),
             (long)InterlockedIncrement(&number));
    snprintf(name, sizeof name, "Local\\%s", base);
    HANDLE mapping = CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, (DWORD)((uint64_t)size >> 32),
                                        (DWORD)size, name);
    if (!mapping)
        return false;
    shared->handle = (intptr_t)mapping;
    if (GetLastError() == ERROR_ALREADY_EXISTS)
        return false;
    shared->bytes = MapViewOfFile(mapping, FILE_MAP_ALL_ACCESS, 0, 0, size);
    if (!shared->bytes)
        return false;
    shared->size = size;
    memset(shared->bytes, 0, size); /* here, not in the audio thread, its pages are made */
    VirtualLock(shared->bytes, size); /* if the system allows it */
    for (int i = 0; i < SIGNALS; i++) {
        snprintf(name, sizeof name, "Local\\%s-%d", base, i);
        HANDLE signal = CreateSemaphoreA(NULL, 0, 0x7fffffff, name);
        if (!signal)
            return false;
        shared->signals[i] = (intptr_t)signal;
    }
    snprintf(shared->name, sizeof shared->name, "%s:%llu", base, (unsigned long long)size);
    return true;
}

void shared_close(Shared *shared) {
    if (shared->bytes)
        UnmapViewOfFile(shared->bytes);
    if (shared->handle)
        CloseHandle((HANDLE)shared->handle);
    for (int i = 0; i < SIGNALS; i++)
        if (shared->signals[i])
            CloseHandle((HANDLE)shared->signals[i]);
    memset(shared, 0, sizeof *shared);
}

void shared_post(Shared *shared, int signal) { ReleaseSemaphore((HANDLE)shared->signals[signal], 1, NULL); }

void shared_wait(Shared *shared, int signal) {
    HANDLE handle = (HANDLE)shared->signals[signal];
    if (WaitForSingleObject(handle, 20) == WAIT_OBJECT_0)
        while (WaitForSingleObject(handle, 0) == WAIT_OBJECT_0) {
        }
}
