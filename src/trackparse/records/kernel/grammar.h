/* One record: read byte by byte, why it is bad, and where to go on behind a bad one. The same as grammar.py.
 * It runs where the structural scan met something out of the ordinary, and at the end of the input. Where more bytes
 * could change an answer, the answer is NEEDS_MORE. */

#ifndef TRACKPARSE_GRAMMAR_H
#define TRACKPARSE_GRAMMAR_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "codes.h"
#include "isa.h"
#include "lines.h"
#include "timestamp.h"

/* How far the timestamp of a record is looked for, and in how many steps: where fields before it may close in more
 * than one place, each place is tried. */
#define AHEAD_BYTES (1 << 14)
#define AHEAD_STEPS 128

/* Bounds of the work on one record: this many readings are weighed, in logs of at most this many columns. */
#define READINGS 64
#define SANE_WIDTH 64
/* Where a reading breaks a rule, the names with which a header begins are looked for in so many bytes. */
#define NAMES_BYTES 1024

/* What may follow a record. */
#define RECORD_STARTS 1 /* or a blank line, a byte order mark, the end of the member */
#define HEADER_STARTS 2
/* Each reading adds fewer choices than it has fields to those that it was given. */
#define CHOICES (READINGS * SANE_WIDTH)
/* In place of the number of choices given. */
#define NO_CHOICES (-1)

/* The bytes that one record may take, and what its records look like. */
typedef struct {
    const uint8_t *data;
    size_t size; /* of the data */
    size_t end;  /* of what the record may take */
    int at_end;  /* what a record that reaches `end` is: 0 for whole, since the member or the record ends there; or a
                  * reason, or NEEDS_MORE */
    int final;   /* whether the member ends where the data does */
    uint32_t width, timestamp;
    int32_t payload;     /* or NO_COLUMN */
    const name_t *names; /* of the known columns */
    uint32_t name_count;
    uint64_t name_sizes;
} window_t;

/* One way to divide a record into fields: where a \" stands inside quotes, a record has several. */
typedef struct {
    int reason;     /* 0 if the reading breaks no rule of quoting; or a reason, or NEEDS_MORE */
    size_t end;     /* behind the line end */
    size_t reached; /* where the record ended, or where it broke a rule */
    uint32_t *ends; /* of its fields: holds `width` of them */
    uint32_t count; /* of fields read */
    int dialect;
    int forked;     /* a \" stands inside quotes: other readings differ from there on */
    int settled;    /* all other readings break a rule */
    int sided;      /* a \" was read as the other dialect would not read it */
    int bare_quote; /* a quote stands in a bare field */
} reading_t;

/* For each \" that may close its field: whether it does. */
typedef struct {
    uint8_t closes[CHOICES];
    uint32_t made;
} choices_t;

/* Where the inside of a field stands: its first byte, and the byte behind its last. */
typedef struct {
    size_t first, last;
    int quoted;
} span_t;

static int settles(const window_t *w, size_t at, int dialect, int forked);
static int follows(const window_t *w, size_t at);
static size_t own_end(const window_t *w, size_t start, const reading_t *r);
static size_t line_start(const uint8_t *data, size_t start, size_t at);
static int what_starts(const window_t *w, size_t at, size_t end, int more);
static size_t end_of_line(const uint8_t *data, size_t at, size_t end);
static int has_timestamp(const window_t *w, size_t at, size_t end, int more);

/* Read the record at `start` in one dialect.
 * The first `given` choices say of each \" that may close its field whether it does; those after them all close. With
 * NO_CHOICES no \" closes a field. */
static void read_record(const window_t *w, size_t start, int dialect, int64_t given, choices_t *choices, reading_t *r)
{
    const uint8_t *data = w->data;
    size_t end = w->end, at = start;
    int reason;
    r->count = choices->made = 0;
    r->end = 0;
    r->dialect = dialect;
    r->forked = r->sided = r->bare_quote = 0;
    r->settled = 1;
    for (;;) {
        if (r->count == w->width) {
            reason = FIELD_COUNT;
            break;
        }
        if (at < end && data[at] == '"') {
            at++;
            for (;;) { /* inside quotes */
                const uint8_t *quote = at < end ? memchr(data + at, '"', end - at) : NULL;
                if (!quote) {
                    reason = w->at_end ? w->at_end : UNCLOSED_QUOTE;
                    goto done;
                }
                at = (size_t)(quote - data);
                int next_byte = follows(w, at + 1);
                if (next_byte == NEEDS_MORE) {
                    reason = NEEDS_MORE;
                    goto done;
                }
                if (data[at - 1] == '\\') {
                    r->settled = r->settled && settles(w, at, dialect, r->forked);
                    r->forked = 1;
                    if (dialect == PHP) {
                        int closes = 0;
                        if (given != NO_CHOICES && next_byte == (r->count == w->width - 1 ? '\n' : ';') &&
                            choices->made < CHOICES) {
                            closes = choices->made < given ? choices->closes[choices->made] : 1;
                            choices->closes[choices->made++] = (uint8_t)closes;
                        }
                        at++;
                        if (closes)
                            break;
                        r->sided = 1;
                        continue;
                    }
                    r->sided |= next_byte == '"';
                }
                at++;
                if (next_byte == '"') {
                    at++;
                    continue;
                }
                if (next_byte == 0 || next_byte == TOO_LONG) {
                    reason = next_byte ? TOO_LONG : TEXT_AFTER_QUOTE;
                    goto done;
                }
                break;
            }
        }
        while (at < end && data[at] != ';' && data[at] != '\n') {
            r->bare_quote |= data[at] == '"';
            at++;
        }
        if (at == end && w->at_end) {
            reason = w->at_end;
            break;
        }
        r->ends[r->count++] = (uint32_t)at;
        if (at == end || data[at] == '\n') {
            r->end = at = at < end ? at + 1 : end;
            reason = r->count == w->width ? 0 : FIELD_COUNT;
            break;
        }
        at++;
    }
done:
    r->reason = reason;
    r->reached = at;
}

/* Whether the \" inside quotes, with its quote at `at`, allows no other reading of the record.
 * If it is the first of the record, the other dialect must break a rule at it; and it must not be able to close its
 * field. `forked` says that it is not the first. */
static int settles(const window_t *w, size_t at, int dialect, int forked)
{
    size_t after = at + 1 < w->end ? w->end - at - 1 : 0;
    int next = after ? w->data[at + 1] : 0;
    /* At a slash or a byte order mark, a header may be run into the record: then the quote before it closes its field. */
    if (dialect == PHP)
        return after && next != ';' && next != '\r' && next != '\n' && next != '/' && next != BOM[0] &&
               (forked || next != '"');
    if (forked)
        return 1;
    if (after < 2 || next != '"')
        return 0;
    next = w->data[at + 2];
    return next != '"' && next != ';' && next != '\r' && next != '\n' && next != '/' && next != BOM[0];
}

/* What stands behind a quote: a quote, a delimiter, '\n' for a line end (the member's end, too), or 0 for text.
 * Where the window ends there, a reason or NEEDS_MORE. */
static int follows(const window_t *w, size_t at)
{
    if (at < w->end && w->data[at] != '\r') {
        uint8_t c = w->data[at];
        return c == '"' || c == ';' || c == '\n' ? c : 0;
    }
    while (at < w->end && w->data[at] == '\r')
        at++;
    if (at >= w->end)
        return w->at_end ? w->at_end : '\n';
    return w->data[at] == '\n' ? '\n' : 0;
}

/* Where the inside of a field stands: between its delimiters or, where it is quoted, between its quotes. */
static inline span_t field_inside(const uint8_t *data, size_t start, const uint32_t *ends, uint32_t width,
                                  uint32_t field)
{
    span_t span = {field ? (size_t)ends[field - 1] + 1 : start, ends[field], 0};
    if (field == width - 1)
        while (span.last > span.first && data[span.last - 1] == '\r')
            span.last--;
    if (span.last > span.first + 1 && data[span.first] == '"') {
        span.first++;
        span.last--;
        span.quoted = 1;
    }
    return span;
}

/* The timestamp of a record; NO_TIME if it is not valid. */
static int64_t record_time(const window_t *w, size_t start, const uint32_t *ends)
{
    span_t span = field_inside(w->data, start, ends, w->width, w->timestamp);
    return parse_timestamp(w->data + span.first, span.last - span.first);
}

/* The reason why a reading that breaks no rule of quoting is bad; 0 if it is good. */
static int judge(const window_t *w, size_t start, const reading_t *r, const isa_t *isa)
{
    if (record_time(w, start, r->ends) == NO_TIME)
        return BAD_TIMESTAMP;
    /* A record may have been cut, and a header run into it that has as many names as the record lacks fields: a record
     * of eight columns in its third field, and a header of six names. */
    if (w->width > 1 &&
        is_name(w->data, r->ends[w->width - 2] + 1, r->ends[w->width - 1], w->names, w->name_count, w->name_sizes) &&
        (own_end(w, start, r) < r->end ||
         names_behind(w->data, line_start(w->data, start, r->ends[w->width - 1]), r->end, w->names, w->name_count)))
        return FIELD_COUNT;
    return isa->is_utf8(w->data + start, r->end - start) ? 0 : BAD_UTF8;
}

/* Where a record really ends: at the header that begins in one of its bare fields, if there is one. */
static size_t own_end(const window_t *w, size_t start, const reading_t *r)
{
    const uint8_t *data = w->data;
    size_t name_end = 0;
    for (size_t at = start; (at = find_header(data, at, r->end, &name_end));)
        for (uint32_t i = 0; i < r->count; i++)
            if (r->ends[i] == name_end && data[i ? r->ends[i - 1] + 1 : start] != '"')
                return before_mark(data, start, at);
    return r->end;
}

/* Where a header begins in the line where a reading breaks a rule, at `fault`; 0 without one, or NEEDS_MORE. */
static long long header_at_fault(const window_t *w, size_t start, size_t fault)
{
    size_t limit = w->end - fault < NAMES_BYTES ? w->end : fault + NAMES_BYTES;
    size_t past = end_of_line(w->data, fault, limit);
    if (past == w->end && w->at_end == NEEDS_MORE)
        return NEEDS_MORE;
    size_t header = find_header(w->data, line_start(w->data, start, fault), past, NULL);
    return header ? (long long)before_mark(w->data, start, header) : 0;
}

/* Where the line that `at` is in starts, but not before `start`. */
static size_t line_start(const uint8_t *data, size_t start, size_t at)
{
    while (at > start && data[at - 1] != '\n')
        at--;
    return at;
}

/* Where the line at `start` ends, without its line feed; or NEEDS_MORE. Only HEADER_BYTES are looked at. */
static long long line_end(const window_t *w, size_t start)
{
    size_t limit = w->end - start < HEADER_BYTES ? w->end : start + HEADER_BYTES;
    const uint8_t *newline = memchr(w->data + start, '\n', limit - start);
    if (newline)
        return newline - w->data;
    return limit == w->end && w->at_end == NEEDS_MORE ? NEEDS_MORE : (long long)limit;
}

/* Where to go on behind a bad record: where the next record or header plausibly starts.
 * NEEDS_MORE, or NOT_WITHIN_LIMIT, if that is not found. */
static long long resynchronise(const window_t *w, size_t start)
{
    size_t at = start;
    const uint8_t *data = w->data, *newline;
    int more = w->at_end == NEEDS_MORE;
    for (;;) {
        newline = at < w->end ? memchr(data + at, '\n', w->end - at) : NULL;
        if (newline || !more) {
            size_t header = find_header(data, at, newline ? (size_t)(newline - data) : w->end, NULL);
            if (header)
                return (long long)before_mark(data, start, header);
        }
        if (!newline)
            break;
        at = (size_t)(newline - data) + 1;
        int plausible = what_starts(w, at, w->end, more);
        if (plausible == NEEDS_MORE)
            return NEEDS_MORE;
        if (plausible)
            return (long long)at;
    }
    if (w->at_end == TOO_LONG)
        return NOT_WITHIN_LIMIT;
    return w->at_end ? w->at_end : (long long)w->end;
}

/* RECORD_STARTS or HEADER_STARTS where a line starts like one, else 0; NEEDS_MORE, where `more` may come.
 * A record is known by its timestamp, behind as many fields as the header puts before it. */
static int what_starts(const window_t *w, size_t at, size_t end, int more)
{
    static const char *const beginnings[] = {"\xef\xbb\xbf", "//", "\"//", "sep=;", "\"sep=;\""};
    const uint8_t *data = w->data;
    int out_of_bytes = more ? NEEDS_MORE : 0;
    for (int i = 0; i < 5; i++) {
        size_t size = strlen(beginnings[i]), there = end - at;
        if (there >= size) {
            if (!memcmp(data + at, beginnings[i], size)) {
                if (i == 0)
                    return RECORD_STARTS;
                if (i != 2)
                    return HEADER_STARTS;
                size_t past = end_of_line(data, at, end);
                if (past == end && more)
                    return NEEDS_MORE;
                /* The quote may end a value that began above; then a header is run into its record. */
                return find_header(data, at, past, NULL) == at + 1 ? 0 : HEADER_STARTS;
            }
        } else if (!memcmp(data + at, beginnings[i], there)) {
            return out_of_bytes;
        }
    }
    int plausible = has_timestamp(w, at, end, more);
    if (plausible)
        return plausible == NEEDS_MORE ? NEEDS_MORE : RECORD_STARTS;
    size_t past = end_of_line(data, at, end);
    if (past == end && more)
        return NEEDS_MORE;
    return names_columns(data, at, past, w->names, w->name_count, w->name_sizes, w->width) ? HEADER_STARTS : 0;
}

/* Where the line at `at` ends, without its line feed; `end`, or HEADER_BYTES on, if it does not before that. */
static size_t end_of_line(const uint8_t *data, size_t at, size_t end)
{
    size_t limit = end - at < HEADER_BYTES ? end : at + HEADER_BYTES;
    const uint8_t *newline = memchr(data + at, '\n', limit - at);
    return newline ? (size_t)(newline - data) : limit;
}

/* Whether the shape of a timestamp stands in the timestamp's field of the record at `at`.
 * The fields before it are bare without a quote, or quoted and closed where either dialect may close them. */
static int has_timestamp(const window_t *w, size_t at, size_t end, int more)
{
    const uint8_t *data = w->data;
    size_t limit = end - at < AHEAD_BYTES ? end : at + AHEAD_BYTES;
    int out_of_bytes = more && limit == end ? NEEDS_MORE : 0;
    /* What is left to try: a position, the field that it is in, and whether it is inside that field's quotes. Each
     * step takes one of these and adds two at most. */
    struct {
        size_t at;
        uint32_t field;
        int inside;
    } to_try[AHEAD_STEPS + 2] = {{at, 0, 0}};
    int count = 1;
    for (int step = 0; step < AHEAD_STEPS && count; step++) {
        count--;
        at = to_try[count].at;
        uint32_t field = to_try[count].field;
        int inside = to_try[count].inside;
        if (!inside && field == w->timestamp) {
            size_t first = at < limit && data[at] == '"' ? at + 1 : at;
            size_t size = timestamp_shape(data, first, limit);
            if (size == TIMESTAMP_SIZE)
                return 1;
            if (first + size == limit && out_of_bytes)
                return NEEDS_MORE;
            continue;
        }
        if (!inside && !(at < limit && data[at] == '"')) {
            while (at < limit && data[at] != ';' && data[at] != '"' && data[at] != '\n')
                at++;
            if (at == limit && out_of_bytes)
                return NEEDS_MORE;
            if (at < limit && data[at] == ';') {
                to_try[count].at = at + 1;
                to_try[count].field = field + 1;
                to_try[count++].inside = 0;
            }
            continue;
        }
        size_t past = at + !inside;
        int escaped = 0, odd = 0;
        /* Doubled quotes leave no choice, so they are no step: a payload is full of them. */
        while (past < limit && !escaped && !odd) {
            const uint8_t *quote = memchr(data + past, '"', limit - past);
            size_t stop = past = quote ? (size_t)(quote - data) : limit;
            while (past < limit && data[past] == '"')
                past++;
            escaped = data[stop - 1] == '\\';
            odd = (past - stop) % 2;
        }
        if (past == limit) {
            if (out_of_bytes)
                return NEEDS_MORE;
            continue;
        }
        if (escaped || !odd) {
            to_try[count].at = past;
            to_try[count].field = field;
            to_try[count++].inside = 1;
        }
        if (data[past] == ';' && (escaped || odd)) {
            to_try[count].at = past + 1;
            to_try[count].field = field + 1;
            to_try[count++].inside = 0;
        }
    }
    return 0;
}

#endif
