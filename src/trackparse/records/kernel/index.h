/* The index of a block: where its records and their fields end, and which records are bad. The same as index.py,
 * which says what credit is; but plain records are found by the structural scan, and the grammar is called for the
 * others only. */

#ifndef TRACKPARSE_INDEX_H
#define TRACKPARSE_INDEX_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "codes.h"
#include "dialect.h"
#include "grammar.h"
#include "isa.h"
#include "lines.h"
#include "timestamp.h"

#define CREDIT_PER_BYTE 64
/* What a byte costs in which a header is looked for below a good record. */
#define SEARCH_COST 8
/* How many bytes one structural scan looks at. What is left of a record at their end is scanned again, so not too
 * few; the separators have to stay in the caches, so not too many. Where most of a scan was of no use the next one
 * looks at half as many, so that a log of records for the grammar does not have its bytes scanned again and again. */
#define SCAN_BYTES (32 << 10)
#define LEAST_SCAN_BYTES 1024

/* A row of the reject table: in Python, the words from BEFORE to REASON. */
typedef struct {
    int64_t before, record, line, byte_offset, size, reason;
} reject_t;

/* What was found so far: Python's Indexed. */
typedef struct {
    uint32_t *fields;
    int64_t *timestamps;
    size_t records, capacity;
    reject_t *rejects;
    size_t reject_count, reject_capacity;
    size_t raw_bytes; /* of all rejects */
    uint64_t blank_lines;
    uint64_t record_bytes, blank_bytes, mark_bytes;
    uint64_t lines; /* line feeds */
    uint64_t unresolved;
} found_t;

/* What is asked: Python's Question. And the memory to answer it. */
typedef struct {
    const uint8_t *data;
    size_t size, stop;
    int final, trusted, automatic, dialect;
    uint32_t width, timestamp;
    int32_t payload;
    name_t names[MOST_NAMES]; /* of the known columns */
    uint32_t name_count;
    uint64_t name_sizes; /* of sizes_of */
    size_t max_record_bytes;
    int64_t credit;
    size_t start;
    int64_t record, line, byte_offset; /* where `start` is in the member */
    const isa_t *isa;
    uint32_t *separators; /* SCAN_BYTES + 64 of them */
    weighed_t weighed;
} indexer_t;

static int index_one(indexer_t *x, size_t *position, size_t *scan_bytes, found_t *f);
static int ends_itself(int reason);
static int read_up_to(indexer_t *x, window_t *w, size_t at, size_t end, uint64_t *bytes_read);
static long long index_plain(indexer_t *x, size_t position, size_t *scan_bytes, found_t *f);

/* The credit that a log starts with; it never has more. */
static int64_t credit_limit(size_t max_record_bytes)
{
    return 2 * (int64_t)max_record_bytes;
}

/* Take the names between the delimiters of `text`; 0 if there are too many. */
static int take_names(indexer_t *x, const char *text, size_t size)
{
    const char *end = text + size;
    for (x->name_count = 0; x->name_count < MOST_NAMES; x->name_count++) {
        const char *delimiter = memchr(text, ';', (size_t)(end - text));
        const char *last = delimiter ? delimiter : end;
        x->names[x->name_count] = (name_t){(const uint8_t *)text, (size_t)(last - text)};
        if (!delimiter) {
            x->name_count++;
            x->name_sizes = sizes_of(x->names, x->name_count);
            return 1;
        }
        text = delimiter + 1;
    }
    return 0;
}

/* Allocate the memory to work in; 0 if there is not enough. Release it in any case. */
static int new_workspace(indexer_t *x)
{
    x->separators = malloc((SCAN_BYTES + 64) * sizeof *x->separators);
    uint32_t *ends = malloc(READINGS_KEPT * (size_t)x->width * sizeof *ends);
    for (int i = 0; ends && i < READINGS_KEPT; i++)
        x->weighed.readings[i].ends = ends + (size_t)i * x->width;
    return x->separators && ends;
}

static void release_workspace(indexer_t *x)
{
    free(x->separators);
    free(x->weighed.readings[0].ends);
}

/* Make room in the tables for so many more records; 0 without memory. */
static int reserve(found_t *f, size_t more, uint32_t width)
{
    if (f->records + more <= f->capacity)
        return 1;
    size_t capacity = f->capacity * 2 > f->records + more ? f->capacity * 2 : f->records + more;
    uint32_t *fields = realloc(f->fields, capacity * (width + 1) * sizeof *fields);
    if (fields)
        f->fields = fields;
    int64_t *timestamps = fields ? realloc(f->timestamps, capacity * sizeof *timestamps) : NULL;
    if (!timestamps)
        return 0;
    f->timestamps = timestamps;
    f->capacity = capacity;
    return 1;
}

/* Pay for `spent` bytes that were read for nothing, with what `size` bytes of the log earn. */
static void earn(indexer_t *x, uint64_t spent, size_t size)
{
    int64_t credit = x->credit - (int64_t)spent + CREDIT_PER_BYTE * (int64_t)size;
    int64_t most = credit_limit(x->max_record_bytes);
    x->credit = credit < most ? credit : most;
}

/* Take the bytes from `start` to `end` as a reject; 0 without memory. */
static int add_reject(indexer_t *x, size_t start, size_t end, uint64_t bytes_read, found_t *f)
{
    int reason = x->weighed.reason;
    if (!x->trusted && (!reason || reason == BAD_TIMESTAMP))
        /* The timestamp may stand in another field: the name of its column may be the damaged one. */
        reason = BAD_HEADER;
    if (f->reject_count == f->reject_capacity) {
        size_t capacity = f->reject_capacity ? f->reject_capacity * 2 : 16;
        reject_t *rejects = realloc(f->rejects, capacity * sizeof *rejects);
        if (!rejects)
            return 0;
        f->rejects = rejects;
        f->reject_capacity = capacity;
    }
    f->rejects[f->reject_count] =
        (reject_t){(int64_t)f->records,         x->record + (int64_t)(f->records + f->reject_count),
                   x->line + (int64_t)f->lines, x->byte_offset + (int64_t)(start - x->start),
                   (int64_t)(end - start),      reason};
    f->reject_count++;
    f->raw_bytes += end - start;
    f->unresolved += (uint64_t)x->weighed.unresolved;
    earn(x, bytes_read, end - start);
    f->lines += x->isa->count_lines(x->data + start, end - start);
    return 1;
}

/* Take the record at `start` as it was read; as a reject, if the columns are not known. 0 without memory. */
static int add_record(indexer_t *x, const window_t *w, size_t start, uint64_t bytes_read, found_t *f)
{
    const reading_t *r = x->weighed.reading;
    size_t size = r->end - start;
    if (r->sided)
        x->dialect = r->dialect;
    if (!x->trusted)
        return add_reject(x, start, r->end, bytes_read - size, f);
    if (!reserve(f, 1, x->width))
        return 0;
    f->unresolved += (uint64_t)x->weighed.unresolved;
    /* The reading that was taken is free: the scan would have read those bytes as well. */
    earn(x, bytes_read - size, size);
    uint32_t *row = f->fields + f->records * (x->width + 1);
    row[0] = (uint32_t)start | (uint32_t)r->dialect << DIALECT_SHIFT;
    memcpy(row + 1, r->ends, x->width * sizeof *row);
    f->timestamps[f->records++] = record_time(w, start, r->ends);
    f->record_bytes += size;
    f->lines += x->isa->count_lines(x->data + start, size);
    return 1;
}

/* Twice as many bytes for the next scan, and `at_least` so many. */
static inline size_t more_scan_bytes(size_t scan_bytes, size_t at_least)
{
    scan_bytes = scan_bytes * 2 > at_least ? scan_bytes * 2 : at_least;
    return scan_bytes < SCAN_BYTES ? scan_bytes : SCAN_BYTES;
}

/* Index until `stop`; returns the status, or NO_MEMORY. */
static int index_records(indexer_t *x, size_t *position, found_t *f)
{
    size_t at = x->start;
    size_t scan_bytes = SCAN_BYTES;
    int status = DONE;
    while (status == DONE && at < x->stop && at < x->size && f->reject_count < MOST_REJECTS) {
        /* Before the scan, which sees no further than the first blank line. */
        long long blank = blank_line(x->data, at, x->size, x->final, x->max_record_bytes);
        if (blank == NEEDS_MORE) {
            status = MORE;
            break;
        }
        if (blank) {
            do {
                f->blank_lines++;
                f->blank_bytes += (size_t)blank - at;
                f->lines += x->data[blank - 1] == '\n';
                at = (size_t)blank;
                if (at >= x->stop || at >= x->size)
                    break;
                blank = blank_line(x->data, at, x->size, x->final, x->max_record_bytes);
            } while (blank > 0);
            /* Others may stand between the next records: do not scan far for each. */
            scan_bytes = LEAST_SCAN_BYTES;
            continue;
        }
        int mark = x->data[at] == BOM[0] ? mark_size(x->data, at, x->size, x->final) : 0;
        if (mark == NEEDS_MORE) {
            status = MORE;
            break;
        }
        if (mark) {
            f->mark_bytes += (size_t)mark;
            at += (size_t)mark;
            scan_bytes = LEAST_SCAN_BYTES;
            continue;
        }
        /* Without credit a record may not be read beyond its line, however plain it is. */
        long long past = x->credit > 0 && x->trusted ? index_plain(x, at, &scan_bytes, f) : (long long)at;
        if (past == NO_MEMORY)
            return NO_MEMORY;
        if ((size_t)past > at)
            at = (size_t)past;
        else
            status = index_one(x, &at, &scan_bytes, f);
    }
    *position = at;
    return status;
}

/* Index the record at `*position`, which the scan could not decide: a record, a reject or a separator line. Returns
 * DONE, or the status with which to stop, or NO_MEMORY. */
static int index_one(indexer_t *x, size_t *position, size_t *scan_bytes, found_t *f)
{
    size_t at = *position, size = x->size - at;
    int limited = size > x->max_record_bytes;
    window_t w = {x->data,
                  x->size,
                  limited ? at + x->max_record_bytes : x->size,
                  limited    ? TOO_LONG
                  : x->final ? 0
                             : NEEDS_MORE,
                  x->final,
                  x->width,
                  x->timestamp,
                  x->payload,
                  x->names,
                  x->name_count,
                  x->name_sizes};
    weighed_t *weighed = &x->weighed;
    resolve(&w, at, x->automatic, x->dialect, x->credit, weighed, x->isa);
    uint64_t bytes_read = weighed->bytes_read;
    if (weighed->reason == NO_MEMORY)
        return NO_MEMORY;
    if (weighed->reason == NEEDS_MORE)
        return MORE;
    if (weighed->reason) {
        long long end_of_line = line_end(&w, at);
        if (end_of_line >= 0 && is_separator_line(x->data + at, (size_t)end_of_line - at)) {
            int line_feed = (size_t)end_of_line < x->size && x->data[end_of_line] == '\n';
            f->mark_bytes += (size_t)(end_of_line + line_feed) - at;
            f->lines += (uint64_t)line_feed;
            *position = (size_t)(end_of_line + line_feed);
            return DONE;
        }
        if (end_of_line >= 0 &&
            names_columns(x->data, at, (size_t)end_of_line, w.names, w.name_count, w.name_sizes, w.width))
            return HEADER;
        size_t end = 0;
        /* Where a header follows without a line end before it, the record ends there, and may be good up to there. */
        while (weighed->reason && !weighed->reading->reason) {
            end = own_end(&w, at, weighed->reading);
            if (end == weighed->reading->end)
                break;
            if (!read_up_to(x, &w, at, end, &bytes_read))
                return NO_MEMORY;
        }
        if (weighed->reason && !ends_itself(weighed->reason)) {
            long long next = resynchronise(&w, at);
            if (next < 0)
                return next == NEEDS_MORE ? MORE : LIMIT;
            end = (size_t)next;
            if (end < w.end && x->data[end - 1] != '\n') {
                if (!read_up_to(x, &w, at, end, &bytes_read))
                    return NO_MEMORY;
            } else if (end < weighed->fault) {
                /* A line inside a good record may look like the start of one. The header is below it then. */
                long long header = header_at_fault(&w, at, weighed->fault);
                if (header == NEEDS_MORE)
                    return MORE;
                if (header) {
                    int reason = weighed->reason, unresolved = weighed->unresolved;
                    window_t shorter = w;
                    if (!read_up_to(x, &shorter, at, (size_t)header, &bytes_read))
                        return NO_MEMORY;
                    if (weighed->reason) {
                        weighed->reason = reason;
                        weighed->unresolved = unresolved;
                    } else {
                        w = shorter;
                    }
                }
            }
        }
        if (weighed->reason) {
            if (!add_reject(x, at, end, bytes_read, f))
                return NO_MEMORY;
            *position = end;
            *scan_bytes = LEAST_SCAN_BYTES;
            return DONE;
        }
    } else if (weighed->misses & NOTHING_FOLLOWS && x->credit > 0) {
        /* A header that follows without a line end may spoil the right reading. This one ends too soon then, or too
         * late. */
        long long end = resynchronise(&w, at);
        if (end == NEEDS_MORE)
            return MORE;
        size_t past = end > 0 ? (size_t)end : w.end;
        int misses = weighed->misses;
        bytes_read += SEARCH_COST * (past - at);
        if (past < w.end && x->data[past - 1] != '\n') {
            window_t shorter = w;
            if (!read_up_to(x, &shorter, at, past, &bytes_read))
                return NO_MEMORY;
            if (!weighed->reason && weighed->misses < misses) {
                w = shorter;
            } else {
                /* It is no better: take the first one again. */
                resolve(&w, at, x->automatic, x->dialect, x->credit, weighed, x->isa);
                if (weighed->reason == NO_MEMORY)
                    return NO_MEMORY;
            }
        }
    }
    *position = weighed->reading->end;
    /* Records as long as this one are to fit into the next scan. */
    *scan_bytes = more_scan_bytes(*scan_bytes, 2 * (*position - at));
    return add_record(x, &w, at, bytes_read, f) ? DONE : NO_MEMORY;
}

/* Whether a record that is bad for this reason ends where its reading does. */
static int ends_itself(int reason)
{
    return reason == BAD_UTF8 || reason == BAD_TIMESTAMP;
}

/* Read the record at `at` again, up to the header at `end`, which has no line end before it. 0 without memory. */
static int read_up_to(indexer_t *x, window_t *w, size_t at, size_t end, uint64_t *bytes_read)
{
    w->end = end;
    w->at_end = 0;
    resolve(w, at, x->automatic, x->dialect, x->credit - (int64_t)*bytes_read, &x->weighed, x->isa);
    *bytes_read += x->weighed.bytes_read;
    return x->weighed.reason != NO_MEMORY;
}

/* Copy the ends of one record's fields; its line end, or 0 if the record has more or fewer fields. */
static inline uint32_t take_row(uint32_t *ends, const uint32_t *separators, uint32_t width)
{
    uint32_t flags = 0, last = separators[width - 1];
    for (uint32_t i = 0; i < width - 1; i++) {
        flags |= separators[i];
        ends[i] = separators[i];
    }
    return ~flags & last & LINE_END ? last & ~LINE_END : 0;
}

/* Index the plain records at `position`, found by a scan of `*scan_bytes` bytes; the number for the next scan is set.
 * Returns where the last of them ends, or NO_MEMORY. */
static long long index_plain(indexer_t *x, size_t position, size_t *scan_bytes, found_t *f)
{
    size_t end = x->size - position < *scan_bytes ? x->size : position + *scan_bytes;
    uint32_t width = x->width;
    seen_t seen;
    int weighed = x->automatic || x->dialect == PHP;
    size_t count = x->isa->scan(x->data, position, end, x->dialect == PHP, weighed, x->separators, &seen);
    if (!reserve(f, count / width, width))
        return NO_MEMORY;

    size_t records = f->records, start = position;
    const uint8_t *last_time = NULL;
    int64_t time = 0;
    for (size_t at = 0; at + width <= count && start < x->stop; at += width) {
        const uint32_t *separators = x->separators + at;
        uint32_t *row = f->fields + records * (width + 1);
        /* Both generations with a constant, so that the loop becomes a vector or two. */
        uint32_t end_of_line = width == 8   ? take_row(row + 1, separators, 8)
                               : width == 6 ? take_row(row + 1, separators, 6)
                                            : take_row(row + 1, separators, width);
        if (!end_of_line || end_of_line + 1 - start > x->max_record_bytes)
            break;
        row[0] = (uint32_t)start | (uint32_t)x->dialect << DIALECT_SHIFT;
        row[width] = end_of_line;
        /* The names of a header may be the last fields of a record that breaks off: the grammar tells. */
        if (width > 1 && is_name(x->data, row[width - 1] + 1, row[width], x->names, x->name_count, x->name_sizes))
            break;
        /* Where the timestamp comes first no record starts with a mark. */
        if (x->timestamp && x->data[start] == BOM[0] && mark_size(x->data, start, x->size, 1))
            break;
        span_t span = field_inside(x->data, start, row + 1, width, x->timestamp);
        const uint8_t *text = x->data + span.first;
        /* A timestamp repeats for many rows. */
        if (!(last_time && span.last - span.first == TIMESTAMP_SIZE && is_same_time(text, last_time))) {
            time = parse_timestamp(text, span.last - span.first);
            if (time == NO_TIME)
                break;
            last_time = span.last - span.first == TIMESTAMP_SIZE ? text : NULL;
        }
        f->timestamps[records++] = time;
        start = (size_t)end_of_line + 1;
    }
    if (!seen.ascii && !x->isa->is_utf8(x->data + position, start - position)) {
        start = position;
        for (records = f->records;; records++) {
            size_t next = (size_t)f->fields[records * (width + 1) + width] + 1;
            if (!x->isa->is_utf8(x->data + start, next - start))
                break;
            start = next;
        }
    }
    if (seen.end - start <= start - position)
        *scan_bytes = more_scan_bytes(*scan_bytes, 0);
    else if (*scan_bytes > LEAST_SCAN_BYTES)
        *scan_bytes /= 2;
    f->lines += seen.inner ? x->isa->count_lines(x->data + position, start - position) : records - f->records;
    f->records = records;
    f->record_bytes += start - position;
    earn(x, 0, start - position);
    return (long long)start;
}

#endif
