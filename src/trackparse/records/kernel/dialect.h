/* The rule of the writer: which reading of a record is taken, and so its dialect. The same as dialect.py. */

#ifndef TRACKPARSE_DIALECT_H
#define TRACKPARSE_DIALECT_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "codes.h"
#include "grammar.h"
#include "isa.h"
#include "json.h"
#include "lines.h"

/* The one being read, and the best of three kinds. */
#define READINGS_KEPT 4

/* What came of weighing the readings of a record, and the memory for that. */
typedef struct {
    reading_t readings[READINGS_KEPT];
    choices_t choices;
    reading_t *reading;  /* the one that was taken; of a bad record, the one whose reason is given */
    int reason;          /* 0 if the record is good; or a reason, NEEDS_MORE or NO_MEMORY */
    uint64_t bytes_read; /* by all readings */
    int unresolved;      /* not all readings were weighed */
    int misses;          /* criteria that a good reading misses, if it was not the only one */
    size_t fault; /* of a bad record: the furthest place inside a line where a reading breaks a rule; 0 without one */
} weighed_t;

/* Which reading comes next. */
typedef struct {
    int automatic, dialect, bounded; /* what is asked for */
    int step;                        /* of the readings of PHP */
    int stage;
    int enough;   /* from now on, only readings in which no \" closes a field */
    int left_out; /* readings before this one were left out */
} readings_t;

/* Criteria that a reading misses, each worth more than those before it. The last criterion is the order of the
 * readings. */
#define HEADER_FOLLOWS 1
#define NO_JSON 2
#define NOTHING_FOLLOWS 4
#define BARE_QUOTE 8
/* So many that the reading seems to end in the middle of a value. */
#define CUT_SHORT (NO_JSON | NOTHING_FOLLOWS)

/* Stages of readings_t. */
enum { IN_FORCE, CHOOSING, OTHER, NO_OTHER };
/* In place of a number of criteria: there was no such reading. */
enum { NO_READING = -1 };

static int comes_before(int misses, const reading_t *r, int other_misses, const reading_t *other);
static void end_with_line(window_t *w, size_t start);
static int next_reading(readings_t *x, const window_t *w, size_t start, choices_t *choices, reading_t *r);
static int criteria_missed(const window_t *w, size_t start, const reading_t *r, const isa_t *isa);
static int what_follows(const window_t *w, size_t at);
static int has_json(const window_t *w, size_t start, const reading_t *r, const isa_t *isa);

/* Weigh the readings of one record: take the best that breaks no rule, or else the one whose reason is given. */
static void resolve(const window_t *wide, size_t start, int automatic, int dialect, int64_t credit, weighed_t *x,
                    const isa_t *isa)
{
    window_t narrow = *wide;
    const window_t *w = &narrow;
    /* `best` of the readings that break no rule, `whole` of those that end where a record would, `furthest` of the
     * others. */
    reading_t *now = &x->readings[0], *best = &x->readings[1], *whole = &x->readings[2], *furthest = &x->readings[3];
    int best_misses = NO_READING, whole_misses = NO_READING, whole_reason = 0, furthest_reason = 0;
    size_t reached = 0, fault = 0; /* by one of the others */
    /* With too many columns or no credit, only the reading in force is weighed, in which no \" closes a field. */
    int bounded = w->width > SANE_WIDTH || credit <= 0;
    int fixed = !automatic && dialect == RFC4180;
    readings_t next = {automatic, dialect, bounded, 0, IN_FORCE, 0, 0};
    if (credit <= 0)
        /* Nothing may be read twice: the record ends with its line, or is bad. */
        end_with_line(&narrow, start);
    x->bytes_read = 0;
    x->unresolved = 0;
    x->misses = 0;
    x->choices.made = 0;
    for (int number = 0; next_reading(&next, w, start, &x->choices, now); number++) {
        if (now->reason == NEEDS_MORE) {
            x->reason = NEEDS_MORE;
            return;
        }
        x->bytes_read += now->reached - start;
        int reason = now->reason ? now->reason : judge(w, start, now, isa);
        /* Whether the first reading is the only one: no \" inside quotes, or a cheap test says that all others break a
         * rule. */
        int settled = fixed || !now->forked || (now->settled && !number);
        int only = settled || bounded;
        x->unresolved |= next.left_out || (bounded && !settled);
        if (only && !reason) {
            x->reading = now;
            x->reason = 0;
            return;
        }
        if (!reason || reason == BAD_TIMESTAMP || reason == BAD_UTF8) {
            int misses = criteria_missed(w, start, now, isa);
            if (misses < 0) {
                x->reason = misses;
                return;
            }
            reading_t *taken = now;
            if (reason && (whole_misses == NO_READING || comes_before(misses, now, whole_misses, whole))) {
                whole_misses = misses;
                whole_reason = reason;
                now = whole;
                whole = taken;
            } else if (!reason && (best_misses == NO_READING || comes_before(misses, now, best_misses, best))) {
                best_misses = misses;
                now = best;
                best = taken;
                if (!misses)
                    break;
            }
        } else {
            size_t past = reason == UNCLOSED_QUOTE ? w->end : now->reached;
            reached = past > reached ? past : reached;
            if ((now->reason == TEXT_AFTER_QUOTE || now->reason == FIELD_COUNT) && !now->end && now->reached > fault)
                fault = now->reached;
            if (!furthest_reason || now->count > furthest->count) {
                reading_t *taken = now;
                furthest_reason = reason;
                now = furthest;
                furthest = taken;
            }
        }
        if (only)
            break;
        next.enough = x->bytes_read > (uint64_t)(credit > 0 ? credit : 0);
    }
    if (best_misses != NO_READING) {
        /* A reading that breaks no rule may still be the beginning of a bad record: one that ends at a \" inside a
         * value. */
        int better_but_bad = whole_misses != NO_READING && (whole_misses | HEADER_FOLLOWS) < best_misses;
        int cut_short = (best_misses & CUT_SHORT) == CUT_SHORT && reached > best->end;
        if (!better_but_bad && !cut_short) {
            x->reading = best;
            x->reason = 0;
            x->misses = best_misses;
            return;
        }
    }
    x->reading = whole_misses != NO_READING ? whole : furthest;
    x->reason = whole_misses != NO_READING ? whole_reason : furthest_reason;
    x->fault = fault;
    /* The line may be a header, and only the whole line tells. */
    if (line_end(w, start) == NEEDS_MORE)
        x->reason = NEEDS_MORE;
}

/* Whether a reading is better than another that came earlier. Of equal readings that nothing follows the shorter one is
 * better: it costs less if it is wrong. */
static int comes_before(int misses, const reading_t *r, int other_misses, const reading_t *other)
{
    return misses < other_misses || (misses == other_misses && misses & NOTHING_FOLLOWS && r->end < other->end);
}

/* Make the window no longer than the line at `start`: quotes that are still open there make the record bad. */
static void end_with_line(window_t *w, size_t start)
{
    const uint8_t *newline = memchr(w->data + start, '\n', w->end - start);
    if (newline) {
        w->end = (size_t)(newline - w->data) + 1;
        w->at_end = UNCLOSED_QUOTE;
    }
}

/* The next reading in the order of the last criterion, into `r`; 0 if there is no other.
 * The readings of the dialect in force come first. Where a \" may close its field, the reading in which it closes the
 * field comes before the one in which it does not. After READINGS readings, or with `enough`, only those follow in which
 * no \" closes a field. In Python: the generator `readings`. */
static int next_reading(readings_t *x, const window_t *w, size_t start, choices_t *choices, reading_t *r)
{
    if (x->stage == IN_FORCE) {
        int only = x->bounded || !(x->automatic || x->dialect == PHP);
        x->stage = only ? NO_OTHER : CHOOSING;
        if (only || x->dialect == RFC4180) {
            read_record(w, start, x->dialect, NO_CHOICES, choices, r);
            return 1;
        }
    }
    if (x->stage == CHOOSING) {
        if (x->step) {
            /* The last quote that closed its field is a literal quote in the next reading. */
            while (choices->made && !choices->closes[choices->made - 1])
                choices->made--;
            if (choices->made)
                choices->closes[choices->made - 1] = 0;
            else
                x->stage = OTHER;
        }
        if (x->stage == CHOOSING && (!x->step || (x->step < READINGS - 2 && !x->enough))) {
            x->step++;
            read_record(w, start, PHP, choices->made, choices, r);
            return 1;
        }
        if (x->stage == CHOOSING) {
            x->stage = OTHER;
            x->left_out = 1;
            read_record(w, start, PHP, NO_CHOICES, choices, r);
            return 1;
        }
    }
    if (x->stage == OTHER) {
        x->stage = NO_OTHER;
        if (x->automatic && x->dialect == PHP) {
            read_record(w, start, RFC4180, NO_CHOICES, choices, r);
            return 1;
        }
    }
    return 0;
}

/* Which of the first four criteria a reading misses, as a number: less is better, 0 misses none. Or NEEDS_MORE,
 * NO_MEMORY. The criteria are: no bare field holds a quote; what follows may follow a record; the payload is a JSON
 * object or array, or empty; what follows is not a header. */
static int criteria_missed(const window_t *w, size_t start, const reading_t *r, const isa_t *isa)
{
    int follows = what_follows(w, r->end);
    if (follows == NEEDS_MORE)
        return NEEDS_MORE;
    int json = has_json(w, start, r, isa);
    return json < 0 ? json
                    : r->bare_quote * BARE_QUOTE | !follows * NOTHING_FOLLOWS | !json * NO_JSON |
                          (follows == HEADER_STARTS) * HEADER_FOLLOWS;
}

/* RECORD_STARTS if a record may end at `at`, HEADER_STARTS if a header starts there, else 0; or NEEDS_MORE.
 * Blank lines are passed over: one may be the beginning of a line in a value. */
static int what_follows(const window_t *w, size_t at)
{
    for (size_t blanks_most = at + HEADER_BYTES;;) {
        if (at == w->size)
            return w->final ? RECORD_STARTS : NEEDS_MORE;
        /* A window that is not at an end was cut where a header begins. */
        if ((at == w->end && !w->at_end) || at > blanks_most)
            return RECORD_STARTS;
        long long past = blank_line(w->data, at, w->size, w->final, HEADER_BYTES);
        if (past == NEEDS_MORE)
            return NEEDS_MORE;
        if (!past)
            break;
        at = (size_t)past;
    }
    size_t end = w->size - at < HEADER_BYTES ? w->size : at + HEADER_BYTES;
    return what_starts(w, at, end, end == w->size && !w->final);
}

/* Whether the payload of a record is a JSON object or array, or empty, or there is no such column. Or NO_MEMORY. */
static int has_json(const window_t *w, size_t start, const reading_t *r, const isa_t *isa)
{
    if (w->payload == NO_COLUMN)
        return 1;
    span_t span = field_inside(w->data, start, r->ends, w->width, (uint32_t)w->payload);
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

#endif
