/* What the instruction sets share: one word of 64 bits at a time. */

#ifndef TRACKPARSE_ISA_COMMON_H
#define TRACKPARSE_ISA_COMMON_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "compiler.h"

/* Flags a separator that is a line end; the other bits are its position. */
#define LINE_END 0x80000000u

/* What a scan saw of all bytes that it looked at. */
typedef struct {
    int ascii;  /* whether all are ASCII */
    int inner;  /* whether there are line ends inside quotes */
    size_t end; /* behind the last byte */
} seen_t;

/* What a scan of a JSON text knows of the bytes before a step, and what it found so far. */
typedef struct {
    uint64_t inside;  /* all bits, if the step begins inside a string */
    uint64_t escaped; /* 1 if its first byte stands behind the backslash of an escape */
    uint64_t hex;     /* the bytes that have to be digits of an escape */
    uint64_t closed;  /* 1 if it stands behind a closing quote */
    int bad;          /* a string that is not valid */
    int blank;        /* a blank, or what is no part of JSON, between tokens */
    int escapes;      /* a backslash */
} json_scan_t;

/* Whether this may stand between the tokens of JSON. */
static inline int is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Bit i is the parity of bits 0..i of m. */
static inline uint64_t prefix_xor_portable(uint64_t m)
{
    m ^= m << 1;
    m ^= m << 2;
    m ^= m << 4;
    m ^= m << 8;
    m ^= m << 16;
    return m ^ m << 32;
}

/* Write the bytes of p but those in `drop`, run by run. */
static inline uint8_t *put_runs(uint8_t *out, const uint8_t *p, uint64_t drop, size_t size)
{
    size_t from = 0;
    for (; drop; drop &= drop - 1) {
        size_t bit = lowest_bit(drop);
        memcpy(out, p + from, bit - from);
        out += bit - from;
        from = bit + 1;
    }
    memcpy(out, p + from, size - from);
    return out + (size - from);
}

/* `space`, filled with the first n bytes from p and then with zeros. */
static inline const uint8_t *pad(const uint8_t *p, size_t n, uint8_t *space)
{
    memcpy(space, p, n);
    memset(space + n, 0, 64 - n);
    return space;
}

/* Write the position of each bit of m, flagged where it is a line end. */
static inline uint32_t *emit_bits(uint32_t *out, uint64_t m, uint64_t line_ends, uint32_t at)
{
    for (; m; m &= m - 1) {
        uint32_t bit = lowest_bit(m);
        *out++ = (at + bit) | (uint32_t)(line_ends >> bit & 1) << 31;
    }
    return out;
}

/* What has_fork_before finds. */
enum { NO_FORK, FORK, BARE_FIELD };

/* Whether a \" inside quotes stands before the quote at `at` and in the same record; BARE_FIELD if the quote itself
 * is in a bare field. `out` is behind the separators found before `at`, none of them before `begin`. */
static int has_fork_before(const uint8_t *data, size_t begin, size_t at, const uint32_t *found, const uint32_t *out)
{
    for (size_t i = at, first = 1;; out--, first = 0) {
        int line_end = out > found && out[-1] & LINE_END;
        size_t field = out > found ? (out[-1] & ~LINE_END) + 1 : begin;
        if (data[field] == '"')
            for (; i > field + 1; i--)
                if (data[i - 1] == '"' && data[i - 2] == '\\')
                    return FORK;
        if (first && data[field] != '"')
            return BARE_FIELD;
        if (out == found || line_end)
            return NO_FORK;
        i = field - 1;
    }
}

/* The first of the bytes in `asked` whose record may have another reading, as `settles` of the grammar decides.
 * Each of these bytes stands one byte behind a \" or, if that is read as RFC 4180, two bytes behind it. The separators
 * of this step are written to `out`; the caller writes them again. The bytes between two \" are read at most twice, so
 * all of this takes no longer than a scan. */
static RARELY_CALLED uint64_t unsettled_of(const uint8_t *data, size_t begin, size_t at, const uint32_t *found,
                                           uint32_t *out, uint64_t separators, uint64_t line_ends, uint64_t asked,
                                           int php)
{
    const uint32_t *past = emit_bits(out, separators, line_ends, (uint32_t)at);
    for (; asked; asked &= asked - 1) {
        size_t byte = at + lowest_bit(asked);
        int next = php || (data[byte - 1] == '"' && data[byte - 2] == '\\');
        size_t quote = next ? byte - 1 : byte - 2;
        const uint32_t *before = past;
        while (before > found && (before[-1] & ~LINE_END) > quote)
            before--;
        int fork = has_fork_before(data, begin, quote, found, before);
        if (fork != BARE_FIELD && (fork == NO_FORK || (php && data[byte] != '"')))
            return asked & -asked;
    }
    return 0;
}

#endif
