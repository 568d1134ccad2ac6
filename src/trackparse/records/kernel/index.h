/* All the records of a stretch of a block: the structural scan where all is well, the grammar where it is not. */

/* How far one structural scan looks: what is left of a record at its end is scanned again, so not too near; its separators
 * stay in the caches. Where most of a scan was of no use the next one looks half as far, so that a log of nothing but
 * records for a second look does not have its bytes scanned again and again. */
#define SCAN_BYTES (32 << 10)
#define SCAN_LEAST 1024
/* Rejects of one call: each is some objects of Python's, whatever its size. */
#define MOST_REJECTS 4096

typedef struct {
    uint64_t records, lines; /* before it */
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
    uint64_t record_bytes, blank_bytes, mark_bytes;
    uint64_t lines; /* line feeds in all that was indexed */
    uint64_t unresolved;
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
    f->rejects[f->reject_count++] = (reject_t){f->records, f->lines, start, end, reason};
    return 1;
}

typedef struct {
    const uint8_t *data;
    size_t size, stop;
    int final, automatic, dialect;
    uint32_t width, timestamp;
    int32_t payload;
    name_t names[MAX_NAMES]; /* of the known columns */
    uint32_t name_count;
    size_t max_record_bytes;
    int64_t credit; /* bytes that may be read again */
    const isa_t *isa;
    uint32_t *separators; /* SCAN_BYTES + 64 of them */
    weighed_t weighed;
} indexer_t;

/* The names between the delimiters of `text`; 0 where there are too many. */
static int take_names(indexer_t *x, const char *text, size_t size)
{
    const char *end = text + size;
    for (x->name_count = 0; x->name_count < MAX_NAMES; x->name_count++) {
        const char *delimiter = memchr(text, ';', (size_t)(end - text));
        const char *last = delimiter ? delimiter : end;
        x->names[x->name_count] = (name_t){(const uint8_t *)text, (size_t)(last - text)};
        if (!delimiter) {
            x->name_count++;
            return 1;
        }
        text = delimiter + 1;
    }
    return 0;
}

static int take_room(indexer_t *x)
{
    x->separators = malloc((SCAN_BYTES + 64) * sizeof *x->separators);
    uint32_t *ends = malloc(3 * (size_t)x->width * sizeof *ends);
    for (int i = 0; ends && i < 3; i++)
        x->weighed.readings[i].ends = ends + (size_t)i * x->width;
    return x->separators && ends;
}

static void drop_room(indexer_t *x)
{
    free(x->separators);
    free(x->weighed.readings[0].ends);
}

/* The credit that a log starts with, and the most that it ever has. */
static int64_t credit_limit(size_t max_record_bytes)
{
    return 2 * (int64_t)max_record_bytes;
}

/* What `size` bytes of the log earn, after `spent` bytes that were read for nothing. */
static void earn(indexer_t *x, uint64_t spent, size_t size)
{
    int64_t credit = x->credit - (int64_t)spent + CREDIT_PER_BYTE * (int64_t)size;
    int64_t most = credit_limit(x->max_record_bytes);
    x->credit = credit < most ? credit : most;
}

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

#define TIME_SIZE 19

/* Three overlapping words: memcmp would be a call for each record. */
static inline int is_same_time(const uint8_t *p, const uint8_t *q)
{
    static const size_t at[3] = {0, 8, TIME_SIZE - 8};
    uint64_t differs = 0;
    for (int i = 0; i < 3; i++) {
        uint64_t a, b;
        memcpy(&a, p + at[i], 8);
        memcpy(&b, q + at[i], 8);
        differs |= a ^ b;
    }
    return !differs;
}

static inline size_t wider(size_t window, size_t at_least)
{
    window = window * 2 > at_least ? window * 2 : at_least;
    return window < SCAN_BYTES ? window : SCAN_BYTES;
}

/* Records in a row that need no second look, found by a scan of `*window` bytes, which is set for the next one. Returns past
 * the last, -1 without memory. */
static long long index_plain(indexer_t *x, size_t position, size_t *window, found_t *f)
{
    size_t end = x->size - position < *window ? x->size : position + *window;
    uint32_t width = x->width;
    seen_t seen;
    int weighed = x->automatic || x->dialect == PHP;
    size_t count = x->isa->scan(x->data, position, end, x->dialect == PHP, weighed, x->separators, &seen);
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
        /* Where the timestamp comes first no record starts with a mark. */
        if (x->timestamp && x->data[start] == BOM[0] && mark_size(x->data, start, x->size, 1))
            break;
        span_t span = field_span(x->data, start, row + 1, width, x->timestamp);
        const uint8_t *text = x->data + span.first;
        /* A timestamp repeats for many rows. */
        if (!(last_time && span.last - span.first == TIME_SIZE && is_same_time(text, last_time))) {
            time = parse_timestamp(text, span.last - span.first);
            if (time == NO_TIME)
                break;
            last_time = span.last - span.first == TIME_SIZE ? text : NULL;
        }
        f->timestamps[records++] = time;
        start = (size_t)line_end + 1;
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
        *window = wider(*window, 0);
    else if (*window > SCAN_LEAST)
        *window /= 2;
    f->lines += seen.inner ? x->isa->count_lines(x->data + position, start - position) : records - f->records;
    f->records = records;
    f->record_bytes += start - position;
    earn(x, 0, start - position);
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
            window = SCAN_LEAST;
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
            window = SCAN_LEAST;
            continue;
        }
        /* Without credit a record may not be read beyond its line, however plain it is. */
        long long past = x->credit > 0 ? index_plain(x, at, &window, f) : (long long)at;
        if (past < 0)
            return -1;
        if ((size_t)past > at) {
            at = (size_t)past;
            continue;
        }
        size_t size = x->size - at;
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
                      x->name_count};
        weighed_t *weighed = &x->weighed;
        resolve(&w, at, x->automatic, x->dialect, x->credit, weighed, x->isa);
        uint64_t spent = weighed->read;
        if (weighed->reason == NO_MEMORY)
            return -1;
        if (weighed->reason == NEEDS_MORE) {
            status = MORE;
            break;
        }
        if (weighed->reason) {
            long long line_end = first_line(&w, at);
            if (line_end >= 0 && is_separator_line(x->data + at, (size_t)line_end - at)) {
                int line_feed = (size_t)line_end < x->size && x->data[line_end] == '\n';
                f->mark_bytes += (size_t)(line_end + line_feed) - at;
                f->lines += (uint64_t)line_feed;
                at = (size_t)(line_end + line_feed);
                continue;
            }
            if (line_end >= 0 && x->credit > 0 && names_columns(&w, at, (size_t)line_end)) {
                status = HEADER;
                break;
            }
            int known = weighed->reason == BAD_UTF8 || weighed->reason == BAD_TIMESTAMP;
            long long end = known ? (long long)own_end(&w, at, weighed->reading) : resynchronise(&w, at);
            if (end < 0) {
                status = end == NEEDS_MORE ? MORE : LIMIT;
                break;
            }
            if ((size_t)end < w.end && x->data[end - 1] != '\n') {
                /* A header follows without a line end before it: the record ends there, and may be good so far. */
                w.end = (size_t)end;
                w.at_end = 0;
                resolve(&w, at, x->automatic, x->dialect, x->credit, weighed, x->isa);
                spent += weighed->read;
                if (weighed->reason == NO_MEMORY)
                    return -1;
            }
            if (weighed->reason) {
                f->unresolved += (uint64_t)weighed->unresolved;
                earn(x, spent, (size_t)end - at);
                if (!add_reject(f, at, (size_t)end, weighed->reason))
                    return -1;
                f->lines += x->isa->count_lines(x->data + at, (size_t)end - at);
                at = (size_t)end;
                window = SCAN_LEAST;
                if (f->reject_count == MOST_REJECTS)
                    break;
                continue;
            }
        }
        const reading_t *r = weighed->reading;
        f->unresolved += (uint64_t)weighed->unresolved;
        /* The reading that was taken is free: the scan would have read those bytes as well. */
        earn(x, spent - (r->end - at), r->end - at);
        if (r->sided)
            x->dialect = r->dialect;
        /* Records as long as this one are to find room in the next scan. */
        window = wider(window, 2 * (r->end - at));
        if (!reserve(f, 1, x->width))
            return -1;
        uint32_t *row = f->fields + f->records * (x->width + 1);
        row[0] = (uint32_t)at | (uint32_t)r->dialect << 31;
        memcpy(row + 1, r->ends, x->width * sizeof *row);
        f->timestamps[f->records++] = record_time(&w, at, r->ends);
        f->record_bytes += r->end - at;
        f->lines += x->isa->count_lines(x->data + at, r->end - at);
        at = r->end;
    }
    *position = at;
    return status;
}

