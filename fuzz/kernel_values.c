/* Every instruction set unescapes, checks UTF-8 and counts lines as a loop byte by byte does; times and values come back. */

#include <time.h>

#include "harness.h"

#define KNOBS 4

/* ---- the same, byte by byte ---------------------------------------------------------------------------- */

static size_t plain_unescape(uint8_t *out, const uint8_t *data, size_t n, int php)
{
    size_t size = 0;
    int second = 0;
    for (size_t i = 0; i < n; i++) {
        int quote = data[i] == '"' && !(php && i && data[i - 1] == '\\');
        if (!(quote && second))
            out[size++] = data[i];
        second ^= quote;
    }
    return size;
}

static int plain_is_utf8(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint32_t c = p[i], least, more;
        if (c < 0x80)
            least = more = 0;
        else if (c >> 5 == 6)
            least = 0x80, more = 1, c &= 31;
        else if (c >> 4 == 14)
            least = 0x800, more = 2, c &= 15;
        else if (c >> 3 == 30)
            least = 0x10000, more = 3, c &= 7;
        else
            return 0;
        if (n - i <= more)
            return 0;
        for (i++; more; i++, more--) {
            if (p[i] >> 6 != 2)
                return 0;
            c = c << 6 | (p[i] & 63);
        }
        if (c < least || c > 0x10FFFF || c >> 11 == 0xD800 >> 11)
            return 0;
    }
    return 1;
}

/* ---- what must hold ------------------------------------------------------------------------------------ */

static void check_bytes(const isa_t *isa, const uint8_t *data, size_t size)
{
    size_t lines = 0;
    for (size_t i = 0; i < size; i++)
        lines += data[i] == '\n';
    CHECK(isa->count_lines(data, size) == lines, "%s", isa->name);
    CHECK(isa->is_utf8(data, size) == plain_is_utf8(data, size), "%s", isa->name);
    uint8_t *out = malloc(size + 64), *expected = malloc(size + 1);
    CHECK(out && expected, "no memory");
    for (int php = 0; php < 2; php++) {
        size_t length = plain_unescape(expected, data, size, php);
        CHECK(isa->unescape(out, data, size, php) == length && !memcmp(out, expected, length), "%s, php %d", isa->name,
              php);
    }
    free(out);
    free(expected);
}

/* A timestamp that the kernel takes is written by the C library with the same text, its fraction included. */
static void check_time(const uint8_t *text, size_t size)
{
    int64_t time = parse_timestamp(text, size);
    if (time == NO_TIME)
        return;
    int64_t fraction = (time % 1000000 + 1000000) % 1000000;
    time_t seconds = (time_t)((time - fraction) / 1000000);
    struct tm parts;
    char written[64];
    CHECK(gmtime_r(&seconds, &parts), "%lld", (long long)time);
    snprintf(written, sizeof written, "%04d-%02d-%02d%c%02d:%02d:%02d.%06d", parts.tm_year + 1900, parts.tm_mon + 1,
             parts.tm_mday, text[10], parts.tm_hour, parts.tm_min, parts.tm_sec, (int)fraction);
    CHECK(size >= 19 && size <= 26 && !memcmp(written, text, size), "%.*s is read as %s", (int)size, text, written);
    for (size_t i = size; i < 26; i++)
        CHECK(written[i] == (i == 19 ? '.' : '0'), "%.*s is read as %s", (int)size, text, written);
}

/* A text is JSON if, and only if, a list of it with blanks around is JSON. */
static void check_json(const uint8_t *text, size_t size)
{
    int json = is_json(text, size);
    uint8_t *list = malloc(size + 4);
    CHECK(list, "no memory");
    memcpy(list, " [\t", 3);
    if (size)
        memcpy(list + 3, text, size);
    list[size + 3] = ']';
    if (json && size < JSON_DEPTH)
        CHECK(is_json(list, size + 4), "%.*s", (int)size, text);
    list[1] = ' ';
    CHECK(is_json(list, size + 3) == json, "%.*s", (int)size, text);
    free(list);
}

/* The same value has the same code and another has another; each is there as it was put in. */
static void check_values(const uint8_t *data, size_t size, long memory)
{
    values_t values = {0};
    values.seed = size;
    size_t distinct = 0;
    for (size_t at = 0; at <= size && distinct < 300;) {
        const uint8_t *end = at < size ? memchr(data + at, ';', size - at) : NULL;
        size_t length = (end ? (size_t)(end - data) : size) - at;
        granted = memory;
        int64_t code = code_of_tag(&values, tag_of(&values, data + at, length), data + at, length);
        granted = -1;
        if (code < 0) {
            CHECK(values.count == distinct, "a value that found no memory was counted");
            memory = -1;
            continue;
        }
        CHECK((size_t)code <= distinct, "code %lld of %zu", (long long)code, distinct);
        for (size_t i = 0; i <= distinct && i < values.count; i++) {
            const int32_t *ends = value_offsets(&values) + i;
            int equal =
                (size_t)(ends[1] - ends[0]) == length && !memcmp(value_bytes(&values) + ends[0], data + at, length);
            CHECK(equal == ((size_t)code == i), "codes %lld, %zu", (long long)code, i);
        }
        distinct += (size_t)code == distinct;
        at += length + 1;
    }
    CHECK(values.count == distinct, "%zu of %zu", values.count, distinct);
    free(values.bytes.start);
    free(values.offsets.start);
    free(values.slots);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    knobs_t k = {input, input + (size < KNOBS ? size : KNOBS)};
    uint32_t shift = knob(&k, 64), memory = knob(&k, 8);
    k.at = k.end; /* the knobs have one size, however many were turned */
    size -= (size_t)(k.at - input);
    /* Where data starts within its 64 bytes must not matter. */
    uint8_t *space = malloc(shift + size + 1);
    CHECK(space, "no memory");
    uint8_t *data = space + shift;
    if (size)
        memcpy(data, k.at, size);
    uint8_t *text = exact_copy(data, size);
    for (size_t i = 0; i < ISA_COUNT; i++)
        if (isa_runs_here(ISAS + i)) {
            check_bytes(ISAS + i, data, size);
            check_bytes(ISAS + i, text, size);
        }
    check_time(text, size);
    for (size_t at = 0; at < size; at++)
        if (text[at] == ';' || text[at] == '"')
            for (size_t length = 19; length <= 26 && at + 1 + length <= size; length++)
                check_time(text + at + 1, length);
    check_json(text, size);
    check_values(text, size, memory ? (long)memory - 1 : -1);
    free(text);
    free(space);
    return 0;
}
