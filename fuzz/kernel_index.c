/* Every instruction set finds the same; cut or stopped anywhere it goes on to the same; no byte is left out or lost. */

#include "harness.h"

#define KNOBS 17

typedef struct {
    int status;
    size_t position;
    int dialect;
    int64_t credit;
    found_t found;
} result_t;

typedef struct {
    int automatic, dialect;
    uint32_t width, timestamp;
    int32_t payload;
    size_t max_record_bytes;
    int64_t credit;
} question_t;

static void drop(result_t *r)
{
    free(r->found.fields);
    free(r->found.timestamps);
    free(r->found.rejects);
}

#define KNOWN "timestamp;tracking_code;target_id;hwid;status;description;appCode;payload"

/* What the binding does, without Python. The status may be NO_MEMORY. */
static result_t ask(const question_t *q, const isa_t *isa, const uint8_t *data, size_t size, size_t start, size_t stop,
                    int final, int dialect, int64_t credit)
{
    result_t r = {NO_MEMORY, start, dialect, credit, {0}};
    indexer_t *x = calloc(1, sizeof *x);
    CHECK(x, "no memory");
    x->data = data;
    x->size = size;
    x->stop = stop;
    x->final = final;
    x->trusted = 1;
    x->automatic = q->automatic;
    x->dialect = dialect;
    x->width = q->width;
    x->timestamp = q->timestamp;
    x->payload = q->payload;
    x->max_record_bytes = q->max_record_bytes;
    x->credit = credit;
    x->start = start;
    x->byte_offset = (int64_t)start; /* the rejects are looked for in `data` */
    x->isa = isa;
    CHECK(take_names(x, KNOWN, sizeof KNOWN - 1), "names");
    if (new_workspace(x))
        r.status = index_records(x, &r.position, &r.found);
    r.dialect = x->dialect;
    r.credit = x->credit;
    release_workspace(x);
    free(x);
    return r;
}

static void check_same(const question_t *q, const result_t *a, const result_t *b, const char *name)
{
    const found_t *f = &a->found, *g = &b->found;
    CHECK(a->status == b->status && a->position == b->position && a->dialect == b->dialect && a->credit == b->credit,
          "%s: status %d at %zu, dialect %d; portable: %d at %zu, %d", name, a->status, a->position, a->dialect,
          b->status, b->position, b->dialect);
    CHECK(f->records == g->records && f->reject_count == g->reject_count && f->blank_lines == g->blank_lines &&
              f->record_bytes == g->record_bytes && f->blank_bytes == g->blank_bytes &&
              f->mark_bytes == g->mark_bytes && f->lines == g->lines && f->unresolved == g->unresolved,
          "%s", name);
    CHECK(!f->records || !memcmp(f->fields, g->fields, f->records * (q->width + 1) * sizeof *f->fields), "%s", name);
    CHECK(!f->records || !memcmp(f->timestamps, g->timestamps, f->records * sizeof *f->timestamps), "%s", name);
    for (size_t i = 0; i < f->reject_count; i++) {
        const reject_t *r = f->rejects + i, *s = g->rejects + i;
        CHECK(!memcmp(r, s, sizeof *r), "%s: reject %zu", name, i);
    }
}

/* Between records and rejects stand blank lines, byte order marks and Excel's sep=; only, and the sums are right. */
static void check_cover(const question_t *q, const result_t *r, const uint8_t *data, size_t size, size_t start,
                        int final)
{
    const found_t *f = &r->found;
    size_t at = start, record = 0, reject = 0, lines = 0, record_bytes = 0, blank_bytes = 0, reject_bytes = 0;
    size_t mark_bytes = 0, feeds = 0;
    for (;;) {
        int rejects_left = reject < f->reject_count, records_left = record < f->records;
        int is_reject = rejects_left && (size_t)f->rejects[reject].before <= record;
        const uint32_t *row = records_left ? f->fields + record * (q->width + 1) : NULL;
        size_t next = is_reject      ? (size_t)f->rejects[reject].byte_offset
                      : records_left ? row[0] & START_MASK
                                     : r->position;
        while (at < next) {
            size_t crs = 0;
            if (next - at >= sizeof BOM && !memcmp(data + at, BOM, sizeof BOM)) {
                at += sizeof BOM;
                mark_bytes += sizeof BOM;
                continue;
            }
            const uint8_t *feed = memchr(data + at, '\n', next - at);
            size_t line = feed ? (size_t)(feed - data) - at : next - at;
            if (is_separator_line(data + at, line)) {
                line += feed != NULL;
                at += line;
                mark_bytes += line;
                continue;
            }
            while (at + crs < next && data[at + crs] == '\r')
                crs++;
            int line_end = at + crs < next && data[at + crs] == '\n';
            CHECK(line_end || (crs && at + crs == size && final),
                  "byte %zu before %zu is neither a record's nor a reject's", at, next);
            blank_bytes += crs + (size_t)line_end;
            at += crs + (size_t)line_end;
            lines++;
        }
        CHECK(at == next, "at %zu, and not %zu", at, next);
        if (is_reject) {
            size_t bytes = (size_t)f->rejects[reject].size;
            CHECK(bytes && bytes <= size - at && bytes <= q->max_record_bytes, "reject %zu", reject);
            CHECK((size_t)f->rejects[reject].record == record + reject, "reject %zu", reject);
            reject_bytes += bytes;
            at += bytes;
            reject++;
        } else if (records_left) {
            for (uint32_t i = 0; i < q->width; i++)
                CHECK(row[i + 1] >= (i ? row[i] + 1 : next) && row[i + 1] <= size, "record %zu, field %u", record, i);
            /* Where a header follows at once there is no line end. */
            at = row[q->width] + (size_t)(row[q->width] < size && data[row[q->width]] == '\n');
            CHECK(at - next <= q->max_record_bytes, "record %zu", record);
            record_bytes += at - next;
            record++;
        } else {
            break;
        }
    }
    for (size_t i = start; i < r->position; i++)
        feeds += data[i] == '\n';
    CHECK(reject_bytes == f->raw_bytes, "sums");
    CHECK(lines == f->blank_lines && blank_bytes == f->blank_bytes && record_bytes == f->record_bytes, "sums");
    CHECK(mark_bytes == f->mark_bytes && feeds == f->lines, "sums");
    CHECK(record_bytes + blank_bytes + mark_bytes + reject_bytes == r->position - start, "sums");
}

/* The part, then the rest, is the whole. */
static void check_joined(const question_t *q, const result_t *part, const result_t *rest, const result_t *whole)
{
    const found_t *a = &part->found, *b = &rest->found, *w = &whole->found;
    size_t row = (q->width + 1) * sizeof *w->fields;
    CHECK(rest->status == whole->status && rest->position == whole->position && rest->dialect == whole->dialect &&
              rest->credit == whole->credit,
          "%d at %zu, dialect %d; whole: %d at %zu, %d", rest->status, rest->position, rest->dialect, whole->status,
          whole->position, whole->dialect);
    CHECK(a->records + b->records == w->records && a->blank_lines + b->blank_lines == w->blank_lines &&
              a->lines + b->lines == w->lines && a->unresolved + b->unresolved == w->unresolved,
          "counts");
    CHECK(!a->records || !memcmp(a->fields, w->fields, a->records * row), "the part");
    CHECK(!b->records || !memcmp(b->fields, w->fields + a->records * (q->width + 1), b->records * row), "the rest");
    CHECK(a->reject_count + b->reject_count == w->reject_count, "rejects");
    for (size_t i = 0; i < w->reject_count; i++) {
        reject_t r = i < a->reject_count ? a->rejects[i] : b->rejects[i - a->reject_count];
        if (i >= a->reject_count) {
            r.before += (int64_t)a->records;
            r.record += (int64_t)(a->records + a->reject_count);
            r.line += (int64_t)a->lines;
        }
        CHECK(!memcmp(&r, w->rejects + i, sizeof r), "reject %zu", i);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    static const uint32_t widths[] = {8, 8, 8, 6, 1, 2, 3, 30};
    static const size_t limits[] = {1 << 30, 1 << 30, 60, 200, 1000};
    knobs_t k = {input, input + (size < KNOBS ? size : KNOBS)};
    question_t q;
    q.width = widths[knob(&k, 8)];
    q.timestamp = knob(&k, 4) ? 0 : knob(&k, q.width);
    q.payload = knob(&k, 4) ? (int32_t)q.width - 1 : (int32_t)knob(&k, q.width + 1) - 1;
    uint32_t mode = knob(&k, 16);
    q.automatic = mode & 1 || mode & 2;
    q.dialect = mode >> 2 & 1;
    int final = (int)(mode >> 3);
    q.max_record_bytes = limits[knob(&k, 5)];
    static const int64_t credits[] = {INT64_MAX, INT64_MAX, INT64_MAX, 0, 500};
    q.credit = credits[knob(&k, 5)];
    if (q.credit > credit_limit(q.max_record_bytes))
        q.credit = credit_limit(q.max_record_bytes);
    uint32_t cut = knob(&k, 1 << 16), memory = knob(&k, 64);
    k.at = k.end; /* the knobs have one size, however many were turned */
    size -= (size_t)(k.at - input);
    uint8_t *data = exact_copy(k.at, size);
    cut %= (uint32_t)size + 1;

    const isa_t *portable = ISAS + ISA_COUNT - 1;
    result_t whole = ask(&q, portable, data, size, 0, size, final, q.dialect, q.credit);
    CHECK(whole.status != NO_MEMORY, "no memory");
    check_cover(&q, &whole, data, size, 0, final);
    uint8_t *head = exact_copy(data, cut);
    for (size_t i = 0; i < ISA_COUNT; i++) {
        const isa_t *isa = ISAS + i;
        if (!isa_runs_here(isa))
            continue;
        if (isa != portable) {
            result_t same = ask(&q, isa, data, size, 0, size, final, q.dialect, q.credit);
            check_same(&q, &same, &whole, isa->name);
            drop(&same);
        }
        /* Once the bytes end there, once it was told to stop there. */
        for (int stopped = 0; stopped < 2; stopped++) {
            result_t part = ask(&q, isa, stopped ? data : head, stopped ? size : cut, 0, cut, stopped && final,
                                q.dialect, q.credit);
            result_t rest = ask(&q, isa, data, size, part.position, size, final, part.dialect, part.credit);
            check_joined(&q, &part, &rest, &whole);
            drop(&part);
            drop(&rest);
        }
    }
    /* Out of memory half-way it says so, or needed no more; LeakSanitizer sees what it forgets. */
    granted = memory;
    result_t poor = ask(&q, portable, data, size, 0, size, final, q.dialect, q.credit);
    granted = -1;
    if (poor.status != NO_MEMORY)
        check_same(&q, &poor, &whole, "short of memory");
    drop(&poor);
    drop(&whole);
    free(head);
    free(data);
    return 0;
}
