/* Lines that are not records: blank lines, byte order marks, separator lines, headers. The same as lines.py. */

#ifndef TRACKPARSE_LINES_H
#define TRACKPARSE_LINES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "codes.h"
#include "compiler.h"
#include "timestamp.h"

static const uint8_t BOM[] = {0xEF, 0xBB, 0xBF};

/* The name of a known column. */
typedef struct {
    const uint8_t *start;
    size_t size;
} name_t;

/* Where the blank line at `position` ends; 0 if the line is not blank, or NEEDS_MORE. */
static long long blank_line(const uint8_t *data, size_t position, size_t size, int final, size_t max_record_bytes)
{
    size_t at = position, end = size - position < max_record_bytes ? size : position + max_record_bytes;
    while (at < end && data[at] == '\r')
        at++;
    if (at - position == max_record_bytes)
        return 0;
    if (at == size)
        return final ? (long long)at : NEEDS_MORE;
    return data[at] == '\n' ? (long long)at + 1 : 0;
}

/* The bytes of the byte order mark at `position`; 0 without one, or NEEDS_MORE. */
static int mark_size(const uint8_t *data, size_t position, size_t size, int final)
{
    size_t there = size - position < sizeof BOM ? size - position : sizeof BOM;
    if (memcmp(data + position, BOM, there))
        return 0;
    return there == sizeof BOM ? (int)there : final ? 0 : NEEDS_MORE;
}

/* `at`, or where the byte order mark right before it begins. */
static size_t before_mark(const uint8_t *data, size_t start, size_t at)
{
    return at - start > sizeof BOM && !memcmp(data + at - sizeof BOM, BOM, sizeof BOM) ? at - sizeof BOM : at;
}

/* Whether this is the line that Excel puts before a header. */
static int is_separator_line(const uint8_t *line, size_t size)
{
    while (size && line[size - 1] == '\r')
        size--;
    return (size == 5 && !memcmp(line, "sep=;", 5)) || (size == 7 && !memcmp(line, "\"sep=;\"", 7));
}

/* Blanks, quotes and slashes: a real header has fewer of them around a name, so a damaged one is still known. */
static int is_around_name(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || c == '"' || c == '/';
}

/* Take what may stand around a name off both ends of a field. */
static inline void strip_around(const uint8_t *data, size_t *first, size_t *last)
{
    while (*first < *last && is_around_name(data[*last - 1]))
        --*last;
    while (*first < *last && is_around_name(data[*first]))
        ++*first;
}

static inline uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

/* Whether two words are the same but for capital letters: a header in capitals is a header, though no good one. */
static int is_same_word(const uint8_t *p, const uint8_t *q, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (lower(p[i]) != lower(q[i]))
            return 0;
    return 1;
}

/* A bit for each size that one of the names has; those of more than 63 bytes have one bit. */
static uint64_t sizes_of(const name_t *names, uint32_t name_count)
{
    uint64_t sizes = 0;
    for (uint32_t i = 0; i < name_count; i++)
        sizes |= (uint64_t)1 << (names[i].size < 63 ? names[i].size : 63);
    return sizes;
}

/* Whether a field is one of the names of a header. `sizes` is that of sizes_of. */
static inline int is_name(const uint8_t *data, size_t first, size_t last, const name_t *names, uint32_t name_count,
                          uint64_t sizes)
{
    strip_around(data, &first, &last);
    size_t size = last - first;
    if (!size || !(sizes >> (size < 63 ? size : 63) & 1))
        return 0;
    for (uint32_t i = 0; i < name_count; i++)
        if (names[i].size == size && is_same_word(data + first, names[i].start, size))
            return 1;
    return 0;
}

static size_t past_blanks(const uint8_t *data, size_t at, size_t end)
{
    while (at < end && (data[at] == ' ' || data[at] == '\t'))
        at++;
    return at;
}

static int stands(const uint8_t *data, size_t at, size_t end, const char *text)
{
    size_t size = strlen(text);
    return end - at >= size && !memcmp(data + at, text, size);
}

/* Behind a name at `at`, with or without quotes; 0 if it does not stand there. */
static size_t past_name(const uint8_t *data, size_t at, size_t end, const char *slashes, const char *name)
{
    size_t quoted = at < end && data[at] == '"';
    at += quoted;
    if (*slashes && stands(data, at, end, slashes))
        at += strlen(slashes);
    if (!stands(data, at, end, name))
        return 0;
    at += strlen(name);
    if (quoted && !(at < end && data[at] == '"'))
        return 0;
    return at + quoted;
}

/* Whether a record whose first field is the timestamp starts at `at`, perhaps behind a byte order mark. */
static int record_starts(const uint8_t *data, size_t at, size_t end)
{
    at += end - at >= sizeof BOM && !memcmp(data + at, BOM, sizeof BOM) ? sizeof BOM : 0;
    at += at < end && data[at] == '"';
    return timestamp_shape(data, at, end) == TIMESTAMP_SIZE;
}

/* Where the first header inside a line begins, and where its first name ends; 0 without one.
 * A header at the line's beginning is not meant, even if blanks, quotes or slashes come before it: that is the line
 * itself. But a quote that nothing closes is the end of a value that began above. */
static size_t find_header(const uint8_t *data, size_t start, size_t end, size_t *name_end)
{
    for (size_t at = start + 1; at < end; at++) {
        const uint8_t *slash = memchr(data + at, '/', end - at);
        if (!slash)
            return 0;
        at = (size_t)(slash - data);
        if (!stands(data, at, end, "//"))
            continue;
        size_t name = past_blanks(data, at + 2, end), begin = at, past;
        if (at > start + 1 && data[at - 1] == '"' && stands(data, name, end, "timestamp\"")) {
            begin = at - 1;
            past = name + strlen("timestamp\"");
        } else if (!(past = past_name(data, name, end, "", "timestamp"))) {
            continue;
        }
        past = past_blanks(data, past, end);
        if (past == end || data[past] != ';')
            continue;
        size_t semicolon = past;
        past = past_name(data, past_blanks(data, past + 1, end), end, "//", "tracking_code");
        if (!past)
            continue;
        past = past_blanks(data, past, end);
        if (past < end && data[past] != ';' && data[past] != '\r' && data[past] != '\n' &&
            !record_starts(data, past, end))
            continue;
        size_t i = start, quotes = 0;
        for (; i < begin && is_around_name(data[i]); i++)
            quotes += data[i] == '"';
        if (i < begin || quotes % 2) {
            if (name_end)
                *name_end = semicolon;
            return begin;
        }
    }
    return 0;
}

/* Where a second header begins in a line that may be a header; 0 without one.
 * `//timestamp` behind a delimiter does not begin one: it is a name of the first. Behind a quote that nothing closes it
 * does: that is the last line of a record, with the end of a value that began above. */
static size_t header_within(const uint8_t *data, size_t start, size_t end)
{
    size_t at = start, counted = start, quotes = 0;
    while ((at = find_header(data, at, end, NULL))) {
        for (; counted < at; counted++)
            quotes += data[counted] == '"';
        if (data[at - 1] != ';' || quotes % 2)
            break;
    }
    return at;
}

/* Whether a header stands behind other bytes of its line.
 * Logs look like that which were joined where the first had no line end. The last fields are names, two or more, and the
 * field before them ends with a name, or the first two of `names` are among them. A line that begins with a name is a
 * header itself, so there only those two show that another one follows. A header that find_header finds is not meant. In
 * Python: the names. */
static int names_behind(const uint8_t *data, size_t start, size_t end, const name_t *names, uint32_t name_count)
{
    if (name_count <= 2 || find_header(data, start, end, NULL))
        return 0;
    uint64_t count = 0, found = 0;
    int begins_with_name = 0, behind_name = 0, behind_other = 0;
    for (size_t at = start; at <= end; at++) {
        const uint8_t *delimiter = at < end ? memchr(data + at, ';', end - at) : NULL;
        size_t field = at, first = at, last = at = delimiter ? (size_t)(delimiter - data) : end;
        strip_around(data, &first, &last);
        uint64_t same = 0;
        int ends_in_name = 0;
        for (uint32_t i = 0; first < last && i < name_count; i++) {
            size_t size = names[i].size;
            if (!size || last - first < size || !is_same_word(data + last - size, names[i].start, size))
                continue;
            ends_in_name = 1;
            if (last - first == size)
                same |= (uint64_t)1 << i;
        }
        if (field == start)
            begins_with_name = same != 0;
        if (same) {
            count++;
            found |= same;
        } else {
            count = found = 0;
            behind_name = ends_in_name;
            behind_other = 1;
        }
    }
    int whole = (found & 3) == 3;
    return behind_other && count >= 2 && (whole || (behind_name && !begins_with_name));
}

/* Whether a line is a header, or was one before it was damaged.
 * It is a header if the first two of `names` are among its fields. It was one if most of its fields are known names,
 * and at most two are not. `sizes` is that of sizes_of. */
static int names_columns(const uint8_t *data, size_t start, size_t end, const name_t *names, uint32_t name_count,
                         uint64_t sizes, uint32_t width)
{
    /* The first record may follow without a line end, and so may another header; a byte order mark may stand between. */
    size_t line_end = end;
    end = record_start(data, start, end);
    if (end < line_end)
        end = before_mark(data, start, end);
    size_t header = header_within(data, start, end);
    if (header)
        end = before_mark(data, start, header);
    uint64_t found = 0, fields = 0;
    for (size_t at = start; at <= end; at++, fields++) {
        const uint8_t *delimiter = at < end ? memchr(data + at, ';', end - at) : NULL;
        size_t first = at, last = at = delimiter ? (size_t)(delimiter - data) : end;
        strip_around(data, &first, &last);
        uint64_t some = sizes >> (last - first < 63 ? last - first : 63) & 1;
        for (uint32_t i = 0; some && i < name_count; i++)
            if (last - first == names[i].size && is_same_word(data + first, names[i].start, last - first))
                found |= (uint64_t)1 << i;
    }
    uint64_t known = bit_count(found);
    if ((found & 3) == 3 || (known >= 2 && fields - known < (known < 3 ? known : 3)))
        return 1;
    if (names_behind(data, start, line_end, names, name_count))
        return 1;
    /* Few other lines start like this and have a name in them, whatever became of the others. If its number of fields were
     * another one, no record below it would fit, either. */
    size_t quoted = start < end && data[start] == '"';
    return known && name_count > 2 && width > 2 && fields == width && end - start >= 2 + quoted &&
           data[start + quoted] == '/' && data[start + quoted + 1] == '/';
}

#endif
