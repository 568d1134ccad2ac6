/* What GCC and Clang have built in, and MSVC calls otherwise. Compiled by MSVC the kernel has the portable instruction
 * set only. */

#ifndef TRACKPARSE_COMPILER_H
#define TRACKPARSE_COMPILER_H

#include <stdint.h>

#if defined(_MSC_VER) && !defined(__clang__)

#include <intrin.h>

#define ALWAYS_INLINE __forceinline
#define RARELY_CALLED __declspec(noinline)
#define RARELY(condition) (condition)

/* The place of the lowest bit that is set; one is. */
static inline unsigned lowest_bit(uint64_t m)
{
    unsigned long at;
    _BitScanForward64(&at, m);
    return at;
}

/* How many bits are set. Not __popcnt64: the oldest processors do not have it. */
static inline unsigned bit_count(uint64_t m)
{
    m -= m >> 1 & 0x5555555555555555u;
    m = (m & 0x3333333333333333u) + (m >> 2 & 0x3333333333333333u);
    return (unsigned)(((m + (m >> 4)) & 0x0f0f0f0f0f0f0f0fu) * 0x0101010101010101u >> 56);
}

/* Both halves of the product, folded into one by XOR. */
static inline uint64_t folded_product(uint64_t a, uint64_t b)
{
    uint64_t high, low = _umul128(a, b, &high);
    return low ^ high;
}

#else

#define ALWAYS_INLINE inline __attribute__((always_inline))
#define RARELY_CALLED __attribute__((noinline, cold))
#define RARELY(condition) __builtin_expect(condition, 0)

static inline unsigned lowest_bit(uint64_t m)
{
    return (unsigned)__builtin_ctzll(m);
}

static inline unsigned bit_count(uint64_t m)
{
    return (unsigned)__builtin_popcountll(m);
}

static inline uint64_t folded_product(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

#endif

#endif
