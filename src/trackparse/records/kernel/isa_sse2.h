/* SSE2, which every x86-64 has: one step is four 16-byte loads. */

#ifndef TRACKPARSE_ISA_SSE2_H
#define TRACKPARSE_ISA_SSE2_H

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>

#include "isa_common.h"

typedef struct {
    __m128i part[4];
} vec_sse2;

static inline vec_sse2 load64_sse2(const uint8_t *p)
{
    vec_sse2 v;
    for (int i = 0; i < 4; i++)
        v.part[i] = _mm_loadu_si128((const __m128i *)(p + 16 * i));
    return v;
}

static inline uint64_t eq64_sse2(vec_sse2 v, char c)
{
    uint64_t mask = 0;
    for (int i = 0; i < 4; i++)
        mask |= (uint64_t)(uint16_t)_mm_movemask_epi8(_mm_cmpeq_epi8(v.part[i], _mm_set1_epi8(c))) << (16 * i);
    return mask;
}

static inline uint64_t ge64_sse2(vec_sse2 v, uint8_t c)
{
    uint64_t mask = 0;
    __m128i pattern = _mm_set1_epi8((char)c);
    for (int i = 0; i < 4; i++) {
        __m128i reaches = _mm_cmpeq_epi8(_mm_max_epu8(v.part[i], pattern), v.part[i]);
        mask |= (uint64_t)(uint16_t)_mm_movemask_epi8(reaches) << (16 * i);
    }
    return mask;
}

static inline uint64_t within64_sse2(vec_sse2 v, char first, char last)
{
    uint64_t mask = 0;
    __m128i before = _mm_set1_epi8((char)(first - 1)), behind = _mm_set1_epi8((char)(last + 1));
    for (int i = 0; i < 4; i++) {
        __m128i within = _mm_and_si128(_mm_cmpgt_epi8(v.part[i], before), _mm_cmpgt_epi8(behind, v.part[i]));
        mask |= (uint64_t)(uint16_t)_mm_movemask_epi8(within) << (16 * i);
    }
    return mask;
}

static inline uint64_t high64_sse2(vec_sse2 v)
{
    return (uint64_t)_mm_movemask_epi8(
        _mm_or_si128(_mm_or_si128(v.part[0], v.part[1]), _mm_or_si128(v.part[2], v.part[3])));
}

static inline vec_sse2 or64_sse2(vec_sse2 v, vec_sse2 w)
{
    for (int i = 0; i < 4; i++)
        v.part[i] = _mm_or_si128(v.part[i], w.part[i]);
    return v;
}

#define ISA(name) name##_sse2
#define TARGET
#define vec vec_sse2
#define load64 load64_sse2
#define load_part(p, n, space) load64_sse2(pad(p, n, space))
#define emit emit_bits
#define eq64 eq64_sse2
#define ge64 ge64_sse2
#define within64 within64_sse2
#define high64 high64_sse2
#define or64 or64_sse2
#define prefix_xor prefix_xor_portable
#define put64(out, v, p, drop, size) put_runs(out, p, drop, size)
#include "scan.inc"
#endif

#endif
