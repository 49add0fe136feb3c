/* The files of the bundle that the plugin reads: `models` and `engine`. */

#ifndef RTSEP_BUNDLE_H
#define RTSEP_BUNDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A line of the file `models`: what a model adds in latency at one rate. */
typedef struct {
    char name[256];
    char sha256[65];
    int rate; /* Hz */
    uint32_t max_hop, delay; /* frames: of a hop, of the stream */
} ModelRow;

/* Find the row of this rate for `sha256`, else for `name`; the first model if that is NULL. */
bool bundle_find_model(const char *bundle, const char *name, const char *sha256, int rate, ModelRow *found);

/* Read the words of the engine's command, `max_words` at most; return how many. `text` holds them. */
int bundle_command(const char *bundle, char *text, size_t size, char *words[], int max_words);

#endif
