/* Values of fields: unescaped, and as the buffers of Arrow columns. The same as values.py. */

#ifndef TRACKPARSE_VALUES_H
#define TRACKPARSE_VALUES_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "codes.h"
#include "grammar.h"
#include "isa.h"

/* One column of one segment. */
typedef struct {
    const uint8_t *data; /* the block */
    size_t size;
    const uint32_t *rows; /* its field table */
    size_t records;
    uint32_t width;
    int32_t field; /* or NO_COLUMN: then there is no field table */
    size_t bytes;  /* of the column as it stands in the log: no value is longer */
} run_t;

/* A column: its runs, and their sums. */
typedef struct {
    run_t *run;
    size_t count;
    size_t records;
    size_t bytes;
} runs_t;

static inline const uint32_t *row_of(const run_t *run, size_t record)
{
    return run->rows + record * ((size_t)run->width + 1);
}

static inline span_t span_of(const run_t *run, const uint32_t *row)
{
    return field_inside(run->data, row[0] & START_MASK, row + 1, run->width, (uint32_t)run->field);
}

static inline int dialect_of(const uint32_t *row)
{
    return (int)(row[0] >> DIALECT_SHIFT);
}

/* Whether all fields of the column lie in the block, so that nothing is read behind it, whatever table comes in. Sums
 * up the column's bytes. */
static int check_run(run_t *run)
{
    uint32_t size = (uint32_t)run->size, bad = run->size > INT32_MAX;
    uint64_t bytes = 0;
    for (size_t i = 0; run->field != NO_COLUMN && i < run->records; i++) {
        const uint32_t *row = row_of(run, i);
        uint32_t first = run->field ? row[run->field] + 1 : row[0] & START_MASK;
        uint32_t last = row[run->field + 1];
        bad |= (first > last) | (last > size);
        bytes += last - first;
    }
    run->bytes = (size_t)bytes;
    return !bad;
}

/* How many records, from the first on, have `size` bytes of the log together; `*bytes` is set to how many bytes exactly.
 * No more than `records`, even if they have fewer bytes. */
static size_t records_in(const uint32_t *row, size_t records, size_t width, int64_t size, int64_t *bytes)
{
    size_t count = 0;
    for (*bytes = 0; count < records && *bytes < size; count++, row += width + 1)
        *bytes += (int64_t)row[width] + 1 - (int64_t)(row[0] & START_MASK);
    return count;
}

/* The bytes of the longest value, by the offsets of a column. */
static int64_t longest(const int32_t *offsets, size_t count)
{
    int64_t most = 0;
    for (size_t i = 1; i < count; i++) {
        int64_t size = (int64_t)offsets[i] - offsets[i - 1];
        most = size > most ? size : most;
    }
    return most;
}

/* Arrow's validity bitmap. */
typedef struct {
    uint8_t *bits;
    size_t nulls;
} validity_t;

static inline void set_null(validity_t *v, size_t record)
{
    v->bits[record / 8] &= (uint8_t)~(1 << record % 8);
    v->nulls++;
}

/* A bitmap without nulls; 0 without memory. */
static int new_validity(validity_t *v, size_t records)
{
    v->bits = malloc(records / 8 + 1);
    v->nulls = 0;
    if (!v->bits)
        return 0;
    memset(v->bits, 0xFF, records / 8 + 1);
    if (records % 8)
        v->bits[records / 8] = (uint8_t)((1 << records % 8) - 1);
    return 1;
}

/* Copy a value. Most values are short: 32 bytes copied at once, whatever the length, cost a fifth of a call to
 * memcpy. `out` holds at least n + 64 bytes; `left` bytes may be read at p. */
static inline void copy_value(uint8_t *out, const uint8_t *p, size_t n, size_t left)
{
    if (n <= 32 && left >= 32)
        memcpy(out, p, 32);
    else
        memcpy(out, p, n);
}

/* Fill the offsets and the data of a string column. */
static void fill_strings(const runs_t *runs, int empty_is_null, const isa_t *isa, int32_t *offsets, uint8_t *out,
                         validity_t *validity)
{
    uint8_t *start = out;
    size_t record = 0;
    *offsets++ = 0;
    for (size_t k = 0; k < runs->count; k++) {
        const run_t *run = runs->run + k;
        for (size_t i = 0; i < run->records; i++, record++) {
            if (run->field == NO_COLUMN) {
                set_null(validity, record);
            } else {
                const uint32_t *row = row_of(run, i);
                span_t span = span_of(run, row);
                size_t size = span.last - span.first;
                if (span.quoted && size) {
                    out += isa->unescape(out, run->data + span.first, size, dialect_of(row) == PHP);
                } else if (size) {
                    copy_value(out, run->data + span.first, size, run->size - span.first);
                    out += size;
                } else if (empty_is_null) {
                    set_null(validity, record);
                }
            }
            *offsets++ = (int32_t)(out - start);
        }
    }
}

#define INLINE_BYTES 12 /* a view holds values of up to this many bytes itself */

/* Arrow's view of a string. */
typedef struct {
    int32_t size;
    union {
        uint8_t inlined[INLINE_BYTES];
        struct {
            uint8_t prefix[4];
            int32_t buffer, offset;
        } far;
    };
} view_t;

/* The bytes of all quoted values: no more than these have to be unescaped. */
static size_t quoted_bytes(const runs_t *runs)
{
    size_t bytes = 0;
    for (size_t k = 0; k < runs->count; k++) {
        const run_t *run = runs->run + k;
        for (size_t i = 0; run->field != NO_COLUMN && i < run->records; i++) {
            span_t span = span_of(run, row_of(run, i));
            bytes += span.quoted ? span.last - span.first : 0;
        }
    }
    return bytes;
}

/* Fill the views of a string_view column, and the unescaped values that they refer to; returns the bytes of these. */
static size_t fill_views(const runs_t *runs, int empty_is_null, const isa_t *isa, view_t *view, uint8_t *unescaped,
                         validity_t *validity)
{
    uint8_t *out = unescaped;
    size_t record = 0;
    for (size_t k = 0; k < runs->count; k++) {
        const run_t *run = runs->run + k;
        for (size_t i = 0; i < run->records; i++, record++, view++) {
            memset(view, 0, sizeof *view);
            if (run->field == NO_COLUMN) {
                set_null(validity, record);
                continue;
            }
            const uint32_t *row = row_of(run, i);
            span_t span = span_of(run, row);
            const uint8_t *value = run->data + span.first;
            size_t size = span.last - span.first;
            int32_t buffer = (int32_t)k, offset = (int32_t)span.first;
            if (span.quoted && size && memchr(value, '"', size)) {
                size_t shorter = isa->unescape(out, value, size, dialect_of(row) == PHP);
                if (shorter != size) {
                    value = out;
                    size = shorter;
                    buffer = (int32_t)runs->count;
                    offset = (int32_t)(out - unescaped);
                    if (size > INLINE_BYTES)
                        out += size;
                }
            }
            view->size = (int32_t)size;
            if (size <= INLINE_BYTES) {
                memcpy(view->inlined, value, size);
                if (!size && empty_is_null)
                    set_null(validity, record);
            } else {
                memcpy(view->far.prefix, value, 4);
                view->far.buffer = buffer;
                view->far.offset = offset;
            }
        }
    }
    return (size_t)(out - unescaped);
}

#endif
