/* The structural scan and the unescaping copy: written once, included for each instruction set.
 *
 * The includer defines
 *   ISA(name)                    the function's name for this instruction set
 *   TARGET                       its target attribute
 *   vec                          64 bytes in registers
 *   load64(p)                    64 bytes from p, unaligned
 *   eq64(v, c)                   bit i set where byte i equals c
 *   ge64(v, c)                   bit i set where byte i is at least c, for c of 0x80 and more
 *   high64(v)                    not 0 where a byte is not ASCII
 *   or64(v, w)                   both, or-ed
 *   load_part(p, n, space)       the first n bytes from p, then zeros; `space` is 64 bytes to use
 *   prefix_xor(m)                bit i is the parity of bits 0..i
 *   emit(out, m, line_ends, at)  write at + i for each bit i of m, flagged where it is in line_ends; 64 of them fit
 *   put64(out, v, p, drop, n)    write the n bytes of v (or p, n of them readable) but those in `drop`; 64 fit
 */

/* Separators outside quotes from `at` on, at most `end - at` of them: positions, line ends flagged by LINE_END.
 * Stops before the first byte that breaks a quoting rule or, with `weighed`, lets the record have another reading: where
 * `settles` of the grammar says no. Returns how many were found; `*seen` says what else there was. */
TARGET static inline __attribute__((always_inline)) size_t ISA(scan_as)(const uint8_t *data, size_t at, size_t end,
                                                                        int php, int weighed, uint32_t *found, seen_t *seen)
{
    uint32_t *out = found;
    uint64_t inside = 0, backslash = 0, before = 1, closed = 0, cr = 0;
    /* The byte before was the quote of a \" inside quotes, or the one behind that. */
    uint64_t any = 0, second = 0;
    const size_t begin = at;
    uint64_t inner = 0;
    uint8_t tail[64];
    vec bytes = load_part(data, 0, tail);

    for (; at < end; at += 64) {
        vec v = end - at < 64 ? load_part(data + at, end - at, tail) : load64(data + at);
        uint64_t all = eq64(v, '"'), quotes = all;
        uint64_t line_ends = eq64(v, '\n');
        uint64_t delimiters = eq64(v, ';');
        uint64_t separators = delimiters | line_ends;
        uint64_t b = eq64(v, '\\'), escaped = all & (b << 1 | backslash);
        backslash = b >> 63;
        bytes = or64(bytes, v);
        /* fputcsv leaves a quote after a backslash alone, so it neither opens nor closes anything. */
        if (php)
            quotes &= ~escaped;
        if (all | closed | cr | any | second) {
            uint64_t within = prefix_xor(quotes) ^ inside, marks = separators | all | eq64(v, '\r');
            uint64_t opening = quotes & within, closing = quotes & ~within;
            inside = (uint64_t)((int64_t)within >> 63);
            inner |= line_ends & within;
            separators &= ~within;
            uint64_t may_open = (separators | closing) << 1 | before;
            before = (separators | closing) >> 63;
            uint64_t next = closing << 1 | closed;
            closed = closing >> 63;
            uint64_t bad = (opening & ~may_open) | (next & ~(separators | opening));
            uint64_t unsettled = 0;
            if (weighed) {
                /* Of the bytes behind a \" those that make `settles` say no, if it is inside quotes, and the first. */
                uint64_t behind = escaped << 1 | any, pair = behind & all;
                uint64_t asked = (php ? behind : pair << 1 | second) & marks;
                if (!php)
                    asked |= behind & ~all;
                any = escaped >> 63;
                second = pair >> 63;
                if (__builtin_expect(asked != 0, 0))
                    unsettled = unsettled_of(data, begin, at, found, out, separators, line_ends, asked, php);
            }
            if (bad | cr | unsettled) {
                uint64_t crs = next & eq64(v, '\r');
                bad = (bad & ~crs) | ((crs << 1 | cr) & ~line_ends) | unsettled;
                cr = crs >> 63;
                if (bad) {
                    /* Everything before the fault still holds. */
                    uint64_t good = (bad & -bad) - 1;
                    out = emit(out, separators & good, line_ends, (uint32_t)at);
                    at += 64;
                    break;
                }
            }
        } else {
            inner |= line_ends & inside;
            separators &= ~inside;
            before = separators >> 63;
        }
        out = emit(out, separators, line_ends, (uint32_t)at);
    }
    *seen = (seen_t){!high64(bytes), inner != 0, at < end ? at : end};
    return (size_t)(out - found);
}

/* The same, each dialect with constants. */
TARGET static size_t ISA(scan)(const uint8_t *data, size_t at, size_t end, int php, int weighed, uint32_t *found,
                               seen_t *seen)
{
    if (php)
        return ISA(scan_as)(data, at, end, 1, 1, found, seen);
    return weighed ? ISA(scan_as)(data, at, end, 0, 1, found, seen) : ISA(scan_as)(data, at, end, 0, 0, found, seen);
}

/* Copy the inside of a quoted field, each doubled quote once. `out` has room for n + 64 bytes. */
TARGET static size_t ISA(unescape)(uint8_t *out, const uint8_t *data, size_t n, int php)
{
    uint8_t *start = out;
    uint64_t backslash = 0, second = 0; /* second: the byte before was the first quote of a pair */
    uint8_t tail[64];

    for (size_t at = 0; at < n; at += 64) {
        const uint8_t *p = data + at;
        size_t size = n - at < 64 ? n - at : 64;
        vec v = size < 64 ? load_part(p, size, tail) : load64(p);
        uint64_t quotes = eq64(v, '"');
        if (php) {
            uint64_t b = eq64(v, '\\');
            quotes &= ~(b << 1 | backslash);
            backslash = b >> 63;
        }
        /* All quotes come in pairs here, so every other one is a second. */
        uint64_t within = prefix_xor(quotes) ^ second;
        uint64_t drop = quotes & ~within;
        second = (uint64_t)((int64_t)within >> 63);
        out = put64(out, v, p, drop, size);
    }
    return (size_t)(out - start);
}

TARGET static int ISA(is_utf8)(const uint8_t *data, size_t n)
{
    uint64_t due = 0;                               /* continuation bytes that the step before asks for */
    uint64_t e0 = 0, ed = 0, f0 = 0, f4 = 0;        /* whether it ended in one of these */
    uint8_t tail[64];

    for (size_t at = 0; at < n; at += 64) {
        vec v = n - at < 64 ? load_part(data + at, n - at, tail) : load64(data + at);
        if (!high64(v)) {
            if (due)
                return 0;
            e0 = ed = f0 = f4 = 0;
            continue;
        }
        uint64_t from_80 = ge64(v, 0x80), from_c0 = ge64(v, 0xC0), from_e0 = ge64(v, 0xE0), from_f0 = ge64(v, 0xF0);
        uint64_t wanted = from_c0 << 1 | from_e0 << 2 | from_f0 << 3 | due;
        due = from_c0 >> 63 | from_e0 >> 62 | from_f0 >> 61;
        if (wanted != (from_80 & ~from_c0))
            return 0;
        if (from_c0 & ~ge64(v, 0xC2))
            return 0;
        /* These four leads narrow what may follow: no overlong form, no surrogate, nothing past U+10FFFF. */
        if (from_e0 | e0 | ed | f0 | f4) {
            uint64_t is_e0 = eq64(v, (char)0xE0), is_ed = eq64(v, (char)0xED);
            uint64_t from_a0 = ge64(v, 0xA0);
            if (((is_e0 << 1 | e0) & ~from_a0) | ((is_ed << 1 | ed) & from_a0))
                return 0;
            e0 = is_e0 >> 63;
            ed = is_ed >> 63;
            if (from_f0 | f0 | f4) {
                uint64_t is_f0 = eq64(v, (char)0xF0), is_f4 = eq64(v, (char)0xF4);
                uint64_t from_90 = ge64(v, 0x90);
                if (((is_f0 << 1 | f0) & ~from_90) | ((is_f4 << 1 | f4) & from_90) | ge64(v, 0xF5))
                    return 0;
                f0 = is_f0 >> 63;
                f4 = is_f4 >> 63;
            }
        }
    }
    return !due;
}

TARGET static size_t ISA(count_lines)(const uint8_t *data, size_t n)
{
    size_t lines = 0;
    for (; n >= 64; data += 64, n -= 64)
        lines += (size_t)__builtin_popcountll(eq64(load64(data), '\n'));
    for (size_t i = 0; i < n; i++)
        lines += data[i] == '\n';
    return lines;
}
