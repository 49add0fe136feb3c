/* What the plugin needs of the system beside memory and processes: time and threads. */

#ifndef RTSEP_SYSTEM_H
#define RTSEP_SYSTEM_H

#include <stdbool.h>

typedef struct Thread Thread;

/* Start a thread that takes none of the host's signals. Returns NULL where there is none to be had. */
Thread *thread_start(void (*run)(void *argument), void *argument);

/* Wait until the thread has ended. */
void thread_join(Thread *thread);

/* Monotonic time in s. */
double clock_now(void);

/* Sleep. Not for the audio thread. */
void clock_sleep(double seconds);

#endif
