/* Memory that two processes share, and two signals from one to the other. */

#ifndef RTSEP_SHARED_H
#define RTSEP_SHARED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { INPUT_CAME = 0, OUTPUT_CAME = 1, SIGNALS = 2 };

typedef struct {
    char *bytes;
    size_t size;
    intptr_t handle; /* a descriptor above 3; on Windows a handle; 0: none */
    intptr_t signals[SIGNALS]; /* of Windows: handles; elsewhere they lie in the memory */
    char name[64]; /* `rtsep plugin-host --memory` takes it */
} Shared;

/* Make memory of `size` bytes, all zero, with its pages in place. Returns false without memory: then
   `shared_close` gives back what there is. */
bool shared_open(Shared *shared, size_t size);

void shared_close(Shared *shared);

/* Never waits. */
void shared_post(Shared *shared, int signal);

/* Wait for a post, a moment at most; further posts that are pending are taken at once. */
void shared_wait(Shared *shared, int signal);

/* Return `descriptor` under another number, above 3: those below are replaced in the engine process. Not on
   Windows. */
int out_of_the_way(int descriptor);

#endif
