/* AVX2: one step is two 32-byte loads. */

#ifndef TRACKPARSE_ISA_AVX2_H
#define TRACKPARSE_ISA_AVX2_H

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>

#include "isa_common.h"

#define TARGET __attribute__((target("avx2,pclmul,bmi,bmi2,popcnt,lzcnt")))

typedef struct {
    __m256i part[2];
} vec_avx2;

TARGET static inline vec_avx2 load64_avx2(const uint8_t *p)
{
    vec_avx2 v = {{_mm256_loadu_si256((const __m256i *)p), _mm256_loadu_si256((const __m256i *)(p + 32))}};
    return v;
}

TARGET static inline uint64_t eq64_avx2(vec_avx2 v, char c)
{
    __m256i pattern = _mm256_set1_epi8(c);
    uint64_t low = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(v.part[0], pattern));
    uint64_t high = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(v.part[1], pattern));
    return low | high << 32;
}

TARGET static inline uint64_t ge64_avx2(vec_avx2 v, uint8_t c)
{
    __m256i pattern = _mm256_set1_epi8((char)c);
    uint64_t low = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_max_epu8(v.part[0], pattern), v.part[0]));
    uint64_t high = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_max_epu8(v.part[1], pattern), v.part[1]));
    return low | high << 32;
}

TARGET static inline uint64_t within64_avx2(vec_avx2 v, char first, char last)
{
    __m256i before = _mm256_set1_epi8((char)(first - 1)), behind = _mm256_set1_epi8((char)(last + 1));
    __m256i low = _mm256_and_si256(_mm256_cmpgt_epi8(v.part[0], before), _mm256_cmpgt_epi8(behind, v.part[0]));
    __m256i high = _mm256_and_si256(_mm256_cmpgt_epi8(v.part[1], before), _mm256_cmpgt_epi8(behind, v.part[1]));
    return (uint32_t)_mm256_movemask_epi8(low) | (uint64_t)(uint32_t)_mm256_movemask_epi8(high) << 32;
}

TARGET static inline uint64_t high64_avx2(vec_avx2 v)
{
    return (uint32_t)_mm256_movemask_epi8(_mm256_or_si256(v.part[0], v.part[1]));
}

TARGET static inline vec_avx2 or64_avx2(vec_avx2 v, vec_avx2 w)
{
    vec_avx2 both = {{_mm256_or_si256(v.part[0], w.part[0]), _mm256_or_si256(v.part[1], w.part[1])}};
    return both;
}

TARGET static inline uint64_t prefix_xor_clmul(uint64_t m)
{
    return (uint64_t)_mm_cvtsi128_si64(_mm_clmulepi64_si128(_mm_set_epi64x(0, (int64_t)m), _mm_set1_epi8(-1), 0));
}

TARGET static inline uint8_t *put64_avx2(uint8_t *out, vec_avx2 v, const uint8_t *p, uint64_t drop, size_t size)
{
    if (drop)
        return put_runs(out, p, drop, size);
    _mm256_storeu_si256((__m256i *)out, v.part[0]);
    _mm256_storeu_si256((__m256i *)(out + 32), v.part[1]);
    return out + size;
}

#define ISA(name) name##_avx2
#define vec vec_avx2
#define load64 load64_avx2
#define load_part(p, n, space) load64_avx2(pad(p, n, space))
#define emit emit_bits
#define eq64 eq64_avx2
#define ge64 ge64_avx2
#define within64 within64_avx2
#define high64 high64_avx2
#define or64 or64_avx2
#define prefix_xor prefix_xor_clmul
#define put64 put64_avx2
#include "scan.inc"
#endif

#endif
