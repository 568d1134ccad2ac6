/* The binding of parts. */

#ifndef TRACKPARSE_NATIVE_PARTS_H
#define TRACKPARSE_NATIVE_PARTS_H

#include "native_common.h"
#include "native_values.h"

#include "parts.h"

static PyObject *kernel_days(PyObject *module, PyObject *arg)
{
    (void)module;
    Py_buffer times;
    if (PyObject_GetBuffer(arg, &times, PyBUF_SIMPLE) < 0)
        return NULL;
    PyObject *result = NULL;
    size_t count = (size_t)times.len / sizeof(int64_t);
    if ((uintptr_t)times.buf % sizeof(int64_t) == 0 && (size_t)times.len % sizeof(int64_t) == 0)
        result = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(count * sizeof(int32_t)));
    else
        PyErr_SetString(PyExc_ValueError, "days: arguments out of range");
    if (result)
        days(times.buf, count, (int32_t *)(void *)PyBytes_AsString(result));
    PyBuffer_Release(&times);
    return result;
}

/* Whether all runs have a field table, and there are as many times and codes as records. */
static int are_parts(const runs_t *runs, const Py_buffer *times, const Py_buffer *codes, Py_ssize_t parts)
{
    for (size_t i = 0; i < runs->count; i++)
        if (runs->run[i].field == NO_COLUMN)
            return 0;
    return parts >= 1 && parts <= INT32_MAX && (uintptr_t)times->buf % sizeof(int64_t) == 0 &&
           (uintptr_t)codes->buf % sizeof(int32_t) == 0 && (size_t)times->len == runs->records * sizeof(int64_t) &&
           (size_t)codes->len == runs->records * sizeof(int32_t);
}

/* Copy the records. `part` has room for each part, and how many records each one has goes to `counts`. */
static PyObject *copied_parts(const runs_t *runs, const Py_buffer *times, const Py_buffer *codes, part_t *part,
                              size_t parts)
{
    int fits;
    Py_BEGIN_ALLOW_THREADS
    fits = measure_parts(runs, codes->buf, part, parts);
    Py_END_ALLOW_THREADS
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "parted: a record does not lie in its block, or has no part");
        return NULL;
    }
    PyObject *made[4] = {NULL, NULL, NULL, NULL}, *result = NULL;
    size_t records = 0, bytes = 0, words = 0;
    made[3] = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(parts * sizeof(uint32_t)));
    for (size_t i = 0; made[3] && i < parts; i++) {
        part_t found = part[i];
        ((uint32_t *)(void *)PyBytes_AsString(made[3]))[i] = (uint32_t)found.records;
        part[i] = (part_t){records, bytes, words};
        records += found.records;
        bytes += found.bytes;
        words += found.words;
    }
    if (bytes > START_MASK) {
        PyErr_SetString(PyExc_OverflowError, "parted: more than 2 GiB of records");
    } else if (made[3]) {
        made[0] = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)bytes);
        made[1] = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(words * sizeof(uint32_t)));
        made[2] = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(records * sizeof(int64_t)));
    }
    if (made[0] && made[1] && made[2]) {
        uint8_t *data = (uint8_t *)PyBytes_AsString(made[0]);
        uint32_t *fields = (uint32_t *)(void *)PyBytes_AsString(made[1]);
        int64_t *ordered = (int64_t *)(void *)PyBytes_AsString(made[2]);
        Py_BEGIN_ALLOW_THREADS
        parted(runs, times->buf, codes->buf, part, data, fields, ordered);
        Py_END_ALLOW_THREADS
        result = PyTuple_Pack(4, made[0], made[1], made[2], made[3]);
    }
    for (int i = 0; i < 4; i++)
        Py_XDECREF(made[i]);
    return result;
}

static PyObject *kernel_parted(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *list, *result = NULL;
    Py_buffer times, codes;
    Py_ssize_t parts;
    if (!PyArg_ParseTuple(args, "O!y*y*n:parted", &PyList_Type, &list, &times, &codes, &parts))
        return NULL;
    column_t column = {0};
    if (take_column(list, &column)) {
        if (are_parts(&column.runs, &times, &codes, parts)) {
            part_t *part = calloc((size_t)parts, sizeof *part);
            result = part ? copied_parts(&column.runs, &times, &codes, part, (size_t)parts) : PyErr_NoMemory();
            free(part);
        } else {
            PyErr_SetString(PyExc_ValueError, "parted: arguments out of range");
        }
        release_column(&column);
    }
    PyBuffer_Release(&times);
    PyBuffer_Release(&codes);
    return result;
}

#endif
