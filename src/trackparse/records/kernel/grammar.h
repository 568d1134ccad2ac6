/* The record grammar, one record at a time: the C twin of reference.py, same names, same order.
 * It runs where the structural scan met something out of the ordinary, and at the end of the input. */

enum { RFC4180, PHP };
enum { DONE, MORE, HEADER, LIMIT };
enum { UNCLOSED_QUOTE = 1, TEXT_AFTER_QUOTE, FIELD_COUNT, BAD_UTF8, BAD_TIMESTAMP, TOO_LONG };
/* In place of a fault or a position. */
enum { NEEDS_MORE = -1, NOT_WITHIN_LIMIT = -2, NO_MEMORY = -3 };

#define READINGS 64
#define SANE_WIDTH 64
#define CREDIT_PER_BYTE 64
#define HEADER_BYTES (1 << 16)
#define AHEAD_BYTES (1 << 14)
#define AHEAD_STEPS 128
#define JSON_DEPTH 1024
#define NO_TIME INT64_MIN
/* Each reading adds fewer choices than it has fields to those that it was given. */
#define CHOICES (READINGS * SANE_WIDTH)
#define MAX_NAMES 64

typedef struct {
    const uint8_t *start;
    size_t size;
} name_t;

typedef struct {
    const uint8_t *data;
    size_t size; /* of the data */
    size_t end;  /* of what one record may take */
    int at_end;  /* 0: the file ends there, else the fault */
    int final;
    uint32_t width, timestamp;
    int32_t payload; /* -1: there is none */
    const name_t *names;
    uint32_t name_count;
} window_t;

typedef struct {
    int fault;
    size_t end;     /* past the line end */
    size_t reached; /* where it ended, or where the fault was seen */
    uint32_t *ends; /* width of them */
    uint32_t count; /* fields read */
    int dialect;
    int forked;     /* a \" was met inside quotes: other readings differ from here on */
    int settled;    /* no other reading of these bytes is whole */
    int sided;      /* a \" was read as the other dialect would not read it */
    int bare_quote; /* a quote stands in a bare field */
} reading_t;

/* One for each \" that may close its field: does it? */
typedef struct {
    uint8_t choices[CHOICES];
    uint32_t made;
} trail_t;

typedef struct {
    reading_t readings[3]; /* where they are read: that of now, and the best of two kinds */
    trail_t trail;
    reading_t *reading; /* what was taken, or whose fault is told */
    int reason;         /* 0, a reason, NEEDS_MORE or NO_MEMORY */
    uint64_t read;      /* bytes of all readings */
    int unresolved;
} weighed_t;

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

static void read_record(const window_t *w, size_t start, int dialect, int64_t given, trail_t *trail, reading_t *r);
static int settles(const window_t *w, size_t at, int dialect, int forked);
static int follows(const window_t *w, size_t at);
static int misses_of(const window_t *w, size_t start, const reading_t *r, const isa_t *isa);
static int starts_well(const window_t *w, size_t at);
static int judge(const window_t *w, size_t start, const reading_t *r, const isa_t *isa);
static size_t own_end(const window_t *w, size_t start, const reading_t *r);
static long long first_line(const window_t *w, size_t start);
static int names_columns(const window_t *w, size_t start, size_t end);
static int starts_record(const window_t *w, size_t at, size_t end, int more);
static int has_timestamp(const window_t *w, size_t at, size_t end, int more);

/* The end of the blank line at `position`, 0 if there is none. */
static long long blank_line(const uint8_t *data, size_t position, size_t size, int final, size_t max_record_bytes)
{
    size_t at = position, end = size - position < max_record_bytes ? size : position + max_record_bytes;
    while (at < end && data[at] == '\r')
        at++;
    if (at - position == max_record_bytes)
        return 0;
    if (at == size)
        return final ? (long long)at : NEEDS_MORE;
    return data[at] == '\n' ? (long long)at + 1 : 0;
}

static const uint8_t BOM[] = {0xEF, 0xBB, 0xBF};

/* The size of the byte order mark at `position`, 0 if there is none. */
static int mark_size(const uint8_t *data, size_t position, size_t size, int final)
{
    size_t there = size - position < sizeof BOM ? size - position : sizeof BOM;
    if (memcmp(data + position, BOM, there))
        return 0;
    return there == sizeof BOM ? (int)there : final ? 0 : NEEDS_MORE;
}

/* The next reading that the last criterion puts in order, into `r`; 0 when there is none. `step` counts from 0; `*cut`
 * is set where others were left out. */
typedef struct {
    int automatic, dialect, bounded; /* what is asked for */
    int step;                        /* of the readings of PHP */
    int stage;                       /* what comes next */
    int enough;                      /* only those that need no choice are wanted */
    int cut;                         /* others were left out */
} readings_t;

enum { IN_FORCE, CHOOSING, LITERAL, OTHER, NO_MORE };

static int next_reading(readings_t *x, const window_t *w, size_t start, trail_t *trail, reading_t *r)
{
    if (x->stage == IN_FORCE) {
        int one = x->bounded || !(x->automatic || x->dialect == PHP);
        x->stage = one ? NO_MORE : CHOOSING;
        if (one || x->dialect == RFC4180) {
            read_record(w, start, x->dialect, -1, trail, r);
            return 1;
        }
    }
    if (x->stage == CHOOSING) {
        if (x->step) {
            /* Turn the last quote that closed into a literal one. */
            while (trail->made && !trail->choices[trail->made - 1])
                trail->made--;
            if (trail->made)
                trail->choices[trail->made - 1] = 0;
            else
                x->stage = OTHER;
        }
        if (x->stage == CHOOSING && (!x->step || (x->step < READINGS - 2 && !x->enough))) {
            x->step++;
            read_record(w, start, PHP, trail->made, trail, r);
            return 1;
        }
        if (x->stage == CHOOSING) {
            x->stage = OTHER;
            x->cut = 1;
            read_record(w, start, PHP, -1, trail, r);
            return 1;
        }
    }
    if (x->stage == OTHER) {
        x->stage = NO_MORE;
        if (x->automatic && x->dialect == PHP) {
            read_record(w, start, RFC4180, -1, trail, r);
            return 1;
        }
    }
    return 0;
}

static void end_with_line(window_t *w, size_t start)
{
    const uint8_t *newline = memchr(w->data + start, '\n', w->end - start);
    if (newline) {
        w->end = (size_t)(newline - w->data) + 1;
        w->at_end = UNCLOSED_QUOTE;
    }
}

/* Weigh the readings of one record: the best that breaks no rule, or else the one whose fault is told. */
static void resolve(const window_t *wide, size_t start, int automatic, int dialect, int64_t credit, weighed_t *x,
                    const isa_t *isa)
{
    window_t narrow = *wide;
    const window_t *w = &narrow;
    reading_t *now = &x->readings[0], *best = &x->readings[1], *whole = &x->readings[2];
    int best_misses = -1, whole_misses = -1, whole_fault = 0, furthest_fault = 0;
    int64_t furthest = -1;
    int bounded = w->width > SANE_WIDTH || credit <= 0;
    int fixed = !automatic && dialect == RFC4180;
    readings_t next = {automatic, dialect, bounded, 0, IN_FORCE, 0, 0};
    if (credit <= 0)
        end_with_line(&narrow, start);
    x->read = 0;
    x->unresolved = 0;
    x->trail.made = 0;
    for (int number = 0; next_reading(&next, w, start, &x->trail, now); number++) {
        if (now->fault == NEEDS_MORE) {
            x->reason = NEEDS_MORE;
            return;
        }
        x->read += now->reached - start;
        int fault = now->fault ? now->fault : judge(w, start, now, isa);
        int settled = fixed || !now->forked || (now->settled && !number);
        int only = settled || bounded;
        x->unresolved |= next.cut || (bounded && !settled);
        if (only && !fault) {
            x->reading = now;
            x->reason = 0;
            return;
        }
        if (!fault || fault == BAD_TIMESTAMP || fault == BAD_UTF8) {
            int misses = misses_of(w, start, now, isa);
            if (misses < 0) {
                x->reason = misses;
                return;
            }
            reading_t *taken = now;
            if (fault && (whole_misses < 0 || misses < whole_misses)) {
                whole_misses = misses;
                whole_fault = fault;
                now = whole;
                whole = taken;
            } else if (!fault && (best_misses < 0 || misses < best_misses)) {
                best_misses = misses;
                now = best;
                best = taken;
                if (!misses)
                    break;
            }
        } else if ((int64_t)now->count > furthest) {
            furthest = now->count;
            furthest_fault = fault;
        }
        if (only)
            break;
        next.enough = x->read > (uint64_t)(credit > 0 ? credit : 0);
    }
    if (best_misses >= 0) {
        x->reading = best;
        x->reason = 0;
        return;
    }
    x->reading = whole_misses >= 0 ? whole : now;
    x->reason = whole_misses >= 0 ? whole_fault : furthest_fault;
    /* It may be a header: only the whole line tells. */
    if (first_line(w, start) == NEEDS_MORE)
        x->reason = NEEDS_MORE;
}

/* Read one record. The first `given` choices say which \" close their field where they may; beyond them all do.
 * given < 0: none do. */
static void read_record(const window_t *w, size_t start, int dialect, int64_t given, trail_t *trail, reading_t *r)
{
    const uint8_t *data = w->data;
    size_t end = w->end, at = start;
    int fault;
    r->count = trail->made = 0;
    r->end = 0;
    r->dialect = dialect;
    r->forked = r->sided = r->bare_quote = 0;
    r->settled = 1;
    for (;;) {
        if (r->count == w->width) {
            fault = FIELD_COUNT;
            break;
        }
        if (at < end && data[at] == '"') {
            at++;
            for (;;) { /* inside quotes */
                const uint8_t *quote = at < end ? memchr(data + at, '"', end - at) : NULL;
                if (!quote) {
                    fault = w->at_end ? w->at_end : UNCLOSED_QUOTE;
                    goto done;
                }
                at = (size_t)(quote - data);
                int next = follows(w, at + 1);
                if (next == NEEDS_MORE) {
                    fault = NEEDS_MORE;
                    goto done;
                }
                if (data[at - 1] == '\\') {
                    r->settled = r->settled && settles(w, at, dialect, r->forked);
                    r->forked = 1;
                    if (dialect == PHP) {
                        int closes = 0;
                        if (given >= 0 && next == (r->count == w->width - 1 ? '\n' : ';') && trail->made < CHOICES) {
                            closes = trail->made < given ? trail->choices[trail->made] : 1;
                            trail->choices[trail->made++] = (uint8_t)closes;
                        }
                        at++;
                        if (closes)
                            break;
                        r->sided = 1;
                        continue;
                    }
                    r->sided |= next == '"';
                }
                at++;
                if (next == '"') {
                    at++;
                    continue;
                }
                if (next == 0 || next == TOO_LONG) {
                    fault = next ? TOO_LONG : TEXT_AFTER_QUOTE;
                    goto done;
                }
                break;
            }
        }
        while (at < end && data[at] != ';' && data[at] != '\n') {
            r->bare_quote |= data[at] == '"';
            at++;
        }
        if (at == end && w->at_end) {
            fault = w->at_end;
            break;
        }
        r->ends[r->count++] = (uint32_t)at;
        if (at == end || data[at] == '\n') {
            r->end = at = at < end ? at + 1 : end;
            fault = r->count == w->width ? 0 : FIELD_COUNT;
            break;
        }
        at++;
    }
done:
    r->fault = fault;
    r->reached = at;
}

/* Whether the quote at `at`, behind a backslash and inside quotes, leaves no other reading. `forked`: it is not the
 * first. */
static int settles(const window_t *w, size_t at, int dialect, int forked)
{
    size_t after = at + 1 < w->end ? w->end - at - 1 : 0;
    int next = after ? w->data[at + 1] : 0;
    if (dialect == PHP)
        return after && next != ';' && next != '\r' && next != '\n' && (forked || next != '"');
    if (forked)
        return 1;
    if (after < 2 || next != '"')
        return 0;
    next = w->data[at + 2];
    return next != '"' && next != ';' && next != '\r' && next != '\n';
}

/* What stands behind a quote: a quote, a delimiter, a line end (or the file's), 0 for text; or a fault. */
static int follows(const window_t *w, size_t at)
{
    if (at < w->end && w->data[at] != '\r') {
        uint8_t c = w->data[at];
        return c == '"' || c == ';' || c == '\n' ? c : 0;
    }
    while (at < w->end && w->data[at] == '\r')
        at++;
    if (at >= w->end)
        return w->at_end ? w->at_end : '\n';
    return w->data[at] == '\n' ? '\n' : 0;
}

/* Where a field's value stands: between its delimiters or, where it is quoted, between its quotes. */
static inline span_t field_span(const uint8_t *data, size_t start, const uint32_t *ends, uint32_t width,
                                uint32_t field)
{
    span_t span = {field ? (size_t)ends[field - 1] + 1 : start, ends[field], 0};
    if (field == width - 1)
        while (span.last > span.first && data[span.last - 1] == '\r')
            span.last--;
    if (span.last > span.first + 1 && data[span.first] == '"') {
        span.first++;
        span.last--;
        span.quoted = 1;
    }
    return span;
}

/* 1 or 0, NO_MEMORY. */
static int has_json(const window_t *w, size_t start, const reading_t *r, const isa_t *isa)
{
    if (w->payload < 0)
        return 1;
    span_t span = field_span(w->data, start, r->ends, w->width, (uint32_t)w->payload);
    size_t size = span.last - span.first;
    if (!size)
        return 1;
    const uint8_t *text = w->data + span.first;
    uint8_t *value = NULL;
    size_t first = json_blank(text, 0, size);
    if (first == size || (text[first] != '{' && text[first] != '['))
        return 0;
    if (span.quoted) {
        value = malloc(size + 64);
        if (!value)
            return NO_MEMORY;
        size = isa->unescape(value, text, size, r->dialect == PHP);
        text = value;
    }
    int json = is_json(text, size);
    free(value);
    return json;
}

/* Which criteria of the rule of the writer a reading misses, as a number: less is better, 0 misses none. */
static int misses_of(const window_t *w, size_t start, const reading_t *r, const isa_t *isa)
{
    int well = starts_well(w, r->end);
    if (well == NEEDS_MORE)
        return NEEDS_MORE;
    int json = has_json(w, start, r, isa);
    return json < 0 ? json : r->bare_quote << 2 | !well << 1 | !json;
}

/* Whether what follows a record is what may follow one; NEEDS_MORE where more bytes are needed to know. */
static int starts_well(const window_t *w, size_t at)
{
    if (at == w->size)
        return w->final ? 1 : NEEDS_MORE;
    if (at == w->end && !w->at_end)
        return 1; /* a header, which made the record end here */
    long long blank = blank_line(w->data, at, w->size, w->final, HEADER_BYTES);
    if (blank)
        return blank == NEEDS_MORE ? NEEDS_MORE : 1;
    size_t end = w->size - at < HEADER_BYTES ? w->size : at + HEADER_BYTES;
    return starts_record(w, at, end, end == w->size && !w->final);
}

static int64_t record_time(const window_t *w, size_t start, const uint32_t *ends)
{
    span_t span = field_span(w->data, start, ends, w->width, w->timestamp);
    return parse_timestamp(w->data + span.first, span.last - span.first);
}

#define LAST_NAME "description"

/* Blanks, quotes and slashes: more than may stand around a name. */
static int is_around_name(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || c == '"' || c == '/';
}

/* Whether the last field is the last name of a header of six. */
static inline int is_last_name(const uint8_t *data, const uint32_t *ends, uint32_t width)
{
    if (width < 2)
        return 0;
    const uint32_t size = sizeof LAST_NAME - 1;
    uint32_t first = ends[width - 2] + 1, last = ends[width - 1];
    while (first < last && is_around_name(data[last - 1]))
        last--;
    if (last - first < size || data[last - 1] != 'n' || memcmp(data + last - size, LAST_NAME, size))
        return 0;
    for (; first < last - size; first++)
        if (!is_around_name(data[first]))
            return 0;
    return 1;
}

/* The rule that a reading with the right number of fields breaks, 0 for none. */
static int judge(const window_t *w, size_t start, const reading_t *r, const isa_t *isa)
{
    if (record_time(w, start, r->ends) == NO_TIME)
        return BAD_TIMESTAMP;
    /* The six names of the older generation fill up a record of eight that was cut in its third field. */
    if (is_last_name(w->data, r->ends, w->width) && own_end(w, start, r) < r->end)
        return FIELD_COUNT;
    return isa->is_utf8(w->data + start, r->end - start) ? 0 : BAD_UTF8;
}

static size_t past_blanks(const uint8_t *data, size_t at, size_t end)
{
    while (at < end && (data[at] == ' ' || data[at] == '\t'))
        at++;
    return at;
}

static int stands(const uint8_t *data, size_t at, size_t end, const char *text)
{
    size_t size = strlen(text);
    return end - at >= size && !memcmp(data + at, text, size);
}

/* Past a name in quotes or not, 0 if it does not stand there. */
static size_t past_name(const uint8_t *data, size_t at, size_t end, const char *slashes, const char *name)
{
    size_t quoted = at < end && data[at] == '"';
    at += quoted;
    if (*slashes && stands(data, at, end, slashes))
        at += strlen(slashes);
    if (!stands(data, at, end, name))
        return 0;
    at += strlen(name);
    if (quoted && !(at < end && data[at] == '"'))
        return 0;
    return at + quoted;
}

/* Where the first header begins in a line, 0 for none, and where its first name ends. At the line's beginning, behind no
 * more than may stand around a name, it is no header in the line but the line itself. */
static size_t find_header(const uint8_t *data, size_t start, size_t end, size_t *name_end)
{
    for (size_t at = start + 1; at < end; at++) {
        const uint8_t *slash = memchr(data + at, '/', end - at);
        if (!slash)
            return 0;
        at = (size_t)(slash - data);
        if (!stands(data, at, end, "//"))
            continue;
        size_t name = past_blanks(data, at + 2, end), begin = at, past;
        if (at > start + 1 && data[at - 1] == '"' && stands(data, name, end, "timestamp\"")) {
            begin = at - 1;
            past = name + strlen("timestamp\"");
        } else if (!(past = past_name(data, name, end, "", "timestamp"))) {
            continue;
        }
        past = past_blanks(data, past, end);
        if (past == end || data[past] != ';')
            continue;
        size_t semicolon = past;
        past = past_name(data, past_blanks(data, past + 1, end), end, "//", "tracking_code");
        if (!past)
            continue;
        past = past_blanks(data, past, end);
        if (past < end && data[past] != ';' && data[past] != '\r' && data[past] != '\n')
            continue;
        for (size_t i = start; i < begin; i++)
            if (!is_around_name(data[i])) {
                if (name_end)
                    *name_end = semicolon;
                return begin;
            }
    }
    return 0;
}

/* Where another header begins within a line that may be one; 0 for none. Behind a delimiter it is a name of this. */
static size_t header_within(const uint8_t *data, size_t start, size_t end)
{
    size_t at = start;
    do
        at = find_header(data, at, end, NULL);
    while (at && data[at - 1] == ';');
    return at;
}

static size_t before_mark(const uint8_t *data, size_t start, size_t at)
{
    return at - start > sizeof BOM && !memcmp(data + at - sizeof BOM, BOM, sizeof BOM) ? at - sizeof BOM : at;
}

/* Where the record ends: where a header begins in one of its bare fields, if one does. */
static size_t own_end(const window_t *w, size_t start, const reading_t *r)
{
    const uint8_t *data = w->data;
    size_t name_end = 0;
    for (size_t at = start; (at = find_header(data, at, r->end, &name_end));)
        for (uint32_t i = 0; i < r->count; i++)
            if (r->ends[i] == name_end && data[i ? r->ends[i - 1] + 1 : start] != '"')
                return before_mark(data, start, at);
    return r->end;
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

/* Whether it is what Excel puts before a header. */
static int is_separator_line(const uint8_t *line, size_t size)
{
    while (size && line[size - 1] == '\r')
        size--;
    return (size == 5 && !memcmp(line, "sep=;", 5)) || (size == 7 && !memcmp(line, "\"sep=;\"", 7));
}

/* Whether a line is a header, by its first two names, or was one: all but two of its fields are names. */
static int names_columns(const window_t *w, size_t start, size_t end)
{
    const uint8_t *data = w->data;
    /* The first record may follow without a line end; and what a header follows that way is no header. */
    end = record_start(data, start, end);
    size_t header = header_within(data, start, end);
    if (header)
        end = header;
    uint64_t found = 0, fields = 0;
    for (size_t at = start; at <= end; at++, fields++) {
        const uint8_t *delimiter = at < end ? memchr(data + at, ';', end - at) : NULL;
        size_t first = at, last = at = delimiter ? (size_t)(delimiter - data) : end;
        while (first < last && is_around_name(data[first]))
            first++;
        while (first < last && is_around_name(data[last - 1]))
            last--;
        for (uint32_t i = 0; i < w->name_count; i++)
            if (last - first == w->names[i].size && !memcmp(data + first, w->names[i].start, last - first))
                found |= (uint64_t)1 << i;
    }
    uint64_t known = (uint64_t)__builtin_popcountll(found);
    if ((found & 3) == 3 || (known >= 2 && fields - known < (known < 3 ? known : 3)))
        return 1;
    /* Nothing but a header starts like this, whatever became of its names. With another number of fields no record below it
     * fits, either. */
    size_t quoted = start < end && data[start] == '"';
    return w->name_count > 2 && w->width > 2 && fields == w->width && end - start >= 2 + quoted && data[start + quoted] == '/' &&
           data[start + quoted + 1] == '/';
}

/* Where the next record or header plausibly starts, NEEDS_MORE or NOT_WITHIN_LIMIT. */
static long long resynchronise(const window_t *w, size_t start)
{
    size_t at = start;
    const uint8_t *data = w->data, *newline;
    int more = w->at_end == NEEDS_MORE;
    for (;;) {
        newline = at < w->end ? memchr(data + at, '\n', w->end - at) : NULL;
        if (newline || !more) {
            size_t header = find_header(data, at, newline ? (size_t)(newline - data) : w->end, NULL);
            if (header)
                return (long long)before_mark(data, start, header);
        }
        if (!newline)
            break;
        at = (size_t)(newline - data) + 1;
        int plausible = starts_record(w, at, w->end, more);
        if (plausible == NEEDS_MORE)
            return NEEDS_MORE;
        if (plausible)
            return (long long)at;
    }
    if (w->at_end == TOO_LONG)
        return NOT_WITHIN_LIMIT;
    return w->at_end ? w->at_end : (long long)w->end;
}

/* Whether a line starts like a record or a header; NEEDS_MORE where more bytes are needed to know. */
static int starts_record(const window_t *w, size_t at, size_t end, int more)
{
    static const char *const starts[] = {"\xef\xbb\xbf", "//", "\"//", "sep=;", "\"sep=;\""};
    const uint8_t *data = w->data;
    int out_of_bytes = more ? NEEDS_MORE : 0;
    for (int i = 0; i < 5; i++) {
        size_t size = strlen(starts[i]), there = end - at;
        if (there >= size) {
            if (!memcmp(data + at, starts[i], size))
                return 1;
        } else if (!memcmp(data + at, starts[i], there)) {
            return out_of_bytes;
        }
    }
    int plausible = has_timestamp(w, at, end, more);
    if (plausible)
        return plausible;
    size_t limit = end - at < HEADER_BYTES ? end : at + HEADER_BYTES;
    const uint8_t *newline = memchr(data + at, '\n', limit - at);
    if (!newline && limit == end && more)
        return NEEDS_MORE;
    return names_columns(w, at, newline ? (size_t)(newline - data) : limit);
}

/* Whether something shaped like a timestamp stands behind the fields before it: bare ones without a quote, and quoted
 * ones, closed wherever either dialect may close them. */
static int has_timestamp(const window_t *w, size_t at, size_t end, int more)
{
    const uint8_t *data = w->data;
    size_t limit = end - at < AHEAD_BYTES ? end : at + AHEAD_BYTES;
    int out_of_bytes = more && limit == end ? NEEDS_MORE : 0;
    /* What is left to try: each step takes one and adds two at most. */
    struct {
        size_t at;
        uint32_t field;
        int inside;
    } ways[AHEAD_STEPS + 2] = {{at, 0, 0}};
    int count = 1;
    for (int step = 0; step < AHEAD_STEPS && count; step++) {
        count--;
        at = ways[count].at;
        uint32_t field = ways[count].field;
        int inside = ways[count].inside;
        if (!inside && field == w->timestamp) {
            size_t first = at < limit && data[at] == '"' ? at + 1 : at;
            size_t shaped = timestamp_shape(data, first, limit);
            if (shaped == 19)
                return 1;
            if (first + shaped == limit && out_of_bytes)
                return NEEDS_MORE;
            continue;
        }
        if (!inside && !(at < limit && data[at] == '"')) {
            while (at < limit && data[at] != ';' && data[at] != '"' && data[at] != '\n')
                at++;
            if (at == limit && out_of_bytes)
                return NEEDS_MORE;
            if (at < limit && data[at] == ';') {
                ways[count].at = at + 1;
                ways[count].field = field + 1;
                ways[count++].inside = 0;
            }
            continue;
        }
        at += !inside;
        const uint8_t *quote = at < limit ? memchr(data + at, '"', limit - at) : NULL;
        size_t stop = quote ? (size_t)(quote - data) : limit;
        size_t past = stop;
        while (past < limit && data[past] == '"')
            past++;
        if (past == limit) {
            if (out_of_bytes)
                return NEEDS_MORE;
            continue;
        }
        int escaped = data[stop - 1] == '\\', odd = (past - stop) % 2;
        if (escaped || !odd) {
            ways[count].at = past;
            ways[count].field = field;
            ways[count++].inside = 1;
        }
        if (data[past] == ';' && (escaped || odd)) {
            ways[count].at = past + 1;
            ways[count].field = field + 1;
            ways[count++].inside = 0;
        }
    }
    return 0;
}
