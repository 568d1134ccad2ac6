/* NEON: one step is four 16-byte loads. */

#ifndef TRACKPARSE_ISA_NEON_H
#define TRACKPARSE_ISA_NEON_H

#if defined(__aarch64__)
#include <arm_neon.h>

#include "isa_common.h"

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

static inline uint64_t within64_neon(uint8x16x4_t v, uint8_t first, uint8_t last)
{
    uint8x16_t least = vdupq_n_u8(first), most = vdupq_n_u8(last);
    uint8x16x4_t within;
    for (int i = 0; i < 4; i++)
        within.val[i] = vandq_u8(vcgeq_u8(v.val[i], least), vcleq_u8(v.val[i], most));
    return eq64_neon(within, 0xFF);
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
#define within64 within64_neon
#define high64 high64_neon
#define or64 or64_neon
#define prefix_xor prefix_xor_portable
#define put64(out, v, p, drop, size) put_runs(out, p, drop, size)
#include "scan.inc"
#endif

#endif
