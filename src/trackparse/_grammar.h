/* The record grammar, one record at a time: the C twin of _reference.py, same names, same order.
 * It runs where the structural scan met something out of the ordinary, and at the end of the input. */

enum { RFC4180, PHP };
enum { DONE, MORE, HEADER, LIMIT };
enum { UNCLOSED_QUOTE = 1, TEXT_AFTER_QUOTE, FIELD_COUNT, BAD_UTF8, BAD_TIMESTAMP, TOO_LONG };

#define NEEDS_MORE (-1)
#define READINGS 64
#define HEADER_BYTES (1 << 16)
#define JSON_DEPTH 1024
#define NO_TIME INT64_MIN
/* More ambiguous quotes than this in one record are read in the order that the last ones stay literal. */
#define CHOICES 4096

typedef struct {
    const uint8_t *data;
    size_t end;
    uint32_t width, timestamp;
    int32_t payload; /* -1: none */
    int at_end;      /* 0: the file ends here, else the fault */
} window_t;

typedef struct {
    int fault;
    size_t end;       /* past the line end */
    uint32_t *ends;   /* width of them */
    uint32_t count;   /* fields read */
    uint8_t *choices; /* CHOICES of them, one for each ambiguous quote met: does it close the field? */
    uint32_t made;
    int forked;  /* a \" was met inside quotes */
    int doubled; /* a \"" was read as one quote: what only RFC 4180 writes */
} reading_t;

typedef struct {
    size_t first, last;
    int quoted;
} span_t;

static inline int digits(const uint8_t *p, int n)
{
    int value = 0;
    for (int i = 0; i < n; i++) {
        unsigned d = (unsigned)p[i] - '0';
        if (d > 9)
            return -1;
        value = value * 10 + (int)d;
    }
    return value;
}

/* Microseconds since 1970, NO_TIME if it is not a time without a zone. */
static int64_t parse_timestamp(const uint8_t *p, size_t n)
{
    static const uint8_t month_days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (n < 19 || n == 20 || n > 26 || p[4] != '-' || p[7] != '-' || (p[10] != ' ' && p[10] != 'T') ||
        p[13] != ':' || p[16] != ':')
        return NO_TIME;
    int year = digits(p, 4), month = digits(p + 5, 2), day = digits(p + 8, 2);
    int hour = digits(p + 11, 2), minute = digits(p + 14, 2), second = digits(p + 17, 2);
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > month_days[month - 1] || hour < 0 ||
        hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59)
        return NO_TIME;
    if (month == 2 && day == 29 && (year % 4 != 0 || (year % 100 == 0 && year % 400 != 0)))
        return NO_TIME;
    int fraction = 0;
    if (n > 19) {
        if (p[19] != '.' || (fraction = digits(p + 20, (int)n - 20)) < 0)
            return NO_TIME;
        for (size_t i = n; i < 26; i++)
            fraction *= 10;
    }
    /* Days since 1970 with years that begin in March, so that the leap day comes last. */
    int64_t y = year - (month <= 2);
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t days = 365 * y + y / 4 - y / 100 + y / 400 + day_of_year - 719468;
    return (((days * 24 + hour) * 60 + minute) * 60 + second) * 1000000 + fraction;
}

/* ---- JSON ---------------------------------------------------------------------------------------------- */

static size_t json_blank(const uint8_t *p, size_t at, size_t n)
{
    while (at < n && (p[at] == ' ' || p[at] == '\t' || p[at] == '\n' || p[at] == '\r'))
        at++;
    return at;
}

/* Past the string that opens at `at`, 0 if it is none. */
static size_t json_string(const uint8_t *p, size_t at, size_t n)
{
    for (at++; at < n; at++) {
        if (p[at] == '"')
            return at + 1;
        if (p[at] < 0x20)
            return 0;
        if (p[at] != '\\')
            continue;
        if (++at == n)
            return 0;
        if (p[at] == 'u') {
            if (n - at < 5)
                return 0;
            for (int i = 1; i <= 4; i++) {
                uint8_t c = p[at + i], letter = c | 0x20;
                if (!((c >= '0' && c <= '9') || (letter >= 'a' && letter <= 'f')))
                    return 0;
            }
            at += 4;
        } else if (!p[at] || !strchr("\"\\/bfnrt", p[at])) {
            return 0;
        }
    }
    return 0;
}

static size_t json_digits(const uint8_t *p, size_t at, size_t n)
{
    while (at < n && p[at] >= '0' && p[at] <= '9')
        at++;
    return at;
}

/* Past the number or word at `at`, 0 if it is none. A number ends where its grammar does, as a token. */
static size_t json_scalar(const uint8_t *p, size_t at, size_t n)
{
    static const char *const words[] = {"true", "false", "null"};
    for (int i = 0; i < 3; i++) {
        size_t size = strlen(words[i]);
        if (n - at >= size && !memcmp(p + at, words[i], size))
            return at + size;
    }
    if (p[at] == '-')
        at++;
    if (at == n || p[at] < '0' || p[at] > '9')
        return 0;
    at = p[at] == '0' ? at + 1 : json_digits(p, at, n);
    if (at < n && p[at] == '.') {
        size_t past = json_digits(p, at + 1, n);
        if (past == at + 1)
            return at;
        at = past;
    }
    if (at < n && (p[at] | 0x20) == 'e') {
        size_t sign = at + 1 < n && (p[at + 1] == '+' || p[at + 1] == '-') ? at + 2 : at + 1;
        size_t past = json_digits(p, sign, n);
        if (past != sign)
            at = past;
    }
    return at;
}

static int is_json(const uint8_t *p, size_t n)
{
    enum { VALUE, VALUE_OR_END, KEY_OR_END, KEY, COLON, COMMA, NOTHING } expected = VALUE;
    uint8_t stack[JSON_DEPTH / 8] = {0}; /* one bit a level: is it an array? */
    int depth = 0;

    for (size_t at = json_blank(p, 0, n); at < n; at = json_blank(p, at, n)) {
        uint8_t c = p[at];
        int array = depth && stack[(depth - 1) / 8] >> ((depth - 1) % 8) & 1;
        if (c == '"' || c == '-' || (c >= '0' && c <= '9') || c == 't' || c == 'f' || c == 'n') {
            size_t past = c == '"' ? json_string(p, at, n) : json_scalar(p, at, n);
            if (!past)
                return 0;
            at = past;
            if (c == '"' && (expected == KEY || expected == KEY_OR_END))
                expected = COLON;
            else if (expected == VALUE || expected == VALUE_OR_END)
                expected = depth ? COMMA : NOTHING;
            else
                return 0;
            continue;
        }
        at++;
        if (c == ':' && expected == COLON) {
            expected = VALUE;
        } else if ((c == '[' || c == '{') && (expected == VALUE || expected == VALUE_OR_END)) {
            if (depth == JSON_DEPTH)
                return 0;
            uint8_t bit = (uint8_t)(1 << depth % 8);
            stack[depth / 8] = (uint8_t)((stack[depth / 8] & ~bit) | (c == '[' ? bit : 0));
            depth++;
            expected = c == '[' ? VALUE_OR_END : KEY_OR_END;
        } else if (c == ',' && expected == COMMA) {
            expected = array ? VALUE : KEY;
        } else if (depth && ((c == ']' && array && (expected == COMMA || expected == VALUE_OR_END)) ||
                             (c == '}' && !array && (expected == COMMA || expected == KEY_OR_END)))) {
            depth--;
            expected = depth ? COMMA : NOTHING;
        } else {
            return 0;
        }
    }
    return expected == NOTHING;
}

/* ---- one record ---------------------------------------------------------------------------------------- */

/* The end of the blank line at `at`, 0 if there is none. */
static long long blank_line(const uint8_t *data, size_t at, size_t size, int final)
{
    if (data[at] == '\n')
        return (long long)at + 1;
    if (data[at] != '\r')
        return 0;
    if (at + 1 == size)
        return final ? (long long)at + 1 : NEEDS_MORE;
    return data[at + 1] == '\n' ? (long long)at + 2 : 0;
}

/* What stands behind a quote: a quote, a delimiter, a line end (or the file's), 0 for text; or a fault. */
static int follows(const window_t *w, size_t at)
{
    if (at == w->end)
        return w->at_end ? w->at_end : '\n';
    uint8_t c = w->data[at];
    if (c == '\r') {
        if (at + 1 == w->end)
            return w->at_end ? w->at_end : '\n';
        return w->data[at + 1] == '\n' ? '\n' : 0;
    }
    return c == '"' || c == ';' || c == '\n' ? c : 0;
}

/* Read one record. The first `given` choices decide its ambiguous quotes, closing beyond them; given < 0: all
 * are literal. */
static void read_record(const window_t *w, size_t start, int dialect, int given, reading_t *r)
{
    const uint8_t *data = w->data;
    size_t end = w->end, at = start;
    r->count = r->made = 0;
    r->end = 0;
    r->forked = r->doubled = 0;
    for (;;) {
        if (r->count == w->width) {
            r->fault = FIELD_COUNT;
            return;
        }
        if (at < end && data[at] == '"') {
            at++;
            for (;;) {
                const uint8_t *quote = at < end ? memchr(data + at, '"', end - at) : NULL;
                if (!quote) {
                    r->fault = w->at_end ? w->at_end : UNCLOSED_QUOTE;
                    return;
                }
                at = (size_t)(quote - data);
                int next = follows(w, at + 1);
                if (data[at - 1] == '\\') {
                    r->forked = 1;
                    if (dialect == PHP) {
                        if (next == NEEDS_MORE) {
                            r->fault = NEEDS_MORE;
                            return;
                        }
                        int last = r->count == w->width - 1, closes = 0;
                        if (given >= 0 && next == (last ? '\n' : ';')) {
                            closes = r->made < (uint32_t)given ? r->choices[r->made] : r->made < CHOICES;
                            if (r->made < CHOICES)
                                r->choices[r->made++] = (uint8_t)closes;
                        }
                        at++;
                        if (closes)
                            break;
                        continue;
                    }
                    r->doubled |= next == '"';
                }
                if (next == NEEDS_MORE) {
                    r->fault = NEEDS_MORE;
                    return;
                }
                at++;
                if (next == '"') {
                    at++;
                    continue;
                }
                if (next == 0 || next == TOO_LONG) {
                    r->fault = next ? TOO_LONG : TEXT_AFTER_QUOTE;
                    return;
                }
                break;
            }
        }
        while (at < end && data[at] != ';' && data[at] != '\n')
            at++;
        if (at == end && w->at_end) {
            r->fault = w->at_end;
            return;
        }
        r->ends[r->count++] = (uint32_t)at;
        if (at == end || data[at] == '\n') {
            r->end = at < end ? at + 1 : end;
            r->fault = r->count == w->width ? 0 : FIELD_COUNT;
            return;
        }
        at++;
    }
}

/* Where a field's value stands: between its delimiters or, where it is quoted, between its quotes. */
static inline span_t field_span(const uint8_t *data, size_t start, const uint32_t *ends, uint32_t width,
                                uint32_t field)
{
    span_t span = {field ? (size_t)ends[field - 1] + 1 : start, ends[field], 0};
    if (field == width - 1 && span.last > span.first && data[span.last - 1] == '\r')
        span.last--;
    if (span.last > span.first + 1 && data[span.first] == '"') {
        span.first++;
        span.last--;
        span.quoted = 1;
    }
    return span;
}

static int64_t record_time(const window_t *w, size_t start, const uint32_t *ends)
{
    span_t span = field_span(w->data, start, ends, w->width, w->timestamp);
    return parse_timestamp(w->data + span.first, span.last - span.first);
}

/* What a header begins with, where nothing else says that it does. */
#define NAME "//timestamp"
#define NAMES NAME ";tracking_code"
#define LAST_NAME "description"

/* The first header in a line but not at its beginning, NULL for none. */
static const uint8_t *find_header(const uint8_t *at, const uint8_t *end)
{
    const size_t size = sizeof NAMES - 1;
    while (at < end && (at = memchr(at + 1, '/', (size_t)(end - at - 1)))) {
        size_t there = (size_t)(end - at);
        if (there >= size && !memcmp(at, NAMES, size) &&
            (there == size || at[size] == ';' || at[size] == '\r' || at[size] == '\n'))
            return at;
    }
    return NULL;
}

static size_t before_mark(const uint8_t *data, size_t start, size_t at)
{
    return at - start > 3 && !memcmp(data + at - 3, "\xef\xbb\xbf", 3) ? at - 3 : at;
}

/* Where the record ends: where a header begins in one of its bare fields, if one does. */
static size_t own_end(const window_t *w, size_t start, const reading_t *r)
{
    const uint8_t *data = w->data, *header = data + start;
    while ((header = find_header(header, data + r->end))) {
        size_t at = (size_t)(header - data), name_end = at + sizeof NAME - 1;
        for (uint32_t i = 0; i < r->count; i++)
            if (r->ends[i] == name_end && data[i ? r->ends[i - 1] + 1 : start] != '"')
                return before_mark(data, start, at);
    }
    return r->end;
}

/* Whether the last field is the last name of a header of six. */
static inline int is_last_name(const uint8_t *data, const uint32_t *ends, uint32_t width)
{
    if (width < 2)
        return 0;
    const uint32_t size = sizeof LAST_NAME - 1;
    const uint8_t *last = data + ends[width - 2] + 1;
    uint32_t more = ends[width - 1] - ends[width - 2] - 1 - size; /* bytes: none, or a CR */
    return more <= 1 && (!more || last[size] == '\r') && !memcmp(last, LAST_NAME, size);
}

static int judge(const window_t *w, size_t start, const reading_t *r)
{
    if (record_time(w, start, r->ends) == NO_TIME)
        return BAD_TIMESTAMP;
    /* The six names of the older generation fill up a record of eight that was cut in its third field. */
    return is_last_name(w->data, r->ends, w->width) && own_end(w, start, r) < r->end ? FIELD_COUNT : 0;
}

/* Whether a reading other than the one in force may be taken: no rule broken, and the payload is JSON.
 * -1: no memory. */
static int proves_itself(const window_t *w, size_t start, const reading_t *r, int dialect, const isa_t *isa)
{
    if (r->fault || judge(w, start, r) || !isa->is_utf8(w->data + start, r->end - start))
        return 0;
    if (w->payload < 0)
        return 1;
    span_t span = field_span(w->data, start, r->ends, w->width, (uint32_t)w->payload);
    size_t size = span.last - span.first;
    if (!size)
        return 1;
    if (!span.quoted)
        return is_json(w->data + span.first, size);
    uint8_t *value = malloc(size + 64);
    if (!value)
        return -1;
    int json = is_json(value, isa->unescape(value, w->data + span.first, size, dialect == PHP));
    free(value);
    return json;
}

/* The end of the line at `start`, NEEDS_MORE where more bytes are needed to know it. */
static long long first_line(const window_t *w, size_t start)
{
    size_t limit = w->end - start < HEADER_BYTES ? w->end : start + HEADER_BYTES;
    const uint8_t *newline = memchr(w->data + start, '\n', limit - start);
    if (newline)
        return newline - w->data;
    return limit == w->end && w->at_end == NEEDS_MORE ? NEEDS_MORE : (long long)limit;
}

/* How many bytes from `at` on are of a timestamp's shape: all 19, or fewer. */
static size_t timestamp_shape(const uint8_t *data, size_t at, size_t end)
{
    static const char shape[] = "0000-00-00 00:00:00";
    size_t n = 0;
    for (; shape[n] && at + n < end; n++) {
        uint8_t c = data[at + n];
        if (shape[n] == '0' ? c < '0' || c > '9' : shape[n] == ' ' ? c != ' ' && c != 'T' : c != (uint8_t)shape[n])
            break;
    }
    return n;
}

/* Where the first timestamp begins, or the quote before it; `end` if there is none. */
static size_t record_start(const uint8_t *data, size_t start, size_t end)
{
    for (size_t at = start; at < end; at++)
        if (timestamp_shape(data, at, end) == 19)
            return at > start && data[at - 1] == '"' ? at - 1 : at;
    return end;
}

/* Whether the line names the columns; a byte order mark counts, too: it is never part of a record. */
static int is_header(const window_t *w, size_t start)
{
    const uint8_t *data = w->data;
    long long found = first_line(w, start);
    size_t end = found < 0 ? start : (size_t)found;
    if (end - start >= 3 && !memcmp(data + start, "\xef\xbb\xbf", 3))
        return 1;
    /* The first record may follow without a line end; and what a header follows that way is no header. */
    end = record_start(data, start, end);
    int timestamp = 0, tracking_code = 0;
    for (size_t at = start; at <= end; at++) {
        size_t stop = at;
        while (stop < end && data[stop] != ';')
            stop++;
        size_t first = at, last = stop;
        at = stop;
        if (last > first && data[last - 1] == '\r')
            last--;
        if (last - first >= 2 && data[first] == '/' && data[first + 1] == '/')
            first += 2;
        if (last - first >= 2 && data[first] == '"' && data[last - 1] == '"') {
            first++;
            last--;
        }
        if (last - first >= 2 && data[first] == '/' && data[first + 1] == '/')
            first += 2;
        timestamp |= last - first == 9 && !memcmp(data + first, "timestamp", 9);
        tracking_code |= last - first == 13 && !memcmp(data + first, "tracking_code", 13);
    }
    return timestamp && tracking_code;
}

/* Whether a line starts like a record or a header; NEEDS_MORE where more bytes are needed to know. */
static int starts_record(const window_t *w, size_t at)
{
    static const char *const starts[] = {"\xef\xbb\xbf", "//", "\"//", "timestamp;"};
    const uint8_t *data = w->data;
    size_t end = w->end;
    int out_of_bytes = w->at_end == NEEDS_MORE ? NEEDS_MORE : 0;
    for (int i = 0; i < 4; i++) {
        size_t size = strlen(starts[i]), there = end - at;
        if (there >= size) {
            if (!memcmp(data + at, starts[i], size))
                return 1;
        } else if (!memcmp(data + at, starts[i], there)) {
            return out_of_bytes;
        }
    }
    for (uint32_t i = 0; i < w->timestamp; i++) {
        while (at < end && data[at] != ';' && data[at] != '\n')
            at++;
        if (at == end)
            return out_of_bytes;
        if (data[at] == '\n')
            return 0;
        at++;
    }
    if (at < end && data[at] == '"')
        at++;
    size_t shaped = timestamp_shape(data, at, end);
    return shaped == 19 ? 1 : at + shaped == end ? out_of_bytes : 0;
}

/* Where the next record or header plausibly starts, NEEDS_MORE, or -2 for not within the limit. */
static long long resynchronise(const window_t *w, size_t start)
{
    size_t at = start;
    const uint8_t *data = w->data, *newline;
    for (;;) {
        newline = at < w->end ? memchr(data + at, '\n', w->end - at) : NULL;
        if (newline || w->at_end != NEEDS_MORE) {
            const uint8_t *header = find_header(data + at, newline ? newline : data + w->end);
            if (header)
                return (long long)before_mark(data, start, (size_t)(header - data));
        }
        if (!newline)
            break;
        at = (size_t)(newline - data) + 1;
        int plausible = starts_record(w, at);
        if (plausible == NEEDS_MORE)
            return NEEDS_MORE;
        if (plausible)
            return (long long)at;
    }
    if (w->at_end == TOO_LONG)
        return -2;
    return w->at_end ? w->at_end : (long long)w->end;
}

/* The first reading that breaks no rule goes to `r`, its dialect to `*dialect`, and 0 is returned; or the fault of
 * the one in force, with its end in r->end. -3: no memory. */
static int resolve(const window_t *w, size_t start, int automatic, int *dialect, reading_t *r, const isa_t *isa)
{
    int in_force = *dialect;
    read_record(w, start, in_force, -1, r);
    int reason = r->fault;
    if (!reason)
        reason = judge(w, start, r);
    if (reason == NEEDS_MORE)
        return reason;
    if (!reason)
        return isa->is_utf8(w->data + start, r->end - start) ? 0 : BAD_UTF8;
    size_t end = r->end;
    if (automatic && r->forked) {
        read_record(w, start, 1 - in_force, -1, r);
        if (r->fault == NEEDS_MORE)
            return NEEDS_MORE;
        int proven = proves_itself(w, start, r, 1 - in_force, isa);
        if (proven) {
            /* Where every \" closed its field, PHP may have written the record just as well. */
            *dialect = in_force == PHP && r->doubled ? RFC4180 : PHP;
            return proven < 0 ? -3 : 0;
        }
        int given = 0;
        for (int i = 0; i < READINGS; i++) {
            read_record(w, start, PHP, given, r);
            if (r->fault == NEEDS_MORE)
                return NEEDS_MORE;
            proven = proves_itself(w, start, r, PHP, isa);
            if (proven) {
                *dialect = PHP;
                return proven < 0 ? -3 : 0;
            }
            /* Closing was tried first: turn the last quote that closed into a literal one. */
            while (r->made && !r->choices[r->made - 1])
                r->made--;
            if (!r->made)
                break;
            r->choices[r->made - 1] = 0;
            given = (int)r->made;
        }
    }
    r->end = end;
    return first_line(w, start) == NEEDS_MORE ? NEEDS_MORE : reason;
}
