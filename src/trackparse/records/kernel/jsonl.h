/* Rows of columns as lines of JSON. The same as jsonl.py. */

#ifndef TRACKPARSE_JSONL_H
#define TRACKPARSE_JSONL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "isa.h"

/* What Python's JsonColumn holds, and its last value, which the next row often has as well. */
typedef struct {
    const uint8_t *name;
    size_t name_size;
    int kind;
    const uint8_t *validity; /* NULL if there are no nulls */
    const int64_t *numbers;
    const int32_t *offsets;
    const uint8_t *data;
    size_t data_size;
    const uint8_t *last; /* NULL: there is none */
    size_t last_size;
    size_t at, written; /* where it was written, and how many bytes, its name among them */
} json_column_t;

/* What was written. Without `out` the bytes are only counted. */
typedef struct {
    uint8_t *out;
    size_t size;
} json_out_t;

static inline void jsonl_put(json_out_t *w, const void *bytes, size_t size)
{
    if (w->out && size)
        memcpy(w->out + w->size, bytes, size);
    w->size += size;
}

static void jsonl_number(json_out_t *w, int64_t number)
{
    uint8_t digits[20];
    size_t at = sizeof digits;
    uint64_t left = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    do
        digits[--at] = (uint8_t)('0' + left % 10);
    while (left /= 10);
    if (number < 0)
        digits[--at] = '-';
    jsonl_put(w, digits + at, sizeof digits - at);
}

/* The text without its quotes. */
static void jsonl_escaped(json_out_t *w, const uint8_t *text, size_t size)
{
    static const char letters[] = "btnvfr"; /* of the bytes from 8 on; JSON has no letter for the vertical tab */
    size_t plain = 0;
    for (size_t i = 0; i < size; i++) {
        uint8_t c = text[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        jsonl_put(w, text + plain, i - plain);
        plain = i + 1;
        uint8_t escape[6] = {'\\', c, '0', '0', (uint8_t)('0' + (c >> 4)), (uint8_t)"0123456789abcdef"[c & 15]};
        size_t length = 2;
        if (c >= '\b' && c <= '\r' && c != '\v') {
            escape[1] = (uint8_t)letters[c - '\b'];
        } else if (c < 0x20) {
            escape[1] = 'u';
            length = 6;
        }
        jsonl_put(w, escape, length);
    }
    jsonl_put(w, text + plain, size - plain);
}

static void jsonl_base64(json_out_t *w, const uint8_t *bytes, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t bits = (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
                        (left > 2 ? (uint32_t)bytes[i + 2] : 0);
        char four[4] = {digits[bits >> 18], digits[bits >> 12 & 63], left > 1 ? digits[bits >> 6 & 63] : '=',
                        left > 2 ? digits[bits & 63] : '='};
        jsonl_put(w, four, 4);
    }
}

static void jsonl_name(json_out_t *w, const json_column_t *c, const char *behind)
{
    jsonl_put(w, "\"", 1);
    jsonl_escaped(w, c->name, c->name_size);
    jsonl_put(w, behind, strlen(behind));
}

/* The name and the value of a text, or of bytes. */
static void jsonl_value(json_out_t *w, json_column_t *c, const uint8_t *text, size_t size, const isa_t *isa)
{
    if (c->last && size == c->last_size && (!size || !memcmp(text, c->last, size))) {
        size_t at = w->size;
        w->size += c->written;
        if (w->out)
            memcpy(w->out + at, w->out + c->at, c->written);
        return;
    }
    c->at = w->size;
    if (c->kind == 't' || isa->is_utf8(text, size)) {
        jsonl_name(w, c, "\":\"");
        jsonl_escaped(w, text, size);
    } else {
        jsonl_name(w, c, "_base64\":\"");
        jsonl_base64(w, text, size);
    }
    jsonl_put(w, "\"", 1);
    c->last = text;
    c->last_size = size;
    c->written = w->size - c->at;
}

/* The name and the value of a column in a row. */
static void jsonl_member(json_out_t *w, json_column_t *c, size_t row, const isa_t *isa)
{
    if (c->validity && !(c->validity[row / 8] >> row % 8 & 1)) {
        jsonl_name(w, c, "\":null");
    } else if (c->kind == 'q') {
        jsonl_name(w, c, "\":");
        jsonl_number(w, c->numbers[row]);
    } else {
        jsonl_value(w, c, c->data + c->offsets[row], (size_t)(c->offsets[row + 1] - c->offsets[row]), isa);
    }
}

/* Write a line for each row to `out`, or NULL to count; returns how many bytes. */
static size_t json_lines(json_column_t *columns, size_t count, size_t rows, const isa_t *isa, uint8_t *out)
{
    json_out_t w = {out, 0};
    for (size_t i = 0; i < count; i++)
        columns[i].last = NULL;
    for (size_t row = 0; row < rows; row++) {
        jsonl_put(&w, "{", 1);
        for (size_t i = 0; i < count; i++) {
            jsonl_put(&w, ",", i > 0);
            jsonl_member(&w, columns + i, row, isa);
        }
        jsonl_put(&w, "}\n", 2);
    }
    return w.size;
}

/* Whether the offsets of a column of text or bytes lie in its data, one behind the other. */
static int are_offsets(const json_column_t *c, size_t rows)
{
    if (c->offsets[0] < 0 || (size_t)c->offsets[rows] > c->data_size)
        return 0;
    for (size_t row = 0; row < rows; row++)
        if (c->offsets[row] > c->offsets[row + 1])
            return 0;
    return 1;
}

#endif
