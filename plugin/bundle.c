#include "bundle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef _WIN32
static const char READING[] = "r";
#else
static const char READING[] = "re"; /* not for processes that the host starts meanwhile */
#endif

static FILE *open_in(const char *bundle, const char *name) {
    size_t size = strlen(bundle) + strlen(name) + 2;
    char *path = malloc(size);
    if (!path)
        return NULL;
    snprintf(path, size, "%s/%s", bundle, name);
    FILE *file = fopen(path, READING);
    free(path);
    return file;
}

static bool read_line(FILE *file, char *line, int size) {
    if (!fgets(line, size, file))
        return false;
    line[strcspn(line, "\n")] = '\0';
    return true;
}

bool bundle_find_model(const char *bundle, const char *name, const char *sha256, int rate, ModelRow *found) {
    FILE *file = open_in(bundle, "models");
    char line[512];
    bool by_name = false;
    if (!file)
        return false;
    while (read_line(file, line, sizeof line)) {
        ModelRow row;
        if (sscanf(line, "%255[^\t]\t%64s\t%d\t%u\t%u", row.name, row.sha256, &row.rate, &row.max_hop, &row.delay) != 5 ||
            row.rate != rate)
            continue;
        bool same = sha256 && *sha256 && strcmp(row.sha256, sha256) == 0;
        if (same || (!by_name && (!name || strcmp(row.name, name) == 0))) {
            *found = row;
            by_name = true;
        }
        if (same)
            break;
    }
    fclose(file);
    return by_name;
}

int bundle_command(const char *bundle, char *text, size_t size, char *words[], int max_words) {
    FILE *file = open_in(bundle, "engine");
    int count = 0;
    size_t used = 0;
    while (file && count < max_words && used + 2 < size && read_line(file, text + used, (int)(size - used))) {
        if (!text[used])
            continue;
        words[count++] = text + used;
        used += strlen(text + used) + 1;
    }
    if (file)
        fclose(file);
    if (count == 0)
        words[count++] = "rtsep";
    return count;
}
