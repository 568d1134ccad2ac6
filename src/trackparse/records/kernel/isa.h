/* One thin part for each instruction set: how to compare 64 bytes at once. Includes _scan.h for each. */

#define LINE_END 0x80000000u

/* What a scan saw of all bytes that it looked at. */
typedef struct {
    int ascii;   /* whether they are */
    int inner;   /* whether there are line ends inside quotes */
    size_t end;  /* past the last one */
} seen_t;

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
        size_t bit = (size_t)__builtin_ctzll(drop);
        memcpy(out, p + from, bit - from);
        out += bit - from;
        from = bit + 1;
    }
    memcpy(out, p + from, size - from);
    return out + (size - from);
}

/* `space` filled with the first n bytes from p, then zeros. */
static inline const uint8_t *pad(const uint8_t *p, size_t n, uint8_t *space)
{
    memcpy(space, p, n);
    memset(space + n, 0, 64 - n);
    return space;
}

static inline uint32_t *emit_bits(uint32_t *out, uint64_t m, uint64_t line_ends, uint32_t at)
{
    for (; m; m &= m - 1) {
        uint32_t bit = (uint32_t)__builtin_ctzll(m);
        *out++ = (at + bit) | (uint32_t)(line_ends >> bit & 1) << 31;
    }
    return out;
}

/* Whether a \" inside quotes stands in the same record before the quote at `at`, or -1 where that one is in a bare field.
 * `out` is past the separators found before `at`, none of them before `begin`. */
static int has_fork_before(const uint8_t *data, size_t begin, size_t at, const uint32_t *found, const uint32_t *out)
{
    for (size_t i = at, first = 1;; out--, first = 0) {
        int line_end = out > found && out[-1] & LINE_END;
        size_t field = out > found ? (out[-1] & ~LINE_END) + 1 : begin;
        if (data[field] == '"')
            for (; i > field + 1; i--)
                if (data[i - 1] == '"' && data[i - 2] == '\\')
                    return 1;
        if (first && data[field] != '"')
            return -1;
        if (out == found || line_end)
            return 0;
        i = field - 1;
    }
}

/* Those of the bytes in `asked` that let their record have another reading: where `settles` of the grammar says no. Each
 * stands one byte behind a \" or, read as RFC 4180, two. `out` has room for the separators at hand. The bytes between a \"
 * and the one before it are looked at once for each of them, so all of this takes no longer than a scan. */
static __attribute__((noinline, cold)) uint64_t unsettled_of(const uint8_t *data, size_t begin, size_t at,
                                                             const uint32_t *found, uint32_t *out, uint64_t separators,
                                                             uint64_t line_ends, uint64_t asked, int php)
{
    const uint32_t *past = emit_bits(out, separators, line_ends, (uint32_t)at);
    for (; asked; asked &= asked - 1) {
        size_t byte = at + (size_t)__builtin_ctzll(asked);
        int next = php || (data[byte - 1] == '"' && data[byte - 2] == '\\');
        size_t quote = next ? byte - 1 : byte - 2;
        const uint32_t *before = past;
        while (before > found && (before[-1] & ~LINE_END) > quote)
            before--;
        int fork_before = has_fork_before(data, begin, quote, found, before);
        if (fork_before >= 0 && (!fork_before || (php && data[byte] != '"')))
            return asked & -asked;
    }
    return 0;
}

/* ---- portable: eight 64-bit words ------------------------------------------------------------------- */

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
#define high64 high64_portable
#define or64 or64_portable
#define prefix_xor prefix_xor_portable
#define put64(out, v, p, drop, size) put_runs(out, p, drop, size)
#include "scan.h"
#undef ISA
#undef TARGET
#undef vec
#undef load64
#undef load_part
#undef emit
#undef eq64
#undef ge64
#undef high64
#undef or64
#undef prefix_xor
#undef put64

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define HAVE_X86 1
#include <immintrin.h>

/* ---- SSE2: one step is four 16-byte loads; every x86-64 has it ---------------------------------------- */

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
#define high64 high64_sse2
#define or64 or64_sse2
#define prefix_xor prefix_xor_portable
#define put64(out, v, p, drop, size) put_runs(out, p, drop, size)
#include "scan.h"
#undef ISA
#undef TARGET
#undef vec
#undef load64
#undef load_part
#undef emit
#undef eq64
#undef ge64
#undef high64
#undef or64
#undef prefix_xor
#undef put64

/* ---- AVX2: one step is two 32-byte loads -------------------------------------------------------------- */

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
    uint64_t low = (uint32_t)_mm256_movemask_epi8(
        _mm256_cmpeq_epi8(_mm256_max_epu8(v.part[0], pattern), v.part[0]));
    uint64_t high = (uint32_t)_mm256_movemask_epi8(
        _mm256_cmpeq_epi8(_mm256_max_epu8(v.part[1], pattern), v.part[1]));
    return low | high << 32;
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
    return (uint64_t)_mm_cvtsi128_si64(
        _mm_clmulepi64_si128(_mm_set_epi64x(0, (int64_t)m), _mm_set1_epi8(-1), 0));
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
#define high64 high64_avx2
#define or64 or64_avx2
#define prefix_xor prefix_xor_clmul
#define put64 put64_avx2
#include "scan.h"
#undef ISA
#undef TARGET
#undef vec
#undef load64
#undef load_part
#undef emit
#undef eq64
#undef ge64
#undef high64
#undef or64
#undef prefix_xor
#undef put64

/* ---- AVX-512 with VBMI2 (it compresses bytes): one step is one load ----------------------------------- */

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi2,avx2,pclmul,bmi,bmi2,popcnt,lzcnt")))
#define ISA(name) name##_avx512
#define vec __m512i
#define load64(p) _mm512_loadu_si512((const void *)(p))
/* What is masked out is not touched, so it may lie behind the buffer. */
#define load_part(p, n, space) ((void)(space), _mm512_maskz_loadu_epi8((1ull << (n)) - 1, (const void *)(p)))
#define emit emit_avx512
#define eq64(v, c) ((uint64_t)_mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8(c)))
#define ge64(v, c) ((uint64_t)_mm512_cmpge_epu8_mask(v, _mm512_set1_epi8((char)(c))))
#define high64(v) ((uint64_t)_mm512_movepi8_mask(v))
#define or64(v, w) _mm512_or_si512(v, w)
#define prefix_xor prefix_xor_clmul

/* The bits become bytes, and those positions: without a branch on how many there are, mostly. */
TARGET static inline uint32_t *emit_avx512(uint32_t *out, uint64_t m, uint64_t line_ends, uint32_t at)
{
    static const uint8_t numbers[64] = {
        0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
        22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43,
        44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};
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
#include "scan.h"
#undef ISA
#undef TARGET
#undef vec
#undef load64
#undef load_part
#undef emit
#undef eq64
#undef ge64
#undef high64
#undef or64
#undef prefix_xor
#undef put64
#endif

#if defined(__aarch64__)
#include <arm_neon.h>

/* ---- NEON: one step is four 16-byte loads ------------------------------------------------------------- */

static inline uint8x16x4_t load64_neon(const uint8_t *p)
{
    uint8x16x4_t v = {{vld1q_u8(p), vld1q_u8(p + 16), vld1q_u8(p + 32), vld1q_u8(p + 48)}};
    return v;
}

static inline uint64_t eq64_neon(uint8x16x4_t v, uint8_t c)
{
    const uint8x16_t bit = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    uint8x16_t pattern = vdupq_n_u8(c);
    uint8x16_t a = vandq_u8(vceqq_u8(v.val[0], pattern), bit);
    uint8x16_t b = vandq_u8(vceqq_u8(v.val[1], pattern), bit);
    uint8x16_t d = vandq_u8(vceqq_u8(v.val[2], pattern), bit);
    uint8x16_t e = vandq_u8(vceqq_u8(v.val[3], pattern), bit);
    uint8x16_t sum = vpaddq_u8(vpaddq_u8(a, b), vpaddq_u8(d, e));
    return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(sum, sum)), 0);
}

static inline uint64_t ge64_neon(uint8x16x4_t v, uint8_t c)
{
    uint8x16_t pattern = vdupq_n_u8(c);
    uint8x16x4_t reaches;
    for (int i = 0; i < 4; i++)
        reaches.val[i] = vcgeq_u8(v.val[i], pattern);
    return eq64_neon(reaches, 0xFF);
}

static inline uint64_t high64_neon(uint8x16x4_t v)
{
    return vmaxvq_u8(vorrq_u8(vorrq_u8(v.val[0], v.val[1]), vorrq_u8(v.val[2], v.val[3]))) >> 7;
}

static inline uint8x16x4_t or64_neon(uint8x16x4_t v, uint8x16x4_t w)
{
    for (int i = 0; i < 4; i++)
        v.val[i] = vorrq_u8(v.val[i], w.val[i]);
    return v;
}

#define ISA(name) name##_neon
#define TARGET
#define vec uint8x16x4_t
#define load64 load64_neon
#define load_part(p, n, space) load64_neon(pad(p, n, space))
#define emit emit_bits
#define eq64 eq64_neon
#define ge64 ge64_neon
#define high64 high64_neon
#define or64 or64_neon
#define prefix_xor prefix_xor_portable
#define put64(out, v, p, drop, size) put_runs(out, p, drop, size)
#include "scan.h"
#undef ISA
#undef TARGET
#undef vec
#undef load64
#undef load_part
#undef emit
#undef eq64
#undef ge64
#undef high64
#undef or64
#undef prefix_xor
#undef put64
#endif

typedef size_t (*scan_function)(const uint8_t *, size_t, size_t, int, int, uint32_t *, seen_t *);
typedef size_t (*unescape_function)(uint8_t *, const uint8_t *, size_t, int);
typedef int (*is_utf8_function)(const uint8_t *, size_t);
typedef size_t (*count_lines_function)(const uint8_t *, size_t);

typedef struct {
    const char *name;
    scan_function scan;
    unescape_function unescape;
    is_utf8_function is_utf8;
    count_lines_function count_lines;
} isa_t;

/* Best first. */
static const isa_t ISAS[] = {
#ifdef HAVE_X86
    {"avx512", scan_avx512, unescape_avx512, is_utf8_avx512, count_lines_avx512},
    {"avx2", scan_avx2, unescape_avx2, is_utf8_avx2, count_lines_avx2},
    {"sse2", scan_sse2, unescape_sse2, is_utf8_sse2, count_lines_sse2},
#endif
#if defined(__aarch64__)
    {"neon", scan_neon, unescape_neon, is_utf8_neon, count_lines_neon},
#endif
    {"portable", scan_portable, unescape_portable, is_utf8_portable, count_lines_portable},
};
#define ISA_COUNT (sizeof ISAS / sizeof ISAS[0])

static int isa_runs_here(const isa_t *isa)
{
#ifdef HAVE_X86
    __builtin_cpu_init();
    if (!strcmp(isa->name, "avx512"))
        return __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("pclmul") &&
               __builtin_cpu_supports("bmi2");
    if (!strcmp(isa->name, "avx2"))
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("pclmul") &&
               __builtin_cpu_supports("bmi2");
#endif
    (void)isa;
    return 1;
}
