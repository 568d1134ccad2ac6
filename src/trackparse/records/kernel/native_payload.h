/* The binding of payload columns. */

#ifndef TRACKPARSE_NATIVE_PAYLOAD_H
#define TRACKPARSE_NATIVE_PAYLOAD_H

#include "native_common.h"

#include <stdint.h>
#include <stdlib.h>

#include "native_dictionary.h"
#include "native_values.h"
#include "payload.h"

/* What is asked for, as Python has it, and what is made of it. */
typedef struct {
    column_t payloads;
    payload_reader_t reader;
    PyObject **firsts; /* of each column: bytes */
    uint8_t *keys;     /* all keys end to end: the list may change while the GIL is released */
} payload_maker_t;

/* The key as the number of an element, which is written without zeros in front. */
static uint64_t number_of_key(const uint8_t *key, size_t size)
{
    if (!size || size > 18 || (*key == '0' && size > 1))
        return NO_NUMBER;
    uint64_t number = 0;
    for (size_t i = 0; i < size; i++) {
        if (key[i] < '0' || key[i] > '9')
            return NO_NUMBER;
        number = number * 10 + (uint64_t)(key[i] - '0');
    }
    return number;
}

/* The child of a node for a key, a new one if there is none yet. */
static uint32_t take_key(payload_reader_t *r, uint32_t parent, const uint8_t *key, size_t size)
{
    uint32_t *link = &r->nodes[parent].child;
    for (; *link; link = &r->nodes[*link].sibling)
        if (r->nodes[*link].size == size && !memcmp(r->nodes[*link].key, key, size))
            return *link;
    *link = (uint32_t)r->node_count++;
    r->nodes[*link] = (node_t){.key = key, .size = size, .number = number_of_key(key, size), .parent = parent};
    return *link;
}

/* The bytes of a number of this kind, 0 of text and of true or false; -1 if there is no such kind. */
static int size_of_kind(char kind)
{
    switch (kind) {
    case 't':
    case '?':
        return 0;
    case 'b':
    case 'B':
        return 1;
    case 'h':
    case 'H':
        return 2;
    case 'i':
    case 'I':
    case 'f':
        return 4;
    case 'q':
    case 'Q':
    case 'd':
        return 8;
    }
    return -1;
}

/* The keys of a Wanted; NULL with an error set, as for NULL with one. `*kind` is set, too. */
static PyObject *keys_of(PyObject *wanted, char *kind)
{
    PyObject *keys;
    const char *letter;
    if (!wanted)
        return NULL;
    if (!PyTuple_Check(wanted)) {
        PyErr_SetString(PyExc_TypeError, "payload_columns: expected a list of Wanted");
        return NULL;
    }
    if (!PyArg_ParseTuple(wanted, "O!s:payload_columns", &PyTuple_Type, &keys, &letter))
        return NULL;
    *kind = *letter;
    if (*letter && !letter[1] && size_of_kind(*letter) >= 0)
        return keys;
    PyErr_SetString(PyExc_ValueError, "payload_columns: no such kind of column");
    return NULL;
}

/* Take what is wanted; 0 with an error set. */
static int take_wanted(payload_maker_t *m, PyObject *list)
{
    payload_reader_t *r = &m->reader;
    size_t count = (size_t)PyList_Size(list), depth = 0, bytes = 0;
    char kind = 0;
    for (size_t i = 0; i < count; i++) {
        PyObject *keys = keys_of(PyList_GetItem(list, (Py_ssize_t)i), &kind);
        if (!keys)
            return 0;
        depth += (size_t)PyTuple_Size(keys);
        for (Py_ssize_t k = 0; k < PyTuple_Size(keys); k++) {
            Py_ssize_t size = PyBytes_Size(PyTuple_GetItem(keys, k));
            if (size < 0)
                return 0;
            bytes += (size_t)size;
        }
    }
    r->columns = calloc(count + 1, sizeof *r->columns);
    m->firsts = calloc(count + 1, sizeof *m->firsts);
    r->nodes = calloc(depth + 2, sizeof *r->nodes);
    m->keys = malloc(bytes + 1);
    if (!r->columns || !m->firsts || !r->nodes || !m->keys) {
        PyErr_NoMemory();
        return 0;
    }
    r->nodes[ROOT].number = r->nodes[NOWHERE].number = NO_NUMBER;
    r->node_count = ROOT + 1;
    uint8_t *key = m->keys;
    for (; r->column_count < count; r->column_count++) {
        payload_column_t *column = r->columns + r->column_count;
        PyObject *keys = keys_of(PyList_GetItem(list, (Py_ssize_t)r->column_count), &kind);
        if (!keys)
            return 0;
        column->kind = kind;
        column->size = size_of_kind(kind);
        column->node = ROOT;
        for (Py_ssize_t k = 0; k < PyTuple_Size(keys); k++) {
            PyObject *bytes_of_key = PyTuple_GetItem(keys, k);
            size_t size = (size_t)PyBytes_Size(bytes_of_key);
            memcpy(key, PyBytes_AsString(bytes_of_key), size);
            column->node = take_key(r, column->node, key, size);
            key += size;
        }
        size_t records = m->payloads.runs.records;
        size_t first_bytes = kind == 't'   ? (records + 1) * sizeof(int32_t)
                             : kind == '?' ? (records + 7) / 8
                                           : records * (size_t)column->size;
        PyObject *first = m->firsts[r->column_count] = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)first_bytes);
        if (!first)
            return 0;
        column->first = (uint8_t *)PyBytes_AsString(first);
        memset(column->first, 0, first_bytes);
        if (!new_validity(&column->validity, records)) {
            PyErr_NoMemory();
            return 0;
        }
    }
    return 1;
}

/* Make doubles of the numbers that were too hard for C without a locale; 0 with an error set. */
static int put_hard_numbers(payload_reader_t *r)
{
    const hard_number_t *hard = r->hard.start;
    for (size_t i = 0; i < r->hard_count; i++, hard++) {
        double value = PyOS_string_to_double((const char *)r->hard_text.start + hard->text, NULL, NULL);
        if (value == -1 && PyErr_Occurred())
            return 0;
        payload_column_t *column = r->columns + hard->column;
        put_double(column->first + hard->record * (size_t)column->size, column->size, value);
    }
    return 1;
}

/* A view of the column's text, whose memory it takes; NULL with an error set. */
static PyObject *take_text(const state_t *state, payload_column_t *column)
{
    memory_t *owner = (memory_t *)new_instance((PyTypeObject *)state->memory, 0);
    if (!owner)
        return NULL;
    /* Without the room for more: a batch may be kept for long. */
    void *fitting = column->used ? realloc(column->text.start, column->used) : NULL;
    owner->start = fitting ? fitting : column->text.start;
    owner->size = (Py_ssize_t)column->used;
    column->text = (pile_t){0};
    PyObject *view = PyMemoryView_FromObject((PyObject *)owner);
    Py_DECREF((PyObject *)owner);
    return view;
}

/* A column's buffers as PayloadBuffers. */
static PyObject *payload_buffers(const state_t *state, const payload_maker_t *m, size_t number)
{
    payload_column_t *column = m->reader.columns + number;
    PyObject *text = take_text(state, column);
    PyObject *valid = text ? validity_bytes(&column->validity, m->payloads.runs.records) : NULL;
    if (!valid) {
        Py_XDECREF(text);
        return NULL;
    }
    PyObject *items = Py_BuildValue("ONNnn", m->firsts[number], text, valid, (Py_ssize_t)column->validity.nulls,
                                    (Py_ssize_t)column->misfits);
    return as_named(state->payload_buffers, items);
}

/* Fill the columns, and look for signals now and then; 0 with an error set. */
static int fill_payload_columns(payload_maker_t *m)
{
    int status;
    do {
        Py_BEGIN_ALLOW_THREADS
        status = payload_columns(&m->reader, &m->payloads.runs);
        Py_END_ALLOW_THREADS
        if (status == MORE && PyErr_CheckSignals() < 0)
            return 0;
    } while (status == MORE);
    if (status == NO_MEMORY) {
        PyErr_NoMemory();
        return 0;
    }
    return put_hard_numbers(&m->reader);
}

static void release_maker(payload_maker_t *m)
{
    payload_reader_t *r = &m->reader;
    for (size_t i = 0; r->columns && i <= r->column_count; i++) {
        if (m->firsts)
            Py_XDECREF(m->firsts[i]);
        free(r->columns[i].text.start);
        free(r->columns[i].validity.bits);
    }
    for (size_t i = 0; i < sizeof r->spaces / sizeof *r->spaces; i++)
        free(r->spaces[i].start);
    free(r->hard.start);
    free(r->hard_text.start);
    free(r->columns);
    free(r->nodes);
    free(m->firsts);
    free(m->keys);
    release_column(&m->payloads);
    free(m);
}

static PyObject *kernel_payload_columns(PyObject *module, PyObject *args)
{
    PyObject *runs, *wanted, *result = NULL;
    if (!PyArg_ParseTuple(args, "O!O!:payload_columns", &PyList_Type, &runs, &PyList_Type, &wanted))
        return NULL;
    payload_maker_t *m = calloc(1, sizeof *m);
    if (!m)
        return PyErr_NoMemory();
    m->reader.isa = isa_of(module);
    if (!take_column(runs, &m->payloads)) {
        release_maker(m);
        return NULL;
    }
    if (m->payloads.runs.bytes > INT32_MAX)
        PyErr_SetString(PyExc_ValueError, "payload_columns: more than 2 GiB in one batch");
    else if (take_wanted(m, wanted) && fill_payload_columns(m))
        result = PyList_New((Py_ssize_t)m->reader.column_count);
    for (size_t i = 0; result && i < m->reader.column_count; i++) {
        PyObject *buffers = payload_buffers(state_of(module), m, i);
        if (!buffers || PyList_SetItem(result, (Py_ssize_t)i, buffers) < 0)
            Py_CLEAR(result);
    }
    release_maker(m);
    return result;
}

#endif
