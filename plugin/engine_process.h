/* One engine process at a time: its start, its lines, its end. All but `process_leave` is for one thread. */

#ifndef RTSEP_ENGINE_PROCESS_H
#define RTSEP_ENGINE_PROCESS_H

#include <stddef.h>

#include "shared.h"

enum { MEMORY_FD = 3 }; /* the shared memory, as the engine process has it; not on Windows */

typedef struct Process Process;

/* Returns NULL without memory or descriptors. */
Process *process_new(void);

/* No process may be running. */
void process_free(Process *process);

/* Start `words[0]` with its arguments. The end of its standard input is the end of the host, in whatever way.
   Returns 0, or an error for `process_reason`. */
int process_start(Process *process, char *const words[], const Shared *memory);

/* Write why a process did not start. */
void process_reason(int error, char *text, size_t size);

typedef enum {
    TIME_IS_UP,
    MUST_LEAVE, /* `process_leave` was called */
    LINES_CAME, /* and were read */
    LINES_ENDED, /* so has the process, or soon */
} Happened;

/* Wait for up to `ms`. Reads up to `room` bytes of what the process, if one is running, has written into `text`;
   `*got` says how many. */
Happened process_wait(Process *process, int ms, char *text, size_t room, size_t *got);

/* From any thread: let all waiting end, for good. */
void process_leave(Process *process);

/* Let the process end, or end it after `patience_ms`. */
void process_end(Process *process, int patience_ms);

#endif
