/* Columns of values inside payloads. The same as payload.py, in one pass over each payload.
 *
 * A payload is unescaped, and its marks {}[]:, outside strings are found 64 bytes at a time. What stands between two marks
 * of a text without blanks is nothing, a string, a number or a word. So the marks alone are walked along, by a
 * grammar of five states; keys are compared where a path may lead on, and nowhere else. */

#ifndef TRACKPARSE_PAYLOAD_H
#define TRACKPARSE_PAYLOAD_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "codes.h"
#include "dictionary.h"
#include "isa.h"
#include "json.h"
#include "values.h"

#define MOST_DIGITS 4300        /* Python makes no integer of more */
#define MARKED_BYTES 4096       /* the marks of so many bytes are found at once */
#define BYTES_AT_ONCE (4 << 20) /* of payloads: whoever calls may look for signals then */

/* A key on the way to values that are wanted. NOWHERE stands for all others, and ROOT for the payload itself. */
typedef struct {
    const uint8_t *key;
    size_t size;
    uint64_t number; /* the key as the number of an element, or NO_NUMBER */
    uint32_t parent, child, sibling;
    uint64_t seen;      /* the number of its last value */
    size_t first, past; /* where that stands in the text */
} node_t;

enum { NOWHERE, ROOT };
#define NO_NUMBER UINT64_MAX

/* A column that is made. */
typedef struct {
    char kind;      /* as in Wanted */
    int size;       /* bytes of a number; 0 of text, and of true or false */
    uint32_t node;  /* whose values it has */
    uint8_t *first; /* numbers or bits, all 0 at first; or the offsets of text */
    pile_t text;
    size_t used; /* bytes of text */
    validity_t validity;
    size_t misfits;
} payload_column_t;

/* A number that is not simply the quotient or product of two exact ones: whoever calls makes a double of its text. */
typedef struct {
    size_t column, record, text;
} hard_number_t;

/* What payloads are looked into with. */
typedef struct {
    const isa_t *isa;
    node_t *nodes;
    size_t node_count;
    payload_column_t *columns;
    size_t column_count;
    pile_t spaces[3];    /* for a payload unescaped, without blanks, and for a key */
    const uint8_t *text; /* the payload */
    size_t size;
    int escapes;            /* whether there is a backslash in it */
    uint64_t count, before; /* values so far, of all payloads; and those before this one */
    uint32_t marks[MARKED_BYTES + 64];
    /* For each object and array around the place: */
    uint32_t nodes_around[JSON_DEPTH];
    uint8_t arrays_around[JSON_DEPTH];
    uint64_t elements_around[JSON_DEPTH];
    pile_t hard, hard_text;
    size_t hard_count, hard_text_used;
    /* Where to go on. */
    size_t run, record_of_run, record;
} payload_reader_t;

/* Room for `size` bytes; NULL without memory. */
static uint8_t *room_for(pile_t *pile, size_t used, size_t size)
{
    if (pile->capacity < size && !grow_pile(pile, used, size + size / 2 + 64))
        return NULL;
    return pile->start;
}

/* ---- strings ------------------------------------------------------------------------------------------- */

/* What the letter behind a backslash stands for; that of u is more. */
static const uint8_t ESCAPED[256] = {['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
                                     ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t'};
static const uint8_t HEX[256] = {['0'] = 0, 1,  2,  3,  4,  5,          6,  7,  8,  9,  ['A'] = 10,
                                 11,        12, 13, 14, 15, ['a'] = 10, 11, 12, 13, 14, 15};

static inline uint32_t hex_of(const uint8_t *p)
{
    return (uint32_t)HEX[p[0]] << 12 | (uint32_t)HEX[p[1]] << 8 | (uint32_t)HEX[p[2]] << 4 | HEX[p[3]];
}

/* Write a code point as UTF-8; returns how many bytes. */
static inline size_t put_utf8(uint8_t *out, uint32_t code)
{
    uint8_t last = (uint8_t)(0x80 | (code & 0x3F)), middle = (uint8_t)(0x80 | (code >> 6 & 0x3F));
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (uint8_t)(0xC0 | code >> 6);
        out[1] = last;
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (uint8_t)(0xE0 | code >> 12);
        out[1] = middle;
        out[2] = last;
        return 3;
    }
    out[0] = (uint8_t)(0xF0 | code >> 18);
    out[1] = (uint8_t)(0x80 | (code >> 12 & 0x3F));
    out[2] = middle;
    out[3] = last;
    return 4;
}

/* Copy the bytes up to the next backslash or the end; returns how many. Between escapes there is mostly little. */
static inline size_t put_plain(uint8_t *out, const uint8_t *p, size_t n)
{
    size_t size = 0;
    for (; size < n && size < 16; size++) {
        if (p[size] == '\\')
            return size;
        out[size] = p[size];
    }
    const uint8_t *escape = size < n ? memchr(p + size, '\\', n - size) : NULL;
    size_t all = escape ? (size_t)(escape - p) : n;
    memcpy(out + size, p + size, all - size);
    return all;
}

/* Write what the inside of a valid JSON string stands for, as UTF-8; `*written` is set to its size, which is never
 * larger. 0 if it holds half of a surrogate pair. */
static int unescape_json(uint8_t *out, const uint8_t *p, size_t n, size_t *written)
{
    const uint8_t *start = out, *end = p + n;
    for (;;) {
        size_t plain = put_plain(out, p, (size_t)(end - p));
        out += plain;
        p += plain;
        if (p == end)
            break;
        if (p[1] != 'u') {
            *out++ = ESCAPED[p[1]];
            p += 2;
            continue;
        }
        uint32_t code = hex_of(p + 2);
        p += 6;
        if (code >> 11 == 0xD800 >> 11) {
            uint32_t low = end - p >= 6 && p[0] == '\\' && p[1] == 'u' ? hex_of(p + 2) : 0;
            if (code >= 0xDC00 || low >> 10 != 0xDC00 >> 10)
                return 0;
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
            p += 6;
        }
        out += put_utf8(out, code);
    }
    *written = (size_t)(out - start);
    return 1;
}

/* ---- places -------------------------------------------------------------------------------------------- */

/* Whether this is a number or a word; no integer has too many digits. */
static inline int is_scalar(const uint8_t *p, size_t n)
{
    switch (*p) {
    case 't':
        return n == 4 && !memcmp(p, "true", 4);
    case 'f':
        return n == 5 && !memcmp(p, "false", 5);
    case 'n':
        return n == 4 && !memcmp(p, "null", 4);
    }
    if (*p >= '1' && *p <= '9' && n <= MOST_DIGITS && json_digits(p, 1, n) == n)
        return 1;
    if (json_number(p, 0, n) != n)
        return 0;
    size_t sign = *p == '-';
    return n - sign <= MOST_DIGITS || json_digits(p, sign, n) != n;
}

/* All bytes of a text of 1 to 8, some of them more than once: a few loads, in place of a call. */
static inline uint64_t bytes_of(const uint8_t *p, size_t n)
{
    uint32_t words[2];
    if (n < 4)
        return (uint64_t)p[0] << 16 | (uint64_t)p[n / 2] << 8 | p[n - 1];
    memcpy(words, p, 4);
    memcpy(words + 1, p + n - 4, 4);
    return (uint64_t)words[0] << 32 | words[1];
}

static inline int has_backslash(const uint8_t *p, size_t n)
{
    if (n - 1 >= 8)
        return n && memchr(p, '\\', n) != NULL;
    uint64_t x = bytes_of(p, n) ^ 0x5C5C5C5C5C5C5C5Cu;
    return ((x - 0x0101010101010101u) & ~x & 0x8080808080808080u) != 0;
}

static inline int is_key(const node_t *node, const uint8_t *key, size_t size)
{
    if (node->size != size)
        return 0;
    return size - 1 >= 8 ? !memcmp(node->key, key, size) : bytes_of(node->key, size) == bytes_of(key, size);
}

/* The child of a node with this key, of `size` bytes with its escapes; -1 without memory. */
static int64_t member_of(payload_reader_t *r, uint32_t node, const uint8_t *key, size_t size)
{
    if (r->escapes && has_backslash(key, size)) {
        uint8_t *space = room_for(r->spaces + 2, 0, size);
        if (!space)
            return -1;
        if (!unescape_json(space, key, size, &size))
            return NOWHERE;
        key = space;
    }
    for (uint32_t child = r->nodes[node].child; child; child = r->nodes[child].sibling)
        if (is_key(r->nodes + child, key, size))
            return child;
    return NOWHERE;
}

/* The child of a node with this number. */
static uint32_t element_of(const payload_reader_t *r, uint32_t node, uint64_t number)
{
    uint32_t child = r->nodes[node].child;
    while (child && r->nodes[child].number != number)
        child = r->nodes[child].sibling;
    return child;
}

/* The node's value begins here. */
static inline void reach(payload_reader_t *r, uint32_t node, size_t first, size_t past)
{
    node_t *found = r->nodes + node;
    found->seen = ++r->count;
    found->first = first;
    found->past = past;
}

/* Whether the payload has a value for the node. What was found in an object or array does not count if that came again
 * behind it: its key is there twice, and the last one counts. */
static inline int is_present(const payload_reader_t *r, uint32_t node)
{
    const node_t *nodes = r->nodes;
    if (nodes[node].seen <= r->before)
        return 0;
    for (; node != ROOT; node = nodes[node].parent)
        if (nodes[node].seen < nodes[nodes[node].parent].seen)
            return 0;
    return 1;
}

/* What find_places says. */
enum { NOT_LOOKED_INTO, LOOKED_INTO, HAS_BLANKS };

/* Find the values of all nodes in the payload, which begins with a brace; or NO_MEMORY. */
static int find_places(payload_reader_t *r)
{
    enum { VALUE, FIRST_VALUE, KEY, FIRST_KEY, PAST } expected = VALUE;
    const uint8_t *text = r->text;
    json_scan_t scan = {0};
    size_t depth = 0, from = 0; /* from: behind the mark before */
    uint32_t node = NOWHERE;    /* of the object or array around */
    uint32_t next = ROOT;       /* of the value to come */
    int array = 0;
    r->before = r->count;

    for (size_t at = 0; at < r->size; at += MARKED_BYTES) {
        size_t end = r->size - at < MARKED_BYTES ? r->size : at + MARKED_BYTES;
        size_t count = r->isa->json_marks(text, at, end, r->size, &scan, r->marks);
        r->escapes = scan.escapes;
        if (scan.bad | scan.blank)
            /* A blank may be why a quote does not stand beside a mark. */
            return scan.blank ? HAS_BLANKS : NOT_LOOKED_INTO;
        for (size_t i = 0; i < count; i++) {
            size_t mark = r->marks[i];
            uint8_t c = text[mark];
            if (expected == KEY || expected == FIRST_KEY) {
                if (mark > from) {
                    if (text[from] != '"' || c != ':')
                        return NOT_LOOKED_INTO;
                    next = NOWHERE;
                    if (r->nodes[node].child) {
                        int64_t member = member_of(r, node, text + from + 1, mark - from - 2);
                        if (member < 0)
                            return NO_MEMORY;
                        next = (uint32_t)member;
                    }
                    expected = VALUE;
                    from = mark + 1;
                    continue;
                }
                if (expected == KEY || c != '}')
                    return NOT_LOOKED_INTO;
            } else if (expected == PAST) {
                if (mark > from)
                    return NOT_LOOKED_INTO;
            } else if (mark > from) {
                if (text[from] != '"' && !is_scalar(text + from, mark - from))
                    return NOT_LOOKED_INTO;
                reach(r, next, from, mark);
            } else if (c == '{' || c == '[') {
                if (depth == JSON_DEPTH)
                    return NOT_LOOKED_INTO;
                reach(r, next, mark, 0);
                r->nodes_around[depth] = node;
                r->arrays_around[depth] = (uint8_t)array;
                node = next;
                array = c == '[';
                if (array)
                    next = element_of(r, node, r->elements_around[depth] = 0);
                expected = array ? FIRST_VALUE : FIRST_KEY;
                depth++;
                from = mark + 1;
                continue;
            } else if (expected == VALUE || c != ']') {
                return NOT_LOOKED_INTO;
            }
            from = mark + 1;
            if (c == ',' && depth) {
                expected = array ? VALUE : KEY;
                if (array)
                    next = element_of(r, node, ++r->elements_around[depth - 1]);
            } else if (c == (array ? ']' : '}') && depth) {
                r->nodes[node].past = from;
                depth--;
                node = r->nodes_around[depth];
                array = r->arrays_around[depth];
                expected = PAST;
            } else {
                return NOT_LOOKED_INTO;
            }
        }
    }
    return depth == 0 && expected == PAST && from == r->size && !scan.inside ? LOOKED_INTO : NOT_LOOKED_INTO;
}

/* Whether a text is [] or null, with blanks anywhere: PHP writes these for an empty array. */
static int is_empty_array(const uint8_t *p, size_t at, size_t n)
{
    size_t past = 0;
    if (n - at >= 4 && !memcmp(p + at, "null", 4))
        past = at + 4;
    else if (at < n && p[at] == '[' && (past = json_blank(p, at + 1, n)) < n && p[past] == ']')
        past++;
    else
        return 0;
    return json_blank(p, past, n) == n;
}

/* Find the values of all nodes in the field of a row; or NO_MEMORY. */
static int look_into(payload_reader_t *r, const run_t *run, const uint32_t *row)
{
    span_t span = span_of(run, row);
    size_t size = span.last - span.first;
    if (!size)
        return NOT_LOOKED_INTO;
    uint8_t *text = room_for(r->spaces, 0, size + 128);
    if (!text)
        return NO_MEMORY;
    if (span.quoted)
        size = r->isa->unescape(text, run->data + span.first, size, dialect_of(row) == PHP);
    else
        memcpy(text, run->data + span.first, size);
    size_t first = json_blank(text, 0, size);
    if (first == size || text[first] != '{') {
        if (!is_empty_array(text, first, size))
            return NOT_LOOKED_INTO;
        size = 2;
        memcpy(text, "{}", size);
    }
    memset(text + size, 0, 64);
    r->text = text;
    r->size = size;
    int found = find_places(r);
    if (found != HAS_BLANKS)
        return found;
    uint8_t *compacted = room_for(r->spaces + 1, 0, size + 128);
    if (!compacted)
        return NO_MEMORY;
    if (!r->isa->json_compact(compacted, text, size, &r->size))
        return NOT_LOOKED_INTO;
    memset(compacted + r->size, 0, 64);
    r->text = compacted;
    found = find_places(r);
    return found == HAS_BLANKS ? NOT_LOOKED_INTO : found;
}

/* ---- values -------------------------------------------------------------------------------------------- */

/* Write a number, if it is an integer and fits its `size` bytes; else 0. */
static int put_integer(uint8_t *out, int size, int is_signed, const uint8_t *p, size_t n)
{
    int minus = *p == '-';
    uint64_t most = UINT64_MAX >> (64 - 8 * size), value = 0;
    if (is_signed)
        most = most / 2 + (uint64_t)minus;
    else if (minus)
        most = 0;
    if (n - (size_t)minus > 20)
        return 0;
    for (size_t i = (size_t)minus; i < n; i++) {
        uint64_t digit = (uint64_t)p[i] - '0';
        /* Twenty digits may be more than 64 bits, nineteen are not. */
        if (digit > 9 || (i == (size_t)minus + 19 && (value > UINT64_MAX / 10 || value * 10 > UINT64_MAX - digit)))
            return 0;
        value = value * 10 + digit;
    }
    if (value > most)
        return 0;
    if (minus)
        value = 0 - value;
    uint8_t as8 = (uint8_t)value;
    uint16_t as16 = (uint16_t)value;
    uint32_t as32 = (uint32_t)value;
    const void *bytes = size == 1   ? (void *)&as8
                        : size == 2 ? (void *)&as16
                        : size == 4 ? (void *)&as32
                                    : (void *)&value;
    memcpy(out, bytes, (size_t)size);
    return 1;
}

static void put_double(uint8_t *out, int size, double value)
{
    float narrow = (float)value;
    memcpy(out, size == 4 ? (void *)&narrow : (void *)&value, (size_t)size);
}

/* A number as a double, if it is a small whole number, times or divided by a power of ten that is exact; else 0. */
static int easy_double(const uint8_t *p, size_t n, double *value)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    size_t i = *p == '-';
    uint64_t digits = 0;
    int power = 0, behind = 0, exponent = 0;
    for (; i < n && p[i] != 'e' && p[i] != 'E'; i++) {
        if (p[i] == '.') {
            behind = 1;
            continue;
        }
        digits = digits * 10 + (uint64_t)(p[i] - '0');
        power -= behind;
        if (digits > 1ull << 53 || power < -22)
            return 0;
    }
    if (i < n) {
        int minus = p[++i] == '-';
        for (i += p[i] == '-' || p[i] == '+'; i < n; i++)
            if ((exponent = exponent * 10 + (p[i] - '0')) > 99)
                return 0;
        power += minus ? -exponent : exponent;
    }
    if (power < -22 || power > 22)
        return 0;
    *value = power < 0 ? (double)digits / powers[-power] : (double)digits * powers[power];
    if (*p == '-')
        *value = -*value;
    return 1;
}

/* Remember a number whose double is not easy; 0 without memory. */
static int put_hard(payload_reader_t *r, size_t column, const uint8_t *p, size_t n)
{
    hard_number_t *hard =
        (hard_number_t *)room_for(&r->hard, r->hard_count * sizeof *hard, (r->hard_count + 1) * sizeof *hard);
    uint8_t *text = room_for(&r->hard_text, r->hard_text_used, r->hard_text_used + n + 1);
    if (!hard || !text)
        return 0;
    hard[r->hard_count++] = (hard_number_t){column, r->record, r->hard_text_used};
    memcpy(text + r->hard_text_used, p, n);
    text[r->hard_text_used + n] = 0;
    r->hard_text_used += n + 1;
    return 1;
}

/* Add what a column of text holds for a value: 1, or 0 if that is not UTF-8, or NO_MEMORY. */
static int put_text(payload_reader_t *r, payload_column_t *column, const uint8_t *p, size_t n)
{
    size_t written = n;
    uint8_t *out = room_for(&column->text, column->used, column->used + n + 64);
    if (!out)
        return NO_MEMORY;
    out += column->used;
    if (*p != '"')
        memcpy(out, p, n);
    else if (!r->escapes)
        copy_value(out, p + 1, written = n - 2, 64);
    else if (!unescape_json(out, p + 1, n - 2, &written))
        return 0;
    column->used += written;
    return 1;
}

/* Add what a column holds for a value that is not null: 1, or 0 if the value does not fit, or NO_MEMORY. */
static int value_of(payload_reader_t *r, size_t number, const uint8_t *p, size_t n)
{
    payload_column_t *column = r->columns + number;
    uint8_t *out = column->first + r->record * (size_t)column->size;
    double value;
    if (column->kind == 't')
        return put_text(r, column, p, n);
    if (column->kind == '?') {
        if (*p == 't')
            column->first[r->record / 8] |= (uint8_t)(1 << r->record % 8);
        return *p == 't' || *p == 'f';
    }
    if (*p != '-' && (*p < '0' || *p > '9'))
        return 0;
    if (column->kind != 'f' && column->kind != 'd')
        return put_integer(out, column->size, column->kind >= 'a', p, n);
    if (!easy_double(p, n, &value))
        return put_hard(r, number, p, n) ? 1 : NO_MEMORY;
    put_double(out, column->size, value);
    return 1;
}

/* Add the values of one payload to all columns; 0 without memory. */
static int add_values(payload_reader_t *r, int looked_into)
{
    for (size_t i = 0; i < r->column_count; i++) {
        payload_column_t *column = r->columns + i;
        const node_t *node = r->nodes + column->node;
        int present = looked_into && is_present(r, column->node) && r->text[node->first] != 'n';
        int fits = present ? value_of(r, i, r->text + node->first, node->past - node->first) : 0;
        if (fits == NO_MEMORY)
            return 0;
        if (!fits) {
            set_null(&column->validity, r->record);
            column->misfits += (size_t)present;
        }
        if (column->kind == 't')
            ((int32_t *)column->first)[r->record + 1] = (int32_t)column->used;
    }
    return 1;
}

/* Fill the columns with the next records: DONE, or MORE behind BYTES_AT_ONCE of the log, or NO_MEMORY. */
static int payload_columns(payload_reader_t *r, const runs_t *runs)
{
    size_t bytes = 0;
    for (; r->run < runs->count; r->run++, r->record_of_run = 0) {
        const run_t *run = runs->run + r->run;
        for (; r->record_of_run < run->records; r->record_of_run++, r->record++) {
            int found = NOT_LOOKED_INTO;
            if (run->field != NO_COLUMN) {
                const uint32_t *row = row_of(run, r->record_of_run);
                if (bytes >= BYTES_AT_ONCE)
                    return MORE;
                found = look_into(r, run, row);
                bytes += row[run->field + 1] - (run->field ? row[run->field] : row[0] & START_MASK);
            }
            if (found == NO_MEMORY || !add_values(r, found == LOOKED_INTO))
                return NO_MEMORY;
        }
    }
    return DONE;
}

#endif
