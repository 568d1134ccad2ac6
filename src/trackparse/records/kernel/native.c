/* The kernel: what touches every byte. Buffers in, buffers out; reference.py says what each function means.
 * While the GIL is released nothing of Python's is allocated or touched. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "isa.h"

#include "grammar.h"

#include "index.h"

#include "values.h"

typedef struct {
    const isa_t *isa;
    PyObject *field, *memory; /* types */
} state_t;

static const isa_t *isa_of(PyObject *module)
{
    return ((state_t *)PyModule_GetState(module))->isa;
}

/* ---- index --------------------------------------------------------------------------------------------- */

static PyObject *kernel_index(PyObject *module, PyObject *args)
{
    Py_buffer data;
    Py_ssize_t start, stop, max_record_bytes, names_size;
    const char *names;
    int final, width, timestamp, payload, automatic, dialect;
    long long credit;
    if (!PyArg_ParseTuple(args, "y*nnpiiiy#pinL:index", &data, &start, &stop, &final, &width, &timestamp, &payload,
                          &names, &names_size, &automatic, &dialect, &max_record_bytes, &credit))
        return NULL;
    PyObject *result = NULL, *rejects = NULL;
    found_t f = {0};
    indexer_t *x = calloc(1, sizeof *x);
    if (!x) {
        PyBuffer_Release(&data);
        return PyErr_NoMemory();
    }
    x->data = data.buf;
    x->size = (size_t)data.len;
    x->stop = (size_t)stop;
    x->final = final;
    x->automatic = automatic;
    x->dialect = dialect;
    x->width = (uint32_t)width;
    x->timestamp = (uint32_t)timestamp;
    x->payload = payload;
    x->max_record_bytes = (size_t)max_record_bytes;
    x->credit = credit;
    x->isa = isa_of(module);
    if (start < 0 || stop < 0 || width < 1 || timestamp < 0 || timestamp >= width || payload >= width ||
        max_record_bytes < 1 || max_record_bytes > INT64_MAX / 64 || credit > INT64_MAX / 4 ||
        credit < INT64_MIN / 4 || data.len > INT32_MAX || (dialect & ~1) || !take_names(x, names, (size_t)names_size)) {
        PyErr_SetString(PyExc_ValueError, "index: arguments out of range");
        goto done;
    }
    int status = -1;
    size_t position = (size_t)start;
    if (take_room(x)) {
        Py_BEGIN_ALLOW_THREADS
        status = index_records(x, &position, &f);
        Py_END_ALLOW_THREADS
    }
    if (status < 0) {
        PyErr_NoMemory();
        goto done;
    }
    rejects = PyList_New((Py_ssize_t)f.reject_count);
    if (!rejects)
        goto done;
    for (size_t i = 0; i < f.reject_count; i++) {
        const reject_t *r = f.rejects + i;
        PyObject *item = Py_BuildValue("KKnni", (unsigned long long)r->records, (unsigned long long)r->lines,
                                       (Py_ssize_t)r->start, (Py_ssize_t)r->end, r->reason);
        if (!item || PyList_SetItem(rejects, (Py_ssize_t)i, item) < 0)
            goto done;
    }
    result = Py_BuildValue("iniKKy#y#OKKKKKL", status, (Py_ssize_t)position, x->dialect, (unsigned long long)f.records,
                           (unsigned long long)f.blank_lines, f.records ? (const char *)f.fields : "",
                           (Py_ssize_t)(f.records * ((size_t)width + 1) * sizeof *f.fields),
                           f.records ? (const char *)f.timestamps : "",
                           (Py_ssize_t)(f.records * sizeof *f.timestamps), rejects,
                           (unsigned long long)f.record_bytes, (unsigned long long)f.blank_bytes,
                           (unsigned long long)f.mark_bytes, (unsigned long long)f.lines, (unsigned long long)f.unresolved,
                           (long long)x->credit);
done:
    Py_XDECREF(rejects);
    free(f.fields);
    free(f.timestamps);
    free(f.rejects);
    drop_room(x);
    free(x);
    PyBuffer_Release(&data);
    return result;
}

/* ---- columns ------------------------------------------------------------------------------------------- */

typedef struct {
    Py_buffer data, table;
    size_t records;
    uint32_t width;
    int32_t field;
    size_t bytes; /* of the column as it stands in the log: no value is longer */
} run_t;

typedef struct {
    run_t *run;
    Py_ssize_t count;
    size_t records;
    size_t bytes;
} runs_t;

static void release_runs(runs_t *runs)
{
    for (Py_ssize_t i = 0; i < runs->count; i++) {
        PyBuffer_Release(&runs->run[i].data);
        PyBuffer_Release(&runs->run[i].table);
    }
    free(runs->run);
}

static inline const uint32_t *row_of(const run_t *run, size_t record)
{
    return (const uint32_t *)run->table.buf + record * ((size_t)run->width + 1);
}

static inline span_t span_of(const run_t *run, const uint32_t *row)
{
    return field_span(run->data.buf, row[0] & ~LINE_END, row + 1, run->width, (uint32_t)run->field);
}

/* Nothing is read past its buffer, whatever table comes in. Sums up the column's bytes. */
static int check_run(run_t *run)
{
    uint32_t size = (uint32_t)run->data.len, bad = run->data.len > INT32_MAX;
    uint64_t bytes = 0;
    for (size_t i = 0; run->field >= 0 && i < run->records; i++) {
        const uint32_t *row = row_of(run, i);
        uint32_t first = run->field ? row[run->field] + 1 : row[0] & ~LINE_END;
        uint32_t last = row[run->field + 1];
        bad |= (first > last) | (last > size);
        bytes += last - first;
    }
    run->bytes = (size_t)bytes;
    return !bad;
}

static int has_table(const run_t *run)
{
    return (size_t)run->table.len / sizeof(uint32_t) / ((size_t)run->width + 1) >= run->records &&
           (uintptr_t)run->table.buf % sizeof(uint32_t) == 0;
}

/* A run without the column, field -1, needs no table. */
static int take_run(PyObject *item, run_t *run)
{
    Py_ssize_t records, width, field;
    if (!PyArg_ParseTuple(item, "y*y*nnn", &run->data, &run->table, &records, &width, &field))
        return 0;
    run->records = (size_t)records;
    run->width = (uint32_t)width;
    run->field = (int32_t)field;
    if (records < 0 || width < 1 || width > INT32_MAX / 8 || field >= width || (field >= 0 && !has_table(run))) {
        PyErr_SetString(PyExc_ValueError, "run: arguments out of range");
    } else if (check_run(run)) {
        return 1;
    } else {
        PyErr_SetString(PyExc_ValueError, "run: the field table does not fit its block");
    }
    PyBuffer_Release(&run->data);
    PyBuffer_Release(&run->table);
    return 0;
}

static int take_runs(PyObject *list, runs_t *runs)
{
    Py_ssize_t count = PyList_Size(list);
    if (count < 0)
        return 0;
    runs->run = calloc(count ? (size_t)count : 1, sizeof *runs->run);
    if (!runs->run) {
        PyErr_NoMemory();
        return 0;
    }
    for (; runs->count < count; runs->count++) {
        run_t *run = runs->run + runs->count;
        if (!take_run(PyList_GetItem(list, runs->count), run)) {
            release_runs(runs);
            return 0;
        }
        runs->records += run->records;
        runs->bytes += run->bytes;
    }
    return 1;
}

static PyObject *kernel_records_in(PyObject *module, PyObject *args)
{
    (void)module;
    Py_buffer table;
    Py_ssize_t records, width, size;
    if (!PyArg_ParseTuple(args, "y*nnn:records_in", &table, &records, &width, &size))
        return NULL;
    PyObject *result = NULL;
    Py_ssize_t bytes = 0, count = 0;
    if (records < 0 || width < 1 || width > INT32_MAX / 8 || (uintptr_t)table.buf % sizeof(uint32_t) ||
        (size_t)table.len / sizeof(uint32_t) / ((size_t)width + 1) < (size_t)records) {
        PyErr_SetString(PyExc_ValueError, "records_in: arguments out of range");
    } else {
        for (const uint32_t *row = table.buf; count < records && bytes < size; count++, row += width + 1)
            bytes += (Py_ssize_t)row[width] + 1 - (Py_ssize_t)(row[0] & ~LINE_END);
        result = Py_BuildValue("nn", count, bytes);
    }
    PyBuffer_Release(&table);
    return result;
}

typedef struct {
    uint8_t *bits;
    size_t nulls;
} validity_t;

static inline void set_null(validity_t *v, size_t record)
{
    v->bits[record / 8] &= (uint8_t)~(1 << record % 8);
    v->nulls++;
}

static int new_validity(validity_t *v, size_t records)
{
    v->bits = malloc(records / 8 + 1);
    v->nulls = 0;
    if (!v->bits) {
        PyErr_NoMemory();
        return 0;
    }
    memset(v->bits, 0xFF, records / 8 + 1);
    if (records % 8)
        v->bits[records / 8] = (uint8_t)((1 << records % 8) - 1);
    return 1;
}

static PyObject *validity_bytes(const validity_t *v, size_t records)
{
    if (!v->nulls) {
        Py_INCREF(Py_None);
        return Py_None;
    }
    return PyBytes_FromStringAndSize((const char *)v->bits, (Py_ssize_t)((records + 7) / 8));
}

/* Most values are short: 32 bytes copied at once, whatever the length, cost a fifth of a call to memcpy. `out` has
 * room for n + 64 bytes; `left` bytes may be read at p. */
static inline void copy_value(uint8_t *out, const uint8_t *p, size_t n, size_t left)
{
    if (n <= 32 && left >= 32)
        memcpy(out, p, 32);
    else
        memcpy(out, p, n);
}

/* A writable buffer of `size` bytes from the caller's allocator: large ones that are fresh each time would double the
 * cost of filling them by page faults, and the caller may know how to recycle. */
static PyObject *allocate(PyObject *allocator, size_t size, Py_buffer *view)
{
    PyObject *buffer = PyObject_CallFunction(allocator, "n", (Py_ssize_t)size);
    if (!buffer)
        return NULL;
    if (PyObject_GetBuffer(buffer, view, PyBUF_WRITABLE) < 0) {
        view->obj = NULL;
    } else if ((size_t)view->len < size) {
        PyErr_SetString(PyExc_ValueError, "the allocator gave less than it was asked for");
        PyBuffer_Release(view);
    } else {
        return buffer;
    }
    Py_DECREF(buffer);
    return NULL;
}

static void fill_strings(const runs_t *runs, int empty_is_null, const isa_t *isa, int32_t *offsets,
                         uint8_t *out, validity_t *validity)
{
    uint8_t *start = out;
    size_t record = 0;
    *offsets++ = 0;
    for (Py_ssize_t k = 0; k < runs->count; k++) {
        const run_t *run = runs->run + k;
        const uint8_t *data = run->data.buf;
        for (size_t i = 0; i < run->records; i++, record++) {
            if (run->field < 0) {
                set_null(validity, record);
            } else {
                const uint32_t *row = row_of(run, i);
                span_t span = span_of(run, row);
                size_t size = span.last - span.first;
                if (span.quoted && size) {
                    out += isa->unescape(out, data + span.first, size, (int)(row[0] >> 31) == PHP);
                } else if (size) {
                    copy_value(out, data + span.first, size, (size_t)run->data.len - span.first);
                    out += size;
                } else if (empty_is_null) {
                    set_null(validity, record);
                }
            }
            *offsets++ = (int32_t)(out - start);
        }
    }
}

static PyObject *kernel_strings(PyObject *module, PyObject *args)
{
    PyObject *list, *result = NULL, *offsets = NULL, *data = NULL, *valid = NULL;
    PyObject *allocator = (PyObject *)&PyByteArray_Type;
    Py_buffer space = {0};
    int empty_is_null;
    runs_t runs = {0};
    validity_t validity = {0};
    if (!PyArg_ParseTuple(args, "O!p|O:strings", &PyList_Type, &list, &empty_is_null, &allocator) ||
        !take_runs(list, &runs))
        return NULL;
    if (runs.bytes > INT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "strings: more than 2 GiB in one batch");
        goto done;
    }
    offsets = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)((runs.records + 1) * sizeof(int32_t)));
    data = offsets ? allocate(allocator, runs.bytes + 64, &space) : NULL;
    if (!offsets || !data || !new_validity(&validity, runs.records))
        goto done;
    int32_t *ends = (int32_t *)PyBytes_AsString(offsets);
    uint8_t *out = space.buf;
    const isa_t *isa = isa_of(module);
    Py_BEGIN_ALLOW_THREADS
    fill_strings(&runs, empty_is_null, isa, ends, out, &validity);
    Py_END_ALLOW_THREADS
    valid = validity_bytes(&validity, runs.records);
    if (valid)
        result = Py_BuildValue("OOnOn", offsets, data, (Py_ssize_t)ends[runs.records], valid,
                               (Py_ssize_t)validity.nulls);
done:
    PyBuffer_Release(&space);
    Py_XDECREF(offsets);
    Py_XDECREF(data);
    Py_XDECREF(valid);
    free(validity.bits);
    release_runs(&runs);
    return result;
}

typedef struct {
    int32_t size;
    union {
        uint8_t inlined[12];
        struct {
            uint8_t prefix[4];
            int32_t buffer, offset;
        } far;
    };
} view_t;

/* How much may have to be unescaped. */
static size_t quoted_bytes(const runs_t *runs)
{
    size_t bytes = 0;
    for (Py_ssize_t k = 0; k < runs->count; k++) {
        const run_t *run = runs->run + k;
        for (size_t i = 0; run->field >= 0 && i < run->records; i++) {
            span_t span = span_of(run, row_of(run, i));
            bytes += span.quoted ? span.last - span.first : 0;
        }
    }
    return bytes;
}

static size_t fill_views(const runs_t *runs, int empty_is_null, const isa_t *isa, view_t *view, uint8_t *unescaped,
                         validity_t *validity)
{
    uint8_t *out = unescaped;
    size_t record = 0;
    for (Py_ssize_t k = 0; k < runs->count; k++) {
        const run_t *run = runs->run + k;
        const uint8_t *data = run->data.buf;
        for (size_t i = 0; i < run->records; i++, record++, view++) {
            memset(view, 0, sizeof *view);
            if (run->field < 0) {
                set_null(validity, record);
                continue;
            }
            const uint32_t *row = row_of(run, i);
            span_t span = span_of(run, row);
            const uint8_t *value = data + span.first;
            size_t size = span.last - span.first;
            int32_t buffer = (int32_t)k, offset = (int32_t)span.first;
            if (span.quoted && size && memchr(value, '"', size)) {
                size_t shorter = isa->unescape(out, value, size, (int)(row[0] >> 31) == PHP);
                if (shorter != size) {
                    value = out;
                    size = shorter;
                    buffer = (int32_t)runs->count;
                    offset = (int32_t)(out - unescaped);
                    if (size > 12)
                        out += size;
                }
            }
            view->size = (int32_t)size;
            if (size <= 12) {
                memcpy(view->inlined, value, size);
                if (!size && empty_is_null)
                    set_null(validity, record);
            } else {
                memcpy(view->far.prefix, value, 4);
                view->far.buffer = buffer;
                view->far.offset = offset;
            }
        }
    }
    return (size_t)(out - unescaped);
}

static PyObject *kernel_views(PyObject *module, PyObject *args)
{
    PyObject *list, *result = NULL, *views = NULL, *data = NULL, *valid = NULL;
    PyObject *allocator = (PyObject *)&PyByteArray_Type;
    Py_buffer space = {0};
    int empty_is_null;
    runs_t runs = {0};
    validity_t validity = {0};
    if (!PyArg_ParseTuple(args, "O!p|O:views", &PyList_Type, &list, &empty_is_null, &allocator) ||
        !take_runs(list, &runs))
        return NULL;
    if (runs.bytes > INT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "views: more than 2 GiB in one batch");
        goto done;
    }
    views = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(runs.records * sizeof(view_t)));
    data = views ? allocate(allocator, quoted_bytes(&runs) + 64, &space) : NULL;
    if (!views || !data || !new_validity(&validity, runs.records))
        goto done;
    view_t *view = (view_t *)PyBytes_AsString(views);
    uint8_t *out = space.buf;
    const isa_t *isa = isa_of(module);
    size_t used;
    Py_BEGIN_ALLOW_THREADS
    used = fill_views(&runs, empty_is_null, isa, view, out, &validity);
    Py_END_ALLOW_THREADS
    valid = validity_bytes(&validity, runs.records);
    if (valid)
        result = Py_BuildValue("OOnOn", views, data, (Py_ssize_t)used, valid, (Py_ssize_t)validity.nulls);
done:
    PyBuffer_Release(&space);
    Py_XDECREF(views);
    Py_XDECREF(data);
    Py_XDECREF(valid);
    free(validity.bits);
    release_runs(&runs);
    return result;
}

/* ---- events -------------------------------------------------------------------------------------------- */

/* What a Payload carries; its Python class adds the behaviour. It cannot be part of a cycle, so it needs no GC. */
typedef struct {
    PyObject_HEAD
    PyObject *raw, *member, *decoded;
    long long record;
    int dialect;
} field_t;

static PyObject *new_field(PyTypeObject *type, PyObject *raw, int dialect, PyObject *member, long long record)
{
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    field_t *field = (field_t *)alloc(type, 0);
    if (!field)
        return NULL;
    Py_INCREF(raw);
    Py_INCREF(member);
    Py_INCREF(Py_None);
    field->raw = raw;
    field->member = member;
    field->decoded = Py_None;
    field->record = record;
    field->dialect = dialect;
    return (PyObject *)field;
}

static PyObject *field_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    PyObject *raw, *member;
    int dialect;
    long long record;
    if (keywords && PyDict_Size(keywords)) {
        PyErr_SetString(PyExc_TypeError, "it takes no keywords");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "SiUL", &raw, &dialect, &member, &record))
        return NULL;
    return new_field(type, raw, dialect, member, record);
}

static void field_dealloc(PyObject *self)
{
    field_t *field = (field_t *)self;
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(field->raw);
    Py_XDECREF(field->member);
    Py_XDECREF(field->decoded);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyMemberDef field_members[] = {
    {"raw", T_OBJECT_EX, offsetof(field_t, raw), READONLY, NULL},
    {"_dialect", T_INT, offsetof(field_t, dialect), READONLY, NULL},
    {"_member", T_OBJECT_EX, offsetof(field_t, member), READONLY, NULL},
    {"_record", T_LONGLONG, offsetof(field_t, record), READONLY, NULL},
    {"_decoded", T_OBJECT_EX, offsetof(field_t, decoded), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot field_slots[] = {
    {Py_tp_new, field_new},
    {Py_tp_dealloc, field_dealloc},
    {Py_tp_members, field_members},
    {Py_tp_doc, "A field as it stands in the log, and where that is."},
    {0, NULL},
};

static PyType_Spec field_spec = {"trackparse.records.kernel.native.Field", sizeof(field_t), 0,
                                 Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, field_slots};

#define MAX_EVENT_FIELDS 64
#define SHARED 64 /* values remembered, so that a repeated one is one object */

typedef struct {
    const uint8_t *text;
    size_t size;
    PyObject *object;
} shared_t;

typedef struct {
    run_t run; /* its field is set for each column in turn */
    int count; /* of fields */
    int32_t columns[MAX_EVENT_FIELDS];
    const char *kinds; /* a letter for each */
    Py_buffer timestamps;
    PyObject *moment, *statuses, *member;
    PyTypeObject *event, *payload;
    allocfunc new_event;
    const isa_t *isa;
    uint8_t *scratch;
    size_t room;
    shared_t texts[SHARED], known[SHARED]; /* known: what statuses stand for */
} event_builder_t;

static inline size_t slot_of(const uint8_t *p, size_t n)
{
    uint64_t first = 0, last = 0;
    memcpy(&first, p, n < 8 ? n : 8);
    if (n > 8)
        memcpy(&last, p + n - 8, 8);
    return (size_t)(((first ^ last * 0x9E3779B97F4A7C15u) + n) * 0x9E3779B97F4A7C15u >> 58);
}

static PyObject *text_of(event_builder_t *m, const uint32_t *row, int column)
{
    m->run.field = m->columns[column];
    span_t span = span_of(&m->run, row);
    const uint8_t *value = (const uint8_t *)m->run.data.buf + span.first;
    size_t size = span.last - span.first;
    int status = m->kinds[column] == 's';
    if (!size && m->kinds[column] == 'n') {
        Py_INCREF(Py_None);
        return Py_None;
    }
    shared_t *s = (status ? m->known : m->texts) + slot_of(value, size);
    if (s->object && s->size == size && !memcmp(s->text, value, size)) {
        Py_INCREF(s->object);
        return s->object;
    }
    PyObject *text;
    if (span.quoted && size && memchr(value, '"', size)) {
        if (m->room < size) {
            free(m->scratch);
            m->scratch = malloc(size * 2 + 64);
            m->room = m->scratch ? size * 2 : 0;
            if (!m->scratch)
                return PyErr_NoMemory();
        }
        size_t shorter = m->isa->unescape(m->scratch, value, size, (int)(row[0] >> 31) == PHP);
        text = PyUnicode_DecodeUTF8((const char *)m->scratch, (Py_ssize_t)shorter, NULL);
    } else {
        text = PyUnicode_DecodeUTF8((const char *)value, (Py_ssize_t)size, NULL);
        if (text && status) {
            PyObject *known = PyDict_GetItemWithError(m->statuses, text);
            if (known) {
                Py_INCREF(known);
                Py_DECREF(text);
                text = known;
            } else if (PyErr_Occurred()) {
                Py_CLEAR(text);
            }
        }
        if (text) {
            Py_XDECREF(s->object);
            Py_INCREF(text);
            *s = (shared_t){value, size, text};
        }
    }
    return text;
}

static PyObject *payload_of(event_builder_t *m, const uint32_t *row, int column, long long record)
{
    m->run.field = m->columns[column];
    span_t span = span_of(&m->run, row);
    if (span.last == span.first) {
        Py_INCREF(Py_None);
        return Py_None;
    }
    PyObject *raw = PyBytes_FromStringAndSize((const char *)m->run.data.buf + span.first - span.quoted,
                                              (Py_ssize_t)(span.last - span.first + 2 * (size_t)span.quoted));
    if (!raw)
        return NULL;
    PyObject *payload = new_field(m->payload, raw, (int)(row[0] >> 31), m->member, record);
    Py_DECREF(raw);
    return payload;
}

static inline PyObject *make_event_of(event_builder_t *m, const uint32_t *row, PyObject *moment, long long record, int count)
{
    PyObject *event = m->new_event(m->event, count);
    if (!event)
        return NULL;
    int failed = 0;
    for (int i = 0; i < count && !failed; i++) {
        PyObject *value = m->kinds[i] == 'm' ? moment : Py_None;
        if (m->kinds[i] == 'm' || m->columns[i] < 0)
            Py_INCREF(value);
        else
            value = m->kinds[i] == 'j' ? payload_of(m, row, i, record) : text_of(m, row, i);
        failed = !value || PyTuple_SetItem(event, i, value);
    }
    if (failed)
        Py_CLEAR(event);
    else
        /* Immutable, and nothing in it can lead back to it: walking it would cost the collector a sixth of the time. */
        PyObject_GC_UnTrack(event);
    return event;
}

static PyObject *make_event(event_builder_t *m, const uint32_t *row, PyObject *moment, long long record)
{
    /* Today's columns with a constant, so that the loop is none. */
    return m->count == 8 ? make_event_of(m, row, moment, record, 8) : make_event_of(m, row, moment, record, m->count);
}

static PyObject *make_events(event_builder_t *m, long long first_record, PyObject *rejects)
{
    PyObject *list = PyList_New((Py_ssize_t)m->run.records), *moment = NULL;
    const int64_t *times = m->timestamps.buf;
    Py_ssize_t passed = 0, reject_count = PyList_Size(rejects);
    for (size_t i = 0; list && i < m->run.records; i++) {
        /* A timestamp repeats for many rows. */
        if (!i || times[i] != times[i - 1]) {
            Py_XDECREF(moment);
            moment = PyObject_CallFunction(m->moment, "L", (long long)times[i]);
        }
        for (; passed < reject_count; passed++) {
            long long before = PyLong_AsLongLong(PyList_GetItem(rejects, passed));
            if (before > (long long)i)
                break;
        }
        /* A reject that is no number has set an error. */
        PyObject *event = moment && !PyErr_Occurred()
                              ? make_event(m, row_of(&m->run, i), moment, first_record + (long long)i + passed)
                              : NULL;
        if (!event || PyList_SetItem(list, (Py_ssize_t)i, event) < 0)
            Py_CLEAR(list);
    }
    Py_XDECREF(moment);
    return list;
}

static PyObject *kernel_events(PyObject *module, PyObject *args)
{
    PyObject *run, *columns, *rejects, *event, *payload, *result = NULL;
    long long first_record;
    event_builder_t *m = calloc(1, sizeof *m);
    if (!m)
        return PyErr_NoMemory();
    if (!PyArg_ParseTuple(args, "OO!sy*OO!OOULO!:events", &run, &PyTuple_Type, &columns, &m->kinds, &m->timestamps,
                          &m->moment, &PyDict_Type, &m->statuses, &event, &payload, &m->member, &first_record, &PyList_Type,
                          &rejects)) {
        free(m);
        return NULL;
    }
    PyObject *field_type = ((state_t *)PyModule_GetState(module))->field;
    m->count = (int)PyTuple_Size(columns);
    int fits = m->count <= MAX_EVENT_FIELDS && (size_t)m->count == strlen(m->kinds) && PyType_Check(event) &&
               PyType_IsSubtype((PyTypeObject *)event, &PyTuple_Type) && PyType_Check(payload) &&
               PyType_IsSubtype((PyTypeObject *)payload, (PyTypeObject *)field_type);
    if (!fits || !take_run(run, &m->run)) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_TypeError, "events: arguments of the wrong kind");
        goto done;
    }
    fits = has_table(&m->run);
    for (int i = 0; i < m->count && fits; i++) {
        m->columns[i] = (int32_t)PyLong_AsLong(PyTuple_GetItem(columns, i));
        fits = m->columns[i] < (int32_t)m->run.width;
        if (fits && m->columns[i] >= 0) {
            m->run.field = m->columns[i];
            fits = check_run(&m->run);
        }
    }
    fits &= (size_t)m->timestamps.len / sizeof(int64_t) >= m->run.records &&
            (uintptr_t)m->timestamps.buf % sizeof(int64_t) == 0;
    if (fits && !PyErr_Occurred()) {
        m->event = (PyTypeObject *)event;
        m->payload = (PyTypeObject *)payload;
        m->new_event = (allocfunc)PyType_GetSlot(m->event, Py_tp_alloc);
        m->isa = isa_of(module);
        result = make_events(m, first_record, rejects);
    } else if (!PyErr_Occurred()) {
        PyErr_SetString(PyExc_ValueError, "events: arguments out of range");
    }
    PyBuffer_Release(&m->run.data);
    PyBuffer_Release(&m->run.table);
done:
    for (int i = 0; i < SHARED; i++) {
        Py_XDECREF(m->texts[i].object);
        Py_XDECREF(m->known[i].object);
    }
    PyBuffer_Release(&m->timestamps);
    free(m->scratch);
    free(m);
    return result;
}

/* ---- dictionary ---------------------------------------------------------------------------------------- */

/* Memory that Python reads as a buffer. Its size is that of what is in it so far; earlier readers see less. */
typedef struct {
    PyObject_HEAD
    void *start;
    Py_ssize_t size;
} memory_t;

static int memory_getbuffer(PyObject *self, Py_buffer *view, int flags)
{
    memory_t *memory = (memory_t *)self;
    return PyBuffer_FillInfo(view, self, memory->start ? memory->start : "", memory->size, 1, flags);
}

static void memory_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    free(((memory_t *)self)->start);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyType_Slot memory_slots[] = {
    {Py_tp_dealloc, memory_dealloc},
    {Py_bf_getbuffer, memory_getbuffer},
    {0, NULL},
};

static PyType_Spec memory_spec = {"trackparse.records.kernel.native.Memory", sizeof(memory_t), 0,
                                  Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, memory_slots};

typedef struct {
    PyObject_HEAD
    values_t values;
    memory_t *bytes, *offsets; /* owners of what is lent; NULL where nothing is */
    int busy; /* a thread is in encode, without the GIL */
} dictionary_t;

/* Where a dictionary may be changed; NULL with an error while another thread does that. */
static values_t *open_values(PyObject *self)
{
    dictionary_t *dictionary = (dictionary_t *)self;
    if (!dictionary->busy)
        return &dictionary->values;
    PyErr_SetString(PyExc_RuntimeError, "Dictionary: in use by another thread");
    return NULL;
}

/* Take back what nobody reads any more: it may grow where it is. */
static void take_back(memory_t **owner, pile_t *pile)
{
    if (*owner && Py_REFCNT((PyObject *)*owner) == 1) {
        (*owner)->start = NULL;
        Py_CLEAR(*owner);
        pile->lent = 0;
    }
}

/* Let go of what was outgrown while it was lent. */
static void let_go(memory_t **owner, const pile_t *pile)
{
    if (*owner && !pile->lent)
        Py_CLEAR(*owner);
}

/* A view of the first `size` bytes, which stay where they are as long as it lives. */
static PyObject *lend(PyObject *self, memory_t **owner, pile_t *pile, size_t size)
{
    if (!*owner) {
        PyTypeObject *type = (PyTypeObject *)((state_t *)PyType_GetModuleState(Py_TYPE(self)))->memory;
        *owner = (memory_t *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
        if (!*owner)
            return NULL;
        (*owner)->start = pile->start;
        pile->lent = 1;
    }
    (*owner)->size = (Py_ssize_t)size;
    return PyMemoryView_FromObject((PyObject *)*owner);
}

#define GROUP 32 /* values looked up together */

/* -1 for a null. `scratch` has room for all values of a run and 64 bytes. 0, or what code_of_tag says is wrong. */
static int64_t fill_codes(values_t *d, const runs_t *runs, int empty_is_null, const isa_t *isa, int32_t *codes,
                      uint8_t *scratch)
{
    const uint8_t *at[GROUP];
    size_t sizes[GROUP];
    uint32_t tags[GROUP];
    for (Py_ssize_t k = 0; k < runs->count; k++) {
        const run_t *run = runs->run + k;
        if (run->field < 0) {
            memset(codes, 0xFF, run->records * sizeof *codes);
            codes += run->records;
            continue;
        }
        for (size_t first = 0; first < run->records; first += GROUP) {
            size_t count = run->records - first < GROUP ? run->records - first : GROUP;
            uint8_t *out = scratch;
            for (size_t i = 0; i < count; i++) {
                const uint32_t *row = row_of(run, first + i);
                span_t span = span_of(run, row);
                at[i] = (const uint8_t *)run->data.buf + span.first;
                sizes[i] = span.last - span.first;
                if (span.quoted && sizes[i]) {
                    sizes[i] = isa->unescape(out, at[i], sizes[i], (int)(row[0] >> 31) == PHP);
                    at[i] = out;
                    out += sizes[i];
                }
                tags[i] = tag_of(d, at[i], sizes[i]);
            }
            fetch_values(d, tags, count);
            for (size_t i = 0; i < count; i++) {
                int null = empty_is_null && !sizes[i];
                int64_t code = null ? -1 : code_of_tag(d, tags[i], at[i], sizes[i]);
                if (code < 0 && !null)
                    return code;
                d->total += sizes[i];
                *codes++ = (int32_t)code;
            }
        }
    }
    return 0;
}

/* Python's hash of a text is another in each process. */
static int seed_values(values_t *d)
{
    PyObject *text = PyUnicode_FromString("trackparse");
    if (!text)
        return 0;
    d->seed = (uint64_t)PyObject_Hash(text) * 0x9E3779B97F4A7C15u;
    Py_DECREF(text);
    return 1;
}

static PyObject *dictionary_encode(PyObject *self, PyObject *args)
{
    dictionary_t *dictionary = (dictionary_t *)self;
    values_t *d = open_values(self);
    PyObject *list, *codes = NULL;
    int empty_is_null;
    int64_t fault = NO_MEMORY;
    runs_t runs = {0};
    if (!d || !PyArg_ParseTuple(args, "O!p:encode", &PyList_Type, &list, &empty_is_null) || !take_runs(list, &runs))
        return NULL;
    uint8_t *scratch = malloc(runs.bytes + 64);
    if (d->seed || seed_values(d))
        codes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(runs.records * sizeof(int32_t)));
    if (codes && scratch) {
        int32_t *out = (int32_t *)PyBytes_AsString(codes);
        const isa_t *isa = ((state_t *)PyType_GetModuleState(Py_TYPE(self)))->isa;
        take_back(&dictionary->bytes, &d->bytes);
        take_back(&dictionary->offsets, &d->offsets);
        dictionary->busy = 1;
        Py_BEGIN_ALLOW_THREADS
        fault = fill_codes(d, &runs, empty_is_null, isa, out, scratch);
        Py_END_ALLOW_THREADS
        dictionary->busy = 0;
        let_go(&dictionary->bytes, &d->bytes);
        let_go(&dictionary->offsets, &d->offsets);
    }
    if (fault) {
        Py_CLEAR(codes);
        if (fault == TOO_MANY_BYTES)
            PyErr_SetString(PyExc_OverflowError, "Dictionary: more than 2 GiB of values");
        else if (!PyErr_Occurred())
            PyErr_NoMemory();
    }
    free(scratch);
    release_runs(&runs);
    return codes;
}

static PyObject *kernel_validity_of(PyObject *module, PyObject *object)
{
    (void)module;
    Py_buffer codes;
    if (PyObject_GetBuffer(object, &codes, PyBUF_SIMPLE) < 0)
        return NULL;
    size_t count = (size_t)codes.len / sizeof(int32_t);
    validity_t validity = {0};
    PyObject *valid = NULL, *result = NULL;
    if (new_validity(&validity, count)) {
        for (size_t i = 0; i < count; i++) {
            int32_t code;
            memcpy(&code, (const uint8_t *)codes.buf + i * sizeof code, sizeof code);
            if (code < 0)
                set_null(&validity, i);
        }
        valid = validity_bytes(&validity, count);
    }
    if (valid)
        result = Py_BuildValue("Nn", valid, (Py_ssize_t)validity.nulls);
    free(validity.bits);
    PyBuffer_Release(&codes);
    return result;
}

static PyObject *dictionary_strings(PyObject *self, PyObject *unused)
{
    (void)unused;
    dictionary_t *dictionary = (dictionary_t *)self;
    values_t *d = open_values(self);
    if (!d)
        return NULL;
    if (!d->count)
        return Py_BuildValue("y#y#", "\0\0\0", (Py_ssize_t)sizeof(int32_t), "", (Py_ssize_t)0);
    PyObject *offsets = lend(self, &dictionary->offsets, &d->offsets, (d->count + 1) * sizeof(int32_t));
    PyObject *bytes = offsets ? lend(self, &dictionary->bytes, &d->bytes, d->size) : NULL;
    if (!bytes) {
        Py_XDECREF(offsets);
        return NULL;
    }
    return Py_BuildValue("NN", offsets, bytes);
}

static PyObject *dictionary_take(PyObject *self, PyObject *unused)
{
    dictionary_t *dictionary = (dictionary_t *)self;
    PyObject *taken = dictionary_strings(self, unused);
    if (!taken)
        return NULL;
    values_t *d = &dictionary->values;
    d->total = 0;
    if (d->count) {
        /* They belong to whoever has the views. */
        Py_CLEAR(dictionary->bytes);
        Py_CLEAR(dictionary->offsets);
        d->bytes = d->offsets = (pile_t){0};
        d->size = d->count = 0;
        /* Another column may be the one of many values next time: of a thousand columns none keeps its table. */
        free(d->slots);
        d->slots = NULL;
        d->slot_count = 0;
    }
    return taken;
}

static PyObject *dictionary_size(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromSize_t(((dictionary_t *)self)->values.size);
}

static PyObject *dictionary_total(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(((dictionary_t *)self)->values.total);
}

static Py_ssize_t dictionary_length(PyObject *self)
{
    return (Py_ssize_t)((dictionary_t *)self)->values.count;
}

static void dictionary_dealloc(PyObject *self)
{
    dictionary_t *dictionary = (dictionary_t *)self;
    values_t *d = &dictionary->values;
    PyTypeObject *type = Py_TYPE(self);
    if (!d->bytes.lent)
        free(d->bytes.start);
    if (!d->offsets.lent)
        free(d->offsets.start);
    Py_XDECREF((PyObject *)dictionary->bytes);
    Py_XDECREF((PyObject *)dictionary->offsets);
    free(d->slots);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyMethodDef dictionary_methods[] = {
    {"encode", dictionary_encode, METH_VARARGS, NULL},
    {"strings", dictionary_strings, METH_NOARGS, NULL},
    {"take", dictionary_take, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef dictionary_properties[] = {
    {"size", dictionary_size, NULL, NULL, NULL},
    {"total", dictionary_total, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot dictionary_slots[] = {
    {Py_tp_dealloc, dictionary_dealloc},
    {Py_tp_methods, dictionary_methods},
    {Py_tp_getset, dictionary_properties},
    {Py_sq_length, dictionary_length},
    {Py_tp_doc, "The distinct values of a column in the order they were met; it only grows."},
    {0, NULL},
};

static PyType_Spec dictionary_spec = {"trackparse.records.kernel.native.Dictionary", sizeof(dictionary_t), 0,
                                      Py_TPFLAGS_DEFAULT, dictionary_slots};

/* ---- small functions ----------------------------------------------------------------------------------- */

static PyObject *kernel_count_lines(PyObject *module, PyObject *args)
{
    Py_buffer data;
    Py_ssize_t start, stop;
    if (!PyArg_ParseTuple(args, "y*nn:count_lines", &data, &start, &stop))
        return NULL;
    size_t lines = 0;
    start = start < 0 ? 0 : start;
    stop = stop > data.len ? data.len : stop;
    const isa_t *isa = isa_of(module);
    if (start < stop) {
        Py_BEGIN_ALLOW_THREADS
        lines = isa->count_lines((const uint8_t *)data.buf + start, (size_t)(stop - start));
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&data);
    return PyLong_FromSize_t(lines);
}

static PyObject *kernel_parse_timestamp(PyObject *module, PyObject *arg)
{
    (void)module;
    Py_buffer text;
    if (PyObject_GetBuffer(arg, &text, PyBUF_SIMPLE) < 0)
        return NULL;
    int64_t time = parse_timestamp(text.buf, (size_t)text.len);
    PyBuffer_Release(&text);
    if (time == NO_TIME)
        Py_RETURN_NONE;
    return PyLong_FromLongLong(time);
}

static PyObject *kernel_is_json(PyObject *module, PyObject *arg)
{
    (void)module;
    Py_buffer text;
    if (PyObject_GetBuffer(arg, &text, PyBUF_SIMPLE) < 0)
        return NULL;
    int json = is_json(text.buf, (size_t)text.len);
    PyBuffer_Release(&text);
    return PyBool_FromLong(json);
}

static PyObject *kernel_unescape(PyObject *module, PyObject *args)
{
    Py_buffer field;
    int dialect;
    if (!PyArg_ParseTuple(args, "y*i:unescape", &field, &dialect))
        return NULL;
    PyObject *result = NULL;
    uint8_t *out = malloc((size_t)field.len + 64);
    if (out) {
        size_t size = isa_of(module)->unescape(out, field.buf, (size_t)field.len, dialect == PHP);
        result = PyBytes_FromStringAndSize((const char *)out, (Py_ssize_t)size);
    } else {
        PyErr_NoMemory();
    }
    free(out);
    PyBuffer_Release(&field);
    return result;
}

static PyObject *kernel_instruction_sets(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && i < ISA_COUNT; i++) {
        if (!isa_runs_here(ISAS + i))
            continue;
        PyObject *name = PyUnicode_FromString(ISAS[i].name);
        if (!name || PyList_Append(list, name) < 0)
            Py_CLEAR(list);
        Py_XDECREF(name);
    }
    return list;
}

static PyObject *kernel_select(PyObject *module, PyObject *args)
{
    const char *name;
    if (!PyArg_ParseTuple(args, "s:select", &name))
        return NULL;
    for (size_t i = 0; i < ISA_COUNT; i++)
        if (!strcmp(ISAS[i].name, name) && isa_runs_here(ISAS + i)) {
            ((state_t *)PyModule_GetState(module))->isa = ISAS + i;
            Py_RETURN_NONE;
        }
    return PyErr_Format(PyExc_ValueError, "the instruction set '%s' is not to be had here", name);
}

static PyMethodDef kernel_methods[] = {
    {"index", kernel_index, METH_VARARGS, NULL},
    {"records_in", kernel_records_in, METH_VARARGS, NULL},
    {"strings", kernel_strings, METH_VARARGS, NULL},
    {"views", kernel_views, METH_VARARGS, NULL},
    {"events", kernel_events, METH_VARARGS, NULL},
    {"validity_of", kernel_validity_of, METH_O, NULL},
    {"count_lines", kernel_count_lines, METH_VARARGS, NULL},
    {"parse_timestamp", kernel_parse_timestamp, METH_O, NULL},
    {"is_json", kernel_is_json, METH_O, NULL},
    {"unescape", kernel_unescape, METH_VARARGS, NULL},
    {"instruction_sets", kernel_instruction_sets, METH_NOARGS, "The instruction sets that run here, best first."},
    {"select", kernel_select, METH_VARARGS, "Use this instruction set from now on."},
    {NULL, NULL, 0, NULL},
};

static int kernel_exec(PyObject *module)
{
    state_t *state = PyModule_GetState(module);
    for (size_t i = ISA_COUNT; i-- > 0;)
        if (isa_runs_here(ISAS + i))
            state->isa = ISAS + i;
    PyObject *dictionary = PyType_FromModuleAndSpec(module, &dictionary_spec, NULL);
    state->field = PyType_FromModuleAndSpec(module, &field_spec, NULL);
    state->memory = PyType_FromModuleAndSpec(module, &memory_spec, NULL);
    int failed = !dictionary || !state->field || !state->memory || PyModule_AddObjectRef(module, "Dictionary", dictionary) < 0 ||
                 PyModule_AddObjectRef(module, "Field", state->field) < 0;
    Py_XDECREF(dictionary);
    return failed ? -1 : 0;
}

static int kernel_traverse(PyObject *module, visitproc visit, void *arg)
{
    state_t *state = PyModule_GetState(module);
    if (state) {
        Py_VISIT(state->field);
        Py_VISIT(state->memory);
    }
    return 0;
}

static int kernel_clear(PyObject *module)
{
    state_t *state = PyModule_GetState(module);
    if (state) {
        Py_CLEAR(state->field);
        Py_CLEAR(state->memory);
    }
    return 0;
}

static void kernel_free(void *module)
{
    kernel_clear(module);
}

static PyModuleDef_Slot kernel_slots[] = {
    {Py_mod_exec, kernel_exec},
    {0, NULL},
};

static PyModuleDef kernel_module = {
    PyModuleDef_HEAD_INIT, "native", "The kernel in C; reference says what it does.", sizeof(state_t),
    kernel_methods,        kernel_slots, kernel_traverse, kernel_clear, kernel_free,
};

PyMODINIT_FUNC PyInit_native(void)
{
    return PyModuleDef_Init(&kernel_module);
}
