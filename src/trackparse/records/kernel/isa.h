/* The instruction sets, best first, and which of them run here. */

#ifndef TRACKPARSE_ISA_H
#define TRACKPARSE_ISA_H

#include "isa_avx2.h"
#include "isa_avx512.h"
#include "isa_common.h"
#include "isa_neon.h"
#include "isa_portable.h"
#include "isa_sse2.h"

typedef size_t (*scan_function)(const uint8_t *, size_t, size_t, int, int, uint32_t *, seen_t *);
typedef size_t (*unescape_function)(uint8_t *, const uint8_t *, size_t, int);
typedef int (*is_utf8_function)(const uint8_t *, size_t);
typedef size_t (*count_lines_function)(const uint8_t *, size_t);
typedef size_t (*json_marks_function)(const uint8_t *, size_t, size_t, size_t, json_scan_t *, uint32_t *);
typedef int (*json_compact_function)(uint8_t *, const uint8_t *, size_t, size_t *);

/* An instruction set, and the functions of scan.inc compiled for it. */
typedef struct {
    const char *name;
    scan_function scan;
    unescape_function unescape;
    is_utf8_function is_utf8;
    count_lines_function count_lines;
    json_marks_function json_marks;
    json_compact_function json_compact;
} isa_t;

/* Best first. */
static const isa_t ISAS[] = {
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
    {"avx512", scan_avx512, unescape_avx512, is_utf8_avx512, count_lines_avx512, json_marks_avx512,
     json_compact_avx512},
    {"avx2", scan_avx2, unescape_avx2, is_utf8_avx2, count_lines_avx2, json_marks_avx2, json_compact_avx2},
    {"sse2", scan_sse2, unescape_sse2, is_utf8_sse2, count_lines_sse2, json_marks_sse2, json_compact_sse2},
#endif
#if defined(__aarch64__)
    {"neon", scan_neon, unescape_neon, is_utf8_neon, count_lines_neon, json_marks_neon, json_compact_neon},
#endif
    {"portable", scan_portable, unescape_portable, is_utf8_portable, count_lines_portable, json_marks_portable,
     json_compact_portable},
};
#define ISA_COUNT (sizeof ISAS / sizeof ISAS[0])

/* Whether this processor has the instruction set. */
static int isa_runs_here(const isa_t *isa)
{
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
    __builtin_cpu_init();
    if (!strcmp(isa->name, "avx512"))
        return __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("bmi2");
    if (!strcmp(isa->name, "avx2"))
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("bmi2");
#endif
    (void)isa;
    return 1;
}

#endif
