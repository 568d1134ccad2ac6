/* The binding of events: they are Python objects, so there is nothing of them without Python. The same as events.py. */

#ifndef TRACKPARSE_NATIVE_EVENTS_H
#define TRACKPARSE_NATIVE_EVENTS_H

#include "native_common.h"
#include <structmember.h>

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "native_values.h"
#include "timestamp.h"
#include "values.h"

/* A field as it stands in the log. A subclass in Python adds what a payload can do. It cannot be part of a cycle, so
 * it needs no garbage collection. */
typedef struct {
    PyObject_HEAD PyObject *raw, *member, *decoded;
    long long record;
    int dialect;
} field_t;

static PyObject *new_field(PyTypeObject *type, PyObject *raw, int dialect, PyObject *member, long long record)
{
    field_t *field = (field_t *)new_instance(type, 0);
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
        PyErr_SetString(PyExc_TypeError, "Field takes no keyword arguments");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "SiUL", &raw, &dialect, &member, &record))
        return NULL;
    return new_field(type, raw, dialect, member, record);
}

static void field_dealloc(PyObject *self)
{
    field_t *field = (field_t *)self;
    Py_XDECREF(field->raw);
    Py_XDECREF(field->member);
    Py_XDECREF(field->decoded);
    free_instance(self);
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
#define SHARED 64 /* so many values are remembered, so that a repeated one is one object */

/* A value in the log, and the object made of it. */
typedef struct {
    const uint8_t *text;
    size_t size;
    PyObject *object;
} shared_t;

/* What events are made of. */
typedef struct {
    run_t run; /* its field is set for each column in turn */
    run_buffers_t buffers;
    int count;                         /* of an event's fields */
    int32_t columns[MAX_EVENT_FIELDS]; /* for each, the number of the record's field, or NO_COLUMN */
    const char *kinds;                 /* for each, the letter that says what is made of it */
    Py_buffer timestamps;
    PyObject *moment, *statuses, *member;
    PyTypeObject *event, *payload;
    allocfunc new_event;
    const isa_t *isa;
    uint8_t *scratch; /* for unescaped values */
    size_t scratch_size;
    shared_t texts[SHARED], known[SHARED]; /* known: statuses */
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
    const uint8_t *value = m->run.data + span.first;
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
        if (m->scratch_size < size) {
            free(m->scratch);
            m->scratch = malloc(size * 2 + 64);
            m->scratch_size = m->scratch ? size * 2 : 0;
            if (!m->scratch)
                return PyErr_NoMemory();
        }
        size_t shorter = m->isa->unescape(m->scratch, value, size, dialect_of(row) == PHP);
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
    PyObject *raw = PyBytes_FromStringAndSize((const char *)m->run.data + span.first - span.quoted,
                                              (Py_ssize_t)(span.last - span.first + 2 * (size_t)span.quoted));
    if (!raw)
        return NULL;
    PyObject *payload = new_field(m->payload, raw, dialect_of(row), m->member, record);
    Py_DECREF(raw);
    return payload;
}

static PyObject *moment_of(event_builder_t *m, int64_t time)
{
    int parts[TIME_PARTS];
    time_parts(time, parts);
    PyObject *arguments = PyTuple_New(TIME_PARTS), *moment = NULL;
    int failed = !arguments;
    for (int i = 0; i < TIME_PARTS && !failed; i++) {
        PyObject *part = PyLong_FromLong(parts[i]);
        failed = !part || PyTuple_SetItem(arguments, i, part);
    }
    if (!failed)
        moment = PyObject_CallObject(m->moment, arguments);
    Py_XDECREF(arguments);
    return moment;
}

static inline PyObject *make_event_of(event_builder_t *m, const uint32_t *row, PyObject *moment, long long record,
                                      int count)
{
    PyObject *event = m->new_event(m->event, count);
    if (!event)
        return NULL;
    int failed = 0;
    for (int i = 0; i < count && !failed; i++) {
        PyObject *value = m->kinds[i] == 'm' ? moment : Py_None;
        if (m->kinds[i] == 'm' || m->columns[i] == NO_COLUMN)
            Py_INCREF(value);
        else
            value = m->kinds[i] == 'j' ? payload_of(m, row, i, record) : text_of(m, row, i);
        failed = !value || PyTuple_SetItem(event, i, value);
    }
    if (failed)
        Py_CLEAR(event);
    else
        /* An event cannot be part of a cycle; without this, the garbage collector would take a sixth of the time. */
        PyObject_GC_UnTrack(event);
    return event;
}

static PyObject *make_event(event_builder_t *m, const uint32_t *row, PyObject *moment, long long record)
{
    /* The usual number of columns as a constant, so that the compiler unrolls the loop. */
    return m->count == 8 ? make_event_of(m, row, moment, record, 8) : make_event_of(m, row, moment, record, m->count);
}

static PyObject *make_events(event_builder_t *m, long long first_record, PyObject *rejects)
{
    PyObject *list = PyList_New((Py_ssize_t)m->run.records), *moment = NULL;
    const int64_t *times = m->timestamps.buf;
    Py_ssize_t rejects_before = 0, reject_count = PyList_Size(rejects);
    for (size_t i = 0; list && i < m->run.records; i++) {
        /* A timestamp repeats for many rows. */
        if (!i || times[i] != times[i - 1]) {
            Py_XDECREF(moment);
            moment = moment_of(m, times[i]);
        }
        for (; rejects_before < reject_count; rejects_before++) {
            long long before = PyLong_AsLongLong(PyList_GetItem(rejects, rejects_before));
            if (before > (long long)i)
                break;
        }
        /* A reject that is not a number has set an error. */
        PyObject *event = moment && !PyErr_Occurred()
                              ? make_event(m, row_of(&m->run, i), moment, first_record + (long long)i + rejects_before)
                              : NULL;
        if (!event || PyList_SetItem(list, (Py_ssize_t)i, event) < 0)
            Py_CLEAR(list);
    }
    Py_XDECREF(moment);
    return list;
}

static PyObject *kernel_events(PyObject *module, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"run",   "columns", "kinds",  "timestamps",   "moment",  "statuses",
                            "event", "payload", "member", "first_record", "rejects", NULL};
    PyObject *run, *columns, *rejects, *event, *payload, *result = NULL;
    long long first_record;
    event_builder_t *m = calloc(1, sizeof *m);
    if (!m)
        return PyErr_NoMemory();
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O$O!sy*OO!OOULO!:events", names, &run, &PyTuple_Type, &columns,
                                     &m->kinds, &m->timestamps, &m->moment, &PyDict_Type, &m->statuses, &event,
                                     &payload, &m->member, &first_record, &PyList_Type, &rejects)) {
        free(m);
        return NULL;
    }
    PyObject *field_type = state_of(module)->field;
    m->count = (int)PyTuple_Size(columns);
    int fits = m->count <= MAX_EVENT_FIELDS && (size_t)m->count == strlen(m->kinds) && PyType_Check(event) &&
               PyType_IsSubtype((PyTypeObject *)event, &PyTuple_Type) && PyType_Check(payload) &&
               PyType_IsSubtype((PyTypeObject *)payload, (PyTypeObject *)field_type);
    if (!fits || !take_run(run, &m->run, &m->buffers)) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_TypeError, "events: arguments of the wrong kind");
        goto done;
    }
    fits = is_table(&m->buffers.table, (Py_ssize_t)m->run.records, (Py_ssize_t)m->run.width);
    for (int i = 0; i < m->count && fits; i++) {
        m->columns[i] = (int32_t)PyLong_AsLong(PyTuple_GetItem(columns, i));
        fits = m->columns[i] >= NO_COLUMN && m->columns[i] < (int32_t)m->run.width;
        if (fits && m->columns[i] != NO_COLUMN) {
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
    release_run(&m->buffers);
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

#endif
