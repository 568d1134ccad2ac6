/* Portable C: one step is eight 64-bit words. */

#ifndef TRACKPARSE_ISA_PORTABLE_H
#define TRACKPARSE_ISA_PORTABLE_H

#include "isa_common.h"

typedef struct {
    uint64_t word[8];
} vec_portable;

static inline vec_portable load64_portable(const uint8_t *p)
{
    vec_portable v;
    memcpy(v.word, p, 64);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    for (int i = 0; i < 8; i++)
        v.word[i] = __builtin_bswap64(v.word[i]);
#endif
    return v;
}

/* Gather the top bit of each byte. */
static inline uint64_t tops(uint64_t w)
{
    return ((w & 0x8080808080808080u) >> 7) * 0x0102040810204080u >> 56;
}

static inline uint64_t eq64_portable(vec_portable v, uint8_t c)
{
    uint64_t mask = 0, pattern = 0x0101010101010101u * c;
    for (int i = 0; i < 8; i++) {
        uint64_t x = v.word[i] ^ pattern;
        /* Exact per byte: no borrow crosses into the next. */
        uint64_t zero = ~(((x & 0x7F7F7F7F7F7F7F7Fu) + 0x7F7F7F7F7F7F7F7Fu) | x | 0x7F7F7F7F7F7F7F7Fu);
        mask |= tops(zero) << (8 * i);
    }
    return mask;
}

static inline uint64_t within64_portable(vec_portable v, uint8_t first, uint8_t last)
{
    uint64_t mask = 0, tops_only = 0x8080808080808080u;
    uint64_t least = 0x0101010101010101u * first, most = 0x0101010101010101u * last | tops_only;
    for (int i = 0; i < 8; i++) {
        uint64_t w = v.word[i], seven = w & ~tops_only;
        /* The top bit of each byte lends to it alone. */
        mask |= tops(((seven | tops_only) - least) & (most - seven) & ~w) << (8 * i);
    }
    return mask;
}

static inline uint64_t high64_portable(vec_portable v)
{
    uint64_t mask = 0;
    for (int i = 0; i < 8; i++)
        mask |= v.word[i] & 0x8080808080808080u;
    return mask;
}

static inline vec_portable or64_portable(vec_portable v, vec_portable w)
{
    for (int i = 0; i < 8; i++)
        v.word[i] |= w.word[i];
    return v;
}

/* For bytes with the top bit: do the other seven reach c's? */
static inline uint64_t ge64_portable(vec_portable v, uint8_t c)
{
    uint64_t mask = 0, pattern = 0x0101010101010101u * (c & 0x7F);
    for (int i = 0; i < 8; i++)
        mask |= tops(((v.word[i] | 0x8080808080808080u) - pattern) & v.word[i]) << (8 * i);
    return mask;
}

#define ISA(name) name##_portable
#define TARGET
#define vec vec_portable
#define load64 load64_portable
#define load_part(p, n, space) load64_portable(pad(p, n, space))
#define emit emit_bits
#define eq64 eq64_portable
#define ge64 ge64_portable
#define within64 within64_portable
#define high64 high64_portable
#define or64 or64_portable
#define prefix_xor prefix_xor_portable
#define put64(out, v, p, drop, size) put_runs(out, p, drop, size)
#include "scan.inc"

#endif
