/* The distinct values of a column, each with a code: an open-addressing hash table. The same as dictionary.py. */

#ifndef TRACKPARSE_DICTIONARY_H
#define TRACKPARSE_DICTIONARY_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "codes.h"
#include "compiler.h"
#include "isa.h"
#include "values.h"

#define CACHED_VALUES 1024 /* the table of fewer values stays in the cache */
/* Above LARGE_BYTES, memory for values is taken RESERVED_BYTES at once. That is too much for malloc to keep when it is
 * freed; what is not touched costs nothing, and growing in steps would leave holes behind. */
#define LARGE_BYTES ((size_t)2 << 20)
#define RESERVED_BYTES ((size_t)40 << 20)

/* Memory that grows. While it is lent, a Python object reads it: then it does not move, and growing makes a copy. */
typedef struct {
    void *start;
    size_t capacity; /* bytes */
    int lent;
} pile_t;

typedef struct {
    pile_t bytes;   /* the values, end to end */
    pile_t offsets; /* int32: value i stands between offsets i and i + 1 */
    size_t size, count;
    uint64_t *slots;   /* a value's tag above its code + 1; open addressing */
    size_t slot_count; /* a power of two */
    uint64_t seed;     /* of the hash, so that nobody can write a log whose values all collide */
} values_t;

static inline const uint8_t *value_bytes(const values_t *d)
{
    return d->bytes.start;
}

static inline const int32_t *value_offsets(const values_t *d)
{
    return d->offsets.start;
}

/* Make room for `size` bytes, of which the first `used` stay; 0 without memory. Memory that is lent is left to its
 * reader. */
static int grow_pile(pile_t *pile, size_t used, size_t size)
{
    void *start = pile->lent ? malloc(size) : realloc(pile->start, size);
    if (!start)
        return 0;
    if (pile->lent && used)
        memcpy(start, pile->start, used);
    *pile = (pile_t){start, size, 0};
    return 1;
}

static inline uint64_t word_of(const uint8_t *p)
{
    uint64_t word;
    memcpy(&word, p, 8);
    return word;
}

/* The same for fewer than 8 bytes: each of them takes part. */
static inline uint64_t short_word_of(const uint8_t *p, size_t n)
{
    uint32_t first, last;
    if (n < 4)
        return n ? (uint64_t)p[0] << 16 | (uint64_t)p[n / 2] << 8 | p[n - 1] : 0;
    memcpy(&first, p, 4);
    memcpy(&last, p + n - 4, 4);
    return (uint64_t)first << 32 | last;
}

/* A secret is mixed into each word before it is multiplied: without the secret nobody can tell which values collide. */
static uint64_t hash_bytes(uint64_t seed, const uint8_t *p, size_t n)
{
    uint64_t one = seed * 0x9E3779B97F4A7C15u + 0xD1B54A32D192ED03u, two = (one ^ one >> 29) * 0xBF58476D1CE4E5B9u;
    uint64_t h = seed ^ n, g = two;
    for (; n > 32; p += 32, n -= 32) {
        h = folded_product(word_of(p) ^ one, word_of(p + 8) ^ h);
        g = folded_product(word_of(p + 16) ^ two, word_of(p + 24) ^ g);
    }
    if (n > 16) {
        h = folded_product(word_of(p) ^ one, word_of(p + 8) ^ h);
        p += 16;
        n -= 16;
    }
    uint64_t first = n < 8 ? short_word_of(p, n) : word_of(p), last = n < 8 ? 0 : word_of(p + n - 8);
    h = folded_product(first ^ two, last ^ h);
    return folded_product(h ^ one, g);
}

/* The part of the hash that places a value in the table and tells most values apart without comparing their bytes. */
static inline uint32_t tag_of(const values_t *d, const uint8_t *p, size_t n)
{
    return (uint32_t)(hash_bytes(d->seed, p, n) >> 32);
}

static int grow_slots(values_t *d)
{
    size_t count = d->slot_count ? d->slot_count * 2 : 64;
    uint64_t *slots = calloc(count, sizeof *slots);
    if (!slots)
        return 0;
    for (size_t i = 0; i < d->slot_count; i++) {
        size_t at = (d->slots[i] >> 32) & (count - 1);
        while (slots[at])
            at = (at + 1) & (count - 1);
        slots[at] = d->slots[i];
    }
    free(d->slots);
    d->slots = slots;
    d->slot_count = count;
    return 1;
}

/* Make room for one more value of n bytes; 0, or NO_MEMORY or TOO_MANY_BYTES. */
static int grow_values(values_t *d, size_t n)
{
    if (n > (size_t)INT32_MAX - d->size)
        return TOO_MANY_BYTES;
    if (!d->bytes.start || d->bytes.capacity - d->size < n) {
        size_t capacity = (d->size + n) * 2 + 256;
        if (capacity > LARGE_BYTES && capacity < RESERVED_BYTES)
            capacity = RESERVED_BYTES;
        else if (capacity > RESERVED_BYTES && d->bytes.lent)
            /* The next copy will stand beside what is lent then: make few. */
            capacity = capacity > INT32_MAX / 2 ? INT32_MAX : capacity * 2;
        if (!grow_pile(&d->bytes, d->size, capacity))
            return NO_MEMORY;
    }
    size_t ends = (d->count + 2) * sizeof(int32_t);
    if (d->offsets.capacity < ends) {
        if (!grow_pile(&d->offsets, d->offsets.start ? ends - sizeof(int32_t) : 0, ends * 2 + 256))
            return NO_MEMORY;
        if (!d->count)
            *(int32_t *)d->offsets.start = 0;
    }
    return 0;
}

/* The code of the value with this tag, a new one if need be; or NO_MEMORY or TOO_MANY_BYTES. */
static int64_t code_of_tag(values_t *d, uint32_t tag, const uint8_t *p, size_t n)
{
    if (d->count * 2 >= d->slot_count && !grow_slots(d))
        return NO_MEMORY;
    size_t at = tag & (d->slot_count - 1);
    for (; d->slots[at]; at = (at + 1) & (d->slot_count - 1)) {
        if (d->slots[at] >> 32 != tag)
            continue;
        size_t code = (uint32_t)d->slots[at] - 1;
        const int32_t *ends = value_offsets(d) + code;
        if ((size_t)(ends[1] - ends[0]) == n && !memcmp(value_bytes(d) + ends[0], p, n))
            return (int64_t)code;
    }
    int failure = grow_values(d, n);
    if (failure)
        return failure;
    if (n)
        memcpy((uint8_t *)d->bytes.start + d->size, p, n);
    d->size += n;
    ((int32_t *)d->offsets.start)[++d->count] = (int32_t)d->size;
    d->slots[at] = (uint64_t)tag << 32 | (uint32_t)d->count;
    return (int64_t)d->count - 1;
}

#define CACHE_LINE 64
#define FETCHED_BYTES 512 /* of one value: a message with its payload has about 250 */

#ifdef __GNUC__
#define fetch_ahead(p) __builtin_prefetch(p)
#else
#define fetch_ahead(p) ((void)(p))
#endif

/* Where the value with this tag most likely stands, by its first slot only; NULL if not known. */
static inline const int32_t *likely_start(const values_t *d, uint32_t tag)
{
    uint64_t slot = d->slots[tag & (d->slot_count - 1)];
    return slot && slot >> 32 == tag ? value_offsets(d) + ((uint32_t)slot - 1) : NULL;
}

/* Ask for the memory of some values before it is needed: a table of many values is larger than the cache. */
static void fetch_values(const values_t *d, const uint32_t *tags, const size_t *sizes, size_t count)
{
    if (d->count < CACHED_VALUES)
        return;
    for (size_t i = 0; i < count; i++)
        fetch_ahead(d->slots + (tags[i] & (d->slot_count - 1)));
    for (size_t i = 0; i < count; i++)
        fetch_ahead(likely_start(d, tags[i]));
    for (size_t i = 0; i < count; i++) {
        const int32_t *start = likely_start(d, tags[i]);
        for (size_t at = 0; start && at < sizes[i] && at < FETCHED_BYTES; at += CACHE_LINE)
            fetch_ahead(value_bytes(d) + *start + at);
    }
}

#define GROUP 32 /* so many values are looked up together */

/* Fill the codes of `count` values, NULL_CODE where there is NULL in place of the value; 0, or NO_MEMORY or
 * TOO_MANY_BYTES. */
static int fill_group(values_t *d, const uint8_t *const *at, const size_t *sizes, size_t count, int32_t *codes)
{
    uint32_t tags[GROUP];
    for (size_t i = 0; i < count; i++)
        tags[i] = at[i] ? tag_of(d, at[i], sizes[i]) : 0;
    fetch_values(d, tags, sizes, count);
    for (size_t i = 0; i < count; i++) {
        int64_t code = at[i] ? code_of_tag(d, tags[i], at[i], sizes[i]) : NULL_CODE;
        if (code < 0 && at[i])
            return (int)code;
        codes[i] = (int32_t)code;
    }
    return 0;
}

/* Fill the codes of a column, NULL_CODE for a null; 0, or NO_MEMORY or TOO_MANY_BYTES. `scratch` holds at least all
 * values of a run and 64 bytes. */
static int fill_codes(values_t *d, const runs_t *runs, int empty_is_null, const isa_t *isa, int32_t *codes,
                      uint8_t *scratch)
{
    const uint8_t *at[GROUP];
    size_t sizes[GROUP];
    for (size_t k = 0; k < runs->count; k++) {
        const run_t *run = runs->run + k;
        if (run->field == NO_COLUMN) {
            for (size_t i = 0; i < run->records; i++)
                *codes++ = NULL_CODE;
            continue;
        }
        for (size_t first = 0; first < run->records; first += GROUP) {
            size_t count = run->records - first < GROUP ? run->records - first : GROUP;
            uint8_t *out = scratch;
            for (size_t i = 0; i < count; i++) {
                const uint32_t *row = row_of(run, first + i);
                span_t span = span_of(run, row);
                at[i] = run->data + span.first;
                sizes[i] = span.last - span.first;
                if (span.quoted && sizes[i]) {
                    sizes[i] = isa->unescape(out, at[i], sizes[i], dialect_of(row) == PHP);
                    at[i] = out;
                    out += sizes[i];
                }
                if (empty_is_null && !sizes[i])
                    at[i] = NULL;
            }
            int failure = fill_group(d, at, sizes, count, codes);
            if (failure)
                return failure;
            codes += count;
        }
    }
    return 0;
}

/* The same of a string array of `count` values. */
static int fill_codes_of_strings(values_t *d, size_t count, const uint8_t *validity, const int32_t *offsets,
                                 const uint8_t *data, int32_t *codes)
{
    const uint8_t *at[GROUP];
    size_t sizes[GROUP];
    for (size_t first = 0; first < count; first += GROUP) {
        size_t size = count - first < GROUP ? count - first : GROUP;
        for (size_t i = 0; i < size; i++) {
            size_t value = first + i;
            at[i] = !validity || validity[value / 8] >> value % 8 & 1 ? data + offsets[value] : NULL;
            sizes[i] = (size_t)(offsets[value + 1] - offsets[value]);
        }
        int failure = fill_group(d, at, sizes, size, codes + first);
        if (failure)
            return failure;
    }
    return 0;
}

#endif
