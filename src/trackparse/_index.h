/* All the records of a stretch of a block: the structural scan where all is well, the grammar where it is not. */

/* How far one structural scan looks: its separators stay in the first-level caches. Behind a bad record it looks less
 * far, so that a log of nothing else does not have most of its bytes scanned again and again. */
#define SCAN_BYTES (8 << 10)
#define SCAN_LEAST 1024
/* Rejects of one call: each is some objects of Python's, whatever its size. */
#define MOST_REJECTS 4096

typedef struct {
    uint64_t records;
    size_t start, end;
    int reason;
} reject_t;

typedef struct {
    uint32_t *fields;
    int64_t *timestamps;
    size_t records, room;
    reject_t *rejects;
    size_t reject_count, reject_room;
    uint64_t blank_lines;
    uint64_t record_bytes, blank_bytes;
} found_t;

static int reserve(found_t *f, size_t more, uint32_t width)
{
    if (f->records + more <= f->room)
        return 1;
    size_t room = f->room * 2 > f->records + more ? f->room * 2 : f->records + more;
    uint32_t *fields = realloc(f->fields, room * (width + 1) * sizeof *fields);
    if (fields)
        f->fields = fields;
    int64_t *timestamps = fields ? realloc(f->timestamps, room * sizeof *timestamps) : NULL;
    if (!timestamps)
        return 0;
    f->timestamps = timestamps;
    f->room = room;
    return 1;
}

static int add_reject(found_t *f, size_t start, size_t end, int reason)
{
    if (f->reject_count == f->reject_room) {
        size_t room = f->reject_room ? f->reject_room * 2 : 16;
        reject_t *rejects = realloc(f->rejects, room * sizeof *rejects);
        if (!rejects)
            return 0;
        f->rejects = rejects;
        f->reject_room = room;
    }
    f->rejects[f->reject_count++] = (reject_t){f->records, start, end, reason};
    return 1;
}

typedef struct {
    const uint8_t *data;
    size_t size, stop;
    int final, automatic, dialect;
    uint32_t width, timestamp;
    int32_t payload;
    size_t max_record_bytes;
    const isa_t *isa;
    uint32_t *separators; /* SCAN_BYTES + 64 of them */
    reading_t reading;
} indexer_t;

/* Copy the ends of one record's fields; its line end, or 0 if that is not where it should be. */
static inline uint32_t take_row(uint32_t *ends, const uint32_t *separators, uint32_t width)
{
    uint32_t flags = 0, last = separators[width - 1];
    for (uint32_t i = 0; i < width - 1; i++) {
        flags |= separators[i];
        ends[i] = separators[i];
    }
    return ~flags & last & LINE_END ? last & ~LINE_END : 0;
}

/* Records in a row that need no second look. Returns past the last, -1 without memory. */
static long long index_plain(indexer_t *x, size_t position, size_t window, found_t *f)
{
    size_t end = x->size - position < window ? x->size : position + window;
    uint32_t width = x->width;
    int ascii;
    size_t count = x->isa->scan(x->data, position, end, x->dialect == PHP, x->separators, &ascii);
    if (!reserve(f, count / width, width))
        return -1;

    size_t records = f->records, start = position;
    const uint8_t *last_time = NULL;
    int64_t time = 0;
    for (size_t at = 0; at + width <= count && start < x->stop; at += width) {
        const uint32_t *separators = x->separators + at;
        uint32_t *row = f->fields + records * (width + 1);
        /* Both generations with a constant, so that it becomes a vector or two. */
        uint32_t line_end = width == 8   ? take_row(row + 1, separators, 8)
                            : width == 6 ? take_row(row + 1, separators, 6)
                                         : take_row(row + 1, separators, width);
        /* A line end too soon or too late. */
        if (!line_end || line_end + 1 - start > x->max_record_bytes)
            break;
        row[0] = (uint32_t)start | (uint32_t)x->dialect << 31;
        row[width] = line_end;
        /* A header may fill up a cut record: only a second look tells. */
        if (is_last_name(x->data, row + 1, width))
            break;
        span_t span = field_span(x->data, start, row + 1, width, x->timestamp);
        const uint8_t *text = x->data + span.first;
        /* A timestamp repeats for many rows. */
        if (!(last_time && span.last - span.first == 19 && !memcmp(text, last_time, 19))) {
            time = parse_timestamp(text, span.last - span.first);
            if (time == NO_TIME)
                break;
            last_time = span.last - span.first == 19 ? text : NULL;
        }
        f->timestamps[records++] = time;
        start = (size_t)line_end + 1;
    }
    if (!ascii && !x->isa->is_utf8(x->data + position, start - position))
        return (long long)position;
    f->records = records;
    f->record_bytes += start - position;
    return (long long)start;
}

/* Index until `stop`; returns the status, -1 without memory. */
static int index_records(indexer_t *x, size_t *position, found_t *f)
{
    size_t at = *position;
    size_t window = SCAN_BYTES;
    int status = DONE;
    while (at < x->stop && at < x->size) {
        /* Before the scan, which sees no further than the first of them. */
        long long blank = blank_line(x->data, at, x->size, x->final);
        if (blank == NEEDS_MORE) {
            status = MORE;
            break;
        }
        if (blank) {
            do {
                f->blank_lines++;
                f->blank_bytes += (size_t)blank - at;
                at = (size_t)blank;
            } while (at < x->stop && at < x->size && (blank = blank_line(x->data, at, x->size, x->final)) > 0);
            /* Others may stand between the next records: do not scan far for each. */
            window = SCAN_LEAST;
            continue;
        }
        long long past = index_plain(x, at, window, f);
        if (past < 0)
            return -1;
        if ((size_t)past > at) {
            at = (size_t)past;
            window = window * 2 < SCAN_BYTES ? window * 2 : SCAN_BYTES;
            continue;
        }
        size_t size = x->size - at;
        int limited = size > x->max_record_bytes;
        window_t w = {x->data,
                      limited ? at + x->max_record_bytes : x->size,
                      x->width,
                      x->timestamp,
                      x->payload,
                      limited     ? TOO_LONG
                      : x->final ? 0
                                 : NEEDS_MORE};
        reading_t *r = &x->reading;
        int dialect = x->dialect;
        int reason = resolve(&w, at, x->automatic, &dialect, r, x->isa);
        if (reason == -3)
            return -1;
        if (reason == NEEDS_MORE) {
            status = MORE;
            break;
        }
        if (reason) {
            if (is_header(&w, at)) {
                status = HEADER;
                break;
            }
            long long end;
            if (reason == BAD_UTF8 || reason == BAD_TIMESTAMP) {
                /* Other readings may have been tried after this one. */
                read_record(&w, at, x->dialect, -1, r);
                end = (long long)own_end(&w, at, r);
            } else {
                end = resynchronise(&w, at);
            }
            if (end < 0) {
                status = end == NEEDS_MORE ? MORE : LIMIT;
                break;
            }
            if ((size_t)end < w.end && x->data[end - 1] != '\n') {
                /* A header follows without a line end before it: the record ends there, and may be good so far. */
                w.end = (size_t)end;
                w.at_end = 0;
                dialect = x->dialect;
                reason = resolve(&w, at, x->automatic, &dialect, r, x->isa);
                if (reason == -3)
                    return -1;
            }
            if (reason) {
                if (!add_reject(f, at, (size_t)end, reason))
                    return -1;
                at = (size_t)end;
                window = SCAN_LEAST;
                if (f->reject_count == MOST_REJECTS)
                    break;
                continue;
            }
        }
        x->dialect = dialect;
        window = window * 2 < SCAN_BYTES ? window * 2 : SCAN_BYTES;
        if (!reserve(f, 1, x->width))
            return -1;
        uint32_t *row = f->fields + f->records * (x->width + 1);
        row[0] = (uint32_t)at | (uint32_t)dialect << 31;
        memcpy(row + 1, r->ends, x->width * sizeof *row);
        f->timestamps[f->records++] = record_time(&w, at, r->ends);
        f->record_bytes += r->end - at;
        at = r->end;
    }
    *position = at;
    return status;
}

