/* The binding of values and their columns. */

#ifndef TRACKPARSE_NATIVE_VALUES_H
#define TRACKPARSE_NATIVE_VALUES_H

#include "native_common.h"

#include <stdint.h>
#include <stdlib.h>

#include "values.h"

/* ---- runs ---------------------------------------------------------------------------------------------- */

/* The buffers that a run reads. */
typedef struct {
    Py_buffer data, table;
} run_buffers_t;

/* A column, and the buffers of its runs. */
typedef struct {
    runs_t runs;
    run_buffers_t *buffers;
} column_t;

static void release_run(run_buffers_t *buffers)
{
    PyBuffer_Release(&buffers->data);
    PyBuffer_Release(&buffers->table);
}

static void release_column(column_t *column)
{
    for (size_t i = 0; i < column->runs.count; i++)
        release_run(column->buffers + i);
    free(column->buffers);
    free(column->runs.run);
    *column = (column_t){0};
}

static int is_table(const Py_buffer *table, Py_ssize_t records, Py_ssize_t width)
{
    return records >= 0 && width >= 1 && width <= INT32_MAX / 8 && (uintptr_t)table->buf % sizeof(uint32_t) == 0 &&
           (size_t)table->len / sizeof(uint32_t) / ((size_t)width + 1) >= (size_t)records;
}

/* Take a Run; 0 with an error set, as for NULL with one. */
static int take_run(PyObject *item, run_t *run, run_buffers_t *buffers)
{
    Py_ssize_t records, width, field;
    if (!item || !PyArg_ParseTuple(item, "y*y*nnn", &buffers->data, &buffers->table, &records, &width, &field))
        return 0;
    *run = (run_t){buffers->data.buf,
                   (size_t)buffers->data.len,
                   buffers->table.buf,
                   (size_t)records,
                   (uint32_t)width,
                   (int32_t)field,
                   0};
    if (records < 0 || width < 1 || width > INT32_MAX / 8 || field < NO_COLUMN || field >= width ||
        (field != NO_COLUMN && !is_table(&buffers->table, records, width))) {
        PyErr_SetString(PyExc_ValueError, "run: arguments out of range");
    } else if (check_run(run)) {
        return 1;
    } else {
        PyErr_SetString(PyExc_ValueError, "run: the field table does not fit its block");
    }
    release_run(buffers);
    return 0;
}

/* Take a list of Runs; 0 with an error set. */
static int take_column(PyObject *list, column_t *column)
{
    Py_ssize_t count = PyList_Size(list);
    if (count < 0)
        return 0;
    runs_t *runs = &column->runs;
    runs->run = calloc(count ? (size_t)count : 1, sizeof *runs->run);
    column->buffers = calloc(count ? (size_t)count : 1, sizeof *column->buffers);
    if (!runs->run || !column->buffers) {
        release_column(column);
        PyErr_NoMemory();
        return 0;
    }
    for (; runs->count < (size_t)count; runs->count++) {
        run_t *run = runs->run + runs->count;
        if (!take_run(PyList_GetItem(list, (Py_ssize_t)runs->count), run, column->buffers + runs->count)) {
            release_column(column);
            return 0;
        }
        runs->records += run->records;
        runs->bytes += run->bytes;
    }
    return 1;
}

/* ---- small functions ----------------------------------------------------------------------------------- */

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

static PyObject *kernel_records_in(PyObject *module, PyObject *args)
{
    (void)module;
    Py_buffer table;
    Py_ssize_t records, width, size;
    if (!PyArg_ParseTuple(args, "y*nnn:records_in", &table, &records, &width, &size))
        return NULL;
    PyObject *result = NULL;
    if (is_table(&table, records, width)) {
        int64_t bytes;
        size_t count = records_in(table.buf, (size_t)records, (size_t)width, size, &bytes);
        result = Py_BuildValue("nL", (Py_ssize_t)count, (long long)bytes);
    } else {
        PyErr_SetString(PyExc_ValueError, "records_in: arguments out of range");
    }
    PyBuffer_Release(&table);
    return result;
}

static PyObject *kernel_longest(PyObject *module, PyObject *object)
{
    (void)module;
    Py_buffer offsets;
    if (PyObject_GetBuffer(object, &offsets, PyBUF_SIMPLE) < 0)
        return NULL;
    PyObject *result = NULL;
    if (offsets.len % (Py_ssize_t)sizeof(int32_t) || (uintptr_t)offsets.buf % sizeof(int32_t))
        PyErr_SetString(PyExc_ValueError, "longest: offsets of 32 bits expected");
    else
        result = PyLong_FromLongLong(longest(offsets.buf, (size_t)offsets.len / sizeof(int32_t)));
    PyBuffer_Release(&offsets);
    return result;
}

/* ---- columns ------------------------------------------------------------------------------------------- */

/* The bitmap, None if there are no nulls. */
static PyObject *validity_bytes(const validity_t *v, size_t records)
{
    if (!v->nulls) {
        Py_INCREF(Py_None);
        return Py_None;
    }
    return PyBytes_FromStringAndSize((const char *)v->bits, (Py_ssize_t)((records + 7) / 8));
}

/* What the buffers of a column are made of. */
typedef struct {
    column_t column;
    validity_t validity;
    PyObject *first; /* bytes: the offsets or the views */
    PyObject *data;  /* a bytearray */
    int empty_is_null;
} column_builder_t;

/* Take the arguments; 0 with an error set. */
static int take_arguments(column_builder_t *m, PyObject *args, const char *format)
{
    PyObject *list;
    if (!PyArg_ParseTuple(args, format, &PyList_Type, &list, &m->empty_is_null) || !take_column(list, &m->column))
        return 0;
    if (m->column.runs.bytes <= INT32_MAX)
        return 1;
    PyErr_SetString(PyExc_ValueError, "column: more than 2 GiB in one batch");
    return 0;
}

/* Allocate what the column is written to; 0 with an error set. */
static int allocate_column(column_builder_t *m, size_t first_bytes, size_t data_bytes)
{
    m->first = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)first_bytes);
    m->data = m->first ? PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)data_bytes) : NULL;
    if (!m->data)
        return 0;
    if (new_validity(&m->validity, m->column.runs.records))
        return 1;
    PyErr_NoMemory();
    return 0;
}

/* The column's buffers, with `used` bytes of data, as TextBuffers. */
static PyObject *column_buffers(const state_t *state, const column_builder_t *m, size_t used)
{
    PyObject *valid = validity_bytes(&m->validity, m->column.runs.records);
    if (!valid)
        return NULL;
    PyObject *items = Py_BuildValue("OOnNn", m->first, m->data, (Py_ssize_t)used, valid, (Py_ssize_t)m->validity.nulls);
    return as_named(state->text_buffers, items);
}

static void release_builder(column_builder_t *m)
{
    Py_XDECREF(m->first);
    Py_XDECREF(m->data);
    free(m->validity.bits);
    release_column(&m->column);
}

static PyObject *kernel_strings(PyObject *module, PyObject *args)
{
    column_builder_t m = {0};
    PyObject *result = NULL;
    const runs_t *runs = &m.column.runs;
    if (take_arguments(&m, args, "O!p:strings") &&
        allocate_column(&m, (runs->records + 1) * sizeof(int32_t), runs->bytes + 64)) {
        int32_t *offsets = (int32_t *)PyBytes_AsString(m.first);
        uint8_t *data = (uint8_t *)PyByteArray_AsString(m.data);
        const isa_t *isa = isa_of(module);
        Py_BEGIN_ALLOW_THREADS
        fill_strings(runs, m.empty_is_null, isa, offsets, data, &m.validity);
        Py_END_ALLOW_THREADS
        result = column_buffers(state_of(module), &m, (size_t)offsets[runs->records]);
    }
    release_builder(&m);
    return result;
}

static PyObject *kernel_views(PyObject *module, PyObject *args)
{
    column_builder_t m = {0};
    PyObject *result = NULL;
    const runs_t *runs = &m.column.runs;
    if (take_arguments(&m, args, "O!p:views") &&
        allocate_column(&m, runs->records * sizeof(view_t), quoted_bytes(runs) + 64)) {
        view_t *views = (view_t *)PyBytes_AsString(m.first);
        uint8_t *data = (uint8_t *)PyByteArray_AsString(m.data);
        const isa_t *isa = isa_of(module);
        size_t used;
        Py_BEGIN_ALLOW_THREADS
        used = fill_views(runs, m.empty_is_null, isa, views, data, &m.validity);
        Py_END_ALLOW_THREADS
        result = column_buffers(state_of(module), &m, used);
    }
    release_builder(&m);
    return result;
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
    } else {
        PyErr_NoMemory();
    }
    if (valid)
        result = Py_BuildValue("Nn", valid, (Py_ssize_t)validity.nulls);
    free(validity.bits);
    PyBuffer_Release(&codes);
    return result;
}

#endif
