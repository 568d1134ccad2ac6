/* Records in the order of the parts that they belong to, by their day say. The same as parts.py. */

#ifndef TRACKPARSE_PARTS_H
#define TRACKPARSE_PARTS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "values.h"

#define DAY INT64_C(86400000000) /* microseconds */

/* The days of timestamps, counted from 1970-01-01. */
static void days(const int64_t *times, size_t count, int32_t *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = (int32_t)(times[i] / DAY - (times[i] % DAY < 0));
}

/* What a part has, and then where its next record goes. */
typedef struct {
    size_t records, bytes, words;
} part_t;

/* Count what each part has. 0 if a record does not lie in its block, or has no part. */
static int measure_parts(const runs_t *runs, const int32_t *codes, part_t *part, size_t parts)
{
    for (size_t i = 0; i < runs->count; i++) {
        const run_t *run = runs->run + i;
        const uint32_t *row = run->rows;
        for (size_t n = 0; n < run->records; n++, row += run->width + 1) {
            uint32_t start = row[0] & START_MASK, end = row[run->width], code = (uint32_t)*codes++;
            if (start > end || end > run->size || code >= parts)
                return 0;
            part[code].records++;
            part[code].bytes += (size_t)(end - start) + 1;
            part[code].words += (size_t)run->width + 1;
        }
    }
    return 1;
}

/* Copy each record behind the one before it in its part. `part` says where each part begins. */
static void parted(const runs_t *runs, const int64_t *times, const int32_t *codes, part_t *part, uint8_t *data,
                   uint32_t *fields, int64_t *ordered)
{
    for (size_t i = 0; i < runs->count; i++) {
        const run_t *run = runs->run + i;
        const uint32_t *row = run->rows;
        for (size_t n = 0; n < run->records; n++, row += run->width + 1) {
            part_t *to = part + *codes++;
            uint32_t start = row[0] & START_MASK, size = row[run->width] - start;
            uint32_t moved = start - (uint32_t)to->bytes; /* modulo 2^32 */
            uint32_t *out = fields + to->words;
            memcpy(data + to->bytes, run->data + start, size);
            data[to->bytes + size] = '\n';
            for (uint32_t word = 0; word <= run->width; word++)
                out[word] = row[word] - moved;
            ordered[to->records++] = *times++;
            to->bytes += (size_t)size + 1;
            to->words += (size_t)run->width + 1;
        }
    }
}

#endif
