/* Whether a text is JSON. The same as json.py. */

#ifndef TRACKPARSE_JSON_H
#define TRACKPARSE_JSON_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "isa_common.h"

#define JSON_DEPTH 1024

/* Behind the blanks at `at`. */
static size_t json_blank(const uint8_t *p, size_t at, size_t n)
{
    while (at < n && is_blank(p[at]))
        at++;
    return at;
}

/* Behind the string that begins at `at`; 0 if it is not a valid string. */
static size_t json_string(const uint8_t *p, size_t at, size_t n)
{
    for (at++; at < n; at++) {
        if (p[at] == '"')
            return at + 1;
        if (p[at] < 0x20)
            return 0;
        if (p[at] != '\\')
            continue;
        if (++at == n)
            return 0;
        if (p[at] == 'u') {
            if (n - at < 5)
                return 0;
            for (int i = 1; i <= 4; i++) {
                uint8_t c = p[at + i], letter = c | 0x20;
                if (!((c >= '0' && c <= '9') || (letter >= 'a' && letter <= 'f')))
                    return 0;
            }
            at += 4;
        } else if (!p[at] || !strchr("\"\\/bfnrt", p[at])) {
            return 0;
        }
    }
    return 0;
}

/* Behind the digits at `at`. */
static size_t json_digits(const uint8_t *p, size_t at, size_t n)
{
    while (at < n && p[at] >= '0' && p[at] <= '9')
        at++;
    return at;
}

/* Behind the number at `at`, which ends where its grammar ends; 0 if it is not a valid one. */
static size_t json_number(const uint8_t *p, size_t at, size_t n)
{
    if (p[at] == '-')
        at++;
    if (at == n || p[at] < '0' || p[at] > '9')
        return 0;
    at = p[at] == '0' ? at + 1 : json_digits(p, at, n);
    if (at < n && p[at] == '.') {
        size_t past = json_digits(p, at + 1, n);
        if (past == at + 1)
            return at;
        at = past;
    }
    if (at < n && (p[at] | 0x20) == 'e') {
        size_t sign = at + 1 < n && (p[at + 1] == '+' || p[at + 1] == '-') ? at + 2 : at + 1;
        size_t past = json_digits(p, sign, n);
        if (past != sign)
            at = past;
    }
    return at;
}

/* Behind the number or word at `at`; 0 if it is not a valid one. */
static size_t json_scalar(const uint8_t *p, size_t at, size_t n)
{
    static const char *const words[] = {"true", "false", "null"};
    for (int i = 0; i < 3; i++) {
        size_t size = strlen(words[i]);
        if (n - at >= size && !memcmp(p + at, words[i], size))
            return at + size;
    }
    return json_number(p, at, n);
}

/* Whether the bytes are one JSON text (RFC 8259), nested at most JSON_DEPTH deep. UTF-8 is not checked here. */
static int is_json(const uint8_t *p, size_t n)
{
    enum { VALUE, VALUE_OR_END, KEY_OR_END, KEY, COLON, COMMA, NOTHING } expected = VALUE;
    uint8_t stack[JSON_DEPTH / 8] = {0}; /* one bit a level: is it an array? */
    int depth = 0;

    for (size_t at = json_blank(p, 0, n); at < n; at = json_blank(p, at, n)) {
        uint8_t c = p[at];
        int array = depth && stack[(depth - 1) / 8] >> ((depth - 1) % 8) & 1;
        if (c == '"' || c == '-' || (c >= '0' && c <= '9') || c == 't' || c == 'f' || c == 'n') {
            size_t past = c == '"' ? json_string(p, at, n) : json_scalar(p, at, n);
            if (!past)
                return 0;
            at = past;
            if (c == '"' && (expected == KEY || expected == KEY_OR_END))
                expected = COLON;
            else if (expected == VALUE || expected == VALUE_OR_END)
                expected = depth ? COMMA : NOTHING;
            else
                return 0;
            continue;
        }
        at++;
        if (c == ':' && expected == COLON) {
            expected = VALUE;
        } else if ((c == '[' || c == '{') && (expected == VALUE || expected == VALUE_OR_END)) {
            if (depth == JSON_DEPTH)
                return 0;
            uint8_t bit = (uint8_t)(1 << depth % 8);
            stack[depth / 8] = (uint8_t)((stack[depth / 8] & ~bit) | (c == '[' ? bit : 0));
            depth++;
            expected = c == '[' ? VALUE_OR_END : KEY_OR_END;
        } else if (c == ',' && expected == COMMA) {
            expected = array ? VALUE : KEY;
        } else if (depth && ((c == ']' && array && (expected == COMMA || expected == VALUE_OR_END)) ||
                             (c == '}' && !array && (expected == COMMA || expected == KEY_OR_END)))) {
            depth--;
            expected = depth ? COMMA : NOTHING;
        } else {
            return 0;
        }
    }
    return expected == NOTHING;
}

#endif
