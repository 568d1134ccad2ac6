/* AVX-512 with VBMI2, which compresses bytes: one step is one load. */

#ifndef TRACKPARSE_ISA_AVX512_H
#define TRACKPARSE_ISA_AVX512_H

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>

#include "isa_avx2.h" /* prefix_xor_clmul */
#include "isa_common.h"

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi2,avx2,pclmul,bmi,bmi2,popcnt,lzcnt")))
#define ISA(name) name##_avx512
#define vec __m512i
#define load64(p) _mm512_loadu_si512((const void *)(p))
/* What is masked out is not touched, so it may lie behind the buffer. */
#define load_part(p, n, space) ((void)(space), _mm512_maskz_loadu_epi8((1ull << (n)) - 1, (const void *)(p)))
#define emit emit_avx512
#define eq64(v, c) ((uint64_t)_mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8(c)))
#define ge64(v, c) ((uint64_t)_mm512_cmpge_epu8_mask(v, _mm512_set1_epi8((char)(c))))
#define within64(v, first, last)                                                                                       \
    ((uint64_t)(_mm512_cmpge_epu8_mask(v, _mm512_set1_epi8(first)) & _mm512_cmple_epu8_mask(v, _mm512_set1_epi8(last))))
#define high64(v) ((uint64_t)_mm512_movepi8_mask(v))
#define or64(v, w) _mm512_or_si512(v, w)
#define prefix_xor prefix_xor_clmul

/* The bits become bytes, and those positions: without a branch on how many there are, mostly. */
TARGET static inline uint32_t *emit_avx512(uint32_t *out, uint64_t m, uint64_t line_ends, uint32_t at)
{
    static const uint8_t numbers[64] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                        16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
                                        32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47,
                                        48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};
    size_t count = (size_t)__builtin_popcountll(m);
    __m512i flagged = _mm512_mask_add_epi8(load64(numbers), line_ends, load64(numbers), _mm512_set1_epi8((char)0x80));
    __m512i bytes = _mm512_maskz_compress_epi8(m, flagged);
    for (size_t done = 0;; done += 16) {
        /* With its sign, so that the flag is the top bit; the sum leaves that alone. */
        __m512i words = _mm512_cvtepi8_epi32(_mm512_castsi512_si128(bytes));
        __m512i parts = _mm512_and_si512(words, _mm512_set1_epi32((int)(LINE_END | 63)));
        _mm512_storeu_si512((void *)(out + done), _mm512_add_epi32(parts, _mm512_set1_epi32((int)at)));
        if (done + 16 >= count)
            return out + count;
        bytes = _mm512_alignr_epi64(bytes, bytes, 2);
    }
}

TARGET static inline uint8_t *put64_avx512(uint8_t *out, __m512i v, uint64_t drop, size_t size)
{
    /* To a register first: compressing into memory is microcoded on Zen 4. */
    _mm512_storeu_si512((void *)out, drop ? _mm512_maskz_compress_epi8(~drop, v) : v);
    return out + size - __builtin_popcountll(drop);
}

#define put64(out, v, p, drop, size) put64_avx512(out, v, drop, size)
#include "scan.inc"
#endif

#endif
