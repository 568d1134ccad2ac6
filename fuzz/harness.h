/* What the C targets share: the kernel without Python, memory that ends where the data ends, memory that runs out. */

#ifndef TRACKPARSE_HARNESS_H
#define TRACKPARSE_HARNESS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How many requests for memory are granted; less than 0: all. */
static long granted = -1;

static int denied(void)
{
    return granted >= 0 && granted-- == 0;
}

static void *rationed_malloc(size_t size)
{
    return denied() ? NULL : malloc(size);
}

static void *rationed_calloc(size_t count, size_t size)
{
    return denied() ? NULL : calloc(count, size);
}

static void *rationed_realloc(void *old, size_t size)
{
    return denied() ? NULL : realloc(old, size);
}

#define malloc rationed_malloc
#define calloc rationed_calloc
#define realloc rationed_realloc
#include "dictionary.h"
#include "index.h"
#include "values.h"
#undef malloc
#undef calloc
#undef realloc

/* With a message, where an assertion would be compiled out. */
#define CHECK(claim, ...)                                                                                              \
    do {                                                                                                               \
        if (!(claim)) {                                                                                                \
            fprintf(stderr, "%s:%d: not so: %s: ", __FILE__, __LINE__, #claim);                                        \
            fprintf(stderr, __VA_ARGS__);                                                                              \
            fprintf(stderr, "\n");                                                                                     \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* A copy with nothing behind it: reading one byte more is a fault that AddressSanitizer sees. */
static uint8_t *exact_copy(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    CHECK(copy, "no memory");
    if (size)
        memcpy(copy, data, size);
    return copy;
}

/* The first bytes of an input choose, the rest is data. */
typedef struct {
    const uint8_t *at, *end;
} knobs_t;

static uint32_t knob(knobs_t *k, uint32_t below)
{
    uint32_t value = 0;
    for (uint32_t seen = 1; seen < below && k->at < k->end; seen <<= 8)
        value = value << 8 | *k->at++;
    return below ? value % below : 0;
}

#endif
