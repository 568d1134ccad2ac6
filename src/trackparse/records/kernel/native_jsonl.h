/* The binding of json_lines. */

#ifndef TRACKPARSE_NATIVE_JSONL_H
#define TRACKPARSE_NATIVE_JSONL_H

#include "native_common.h"

#include <stdint.h>
#include <stdlib.h>

#include "jsonl.h"

/* The buffers of a JsonColumn. */
typedef struct {
    Py_buffer validity, first, data;
} json_buffers_t;

/* Take a JsonColumn; 0 with an error set. The buffers are to be released in any case. */
static int take_json_column(PyObject *item, Py_ssize_t rows, json_column_t *c, json_buffers_t *b)
{
    const char *name;
    Py_ssize_t name_size;
    if (!PyTuple_Check(item)) {
        PyErr_SetString(PyExc_TypeError, "json_lines: expected a list of JsonColumn");
        return 0;
    }
    if (!PyArg_ParseTuple(item, "s#Cz*y*y*:json_lines", &name, &name_size, &c->kind, &b->validity, &b->first, &b->data))
        return 0;
    c->name = (const uint8_t *)name;
    c->name_size = (size_t)name_size;
    c->validity = b->validity.buf;
    c->numbers = b->first.buf;
    c->offsets = b->first.buf;
    c->data = b->data.buf;
    c->data_size = (size_t)b->data.len;
    int number = c->kind == 'q';
    size_t word = number ? sizeof *c->numbers : sizeof *c->offsets;
    if ((number || c->kind == 't' || c->kind == 'b') && (uintptr_t)b->first.buf % word == 0 &&
        (size_t)b->first.len / word >= (size_t)rows + !number &&
        (!c->validity || (size_t)b->validity.len >= ((size_t)rows + 7) / 8) && (number || are_offsets(c, (size_t)rows)))
        return 1;
    PyErr_SetString(PyExc_ValueError, "json_lines: arguments out of range");
    return 0;
}

static PyObject *kernel_json_lines(PyObject *module, PyObject *args)
{
    PyObject *list, *result = NULL;
    Py_ssize_t rows;
    if (!PyArg_ParseTuple(args, "O!n:json_lines", &PyList_Type, &list, &rows))
        return NULL;
    size_t count = (size_t)PyList_Size(list), taken = 0;
    json_column_t *columns = calloc(count + 1, sizeof *columns);
    json_buffers_t *buffers = calloc(count + 1, sizeof *buffers);
    int fits = columns && buffers && rows >= 0;
    if (!columns || !buffers)
        PyErr_NoMemory();
    else if (!fits)
        PyErr_SetString(PyExc_ValueError, "json_lines: arguments out of range");
    while (fits && taken < count) {
        fits = take_json_column(PyList_GetItem(list, (Py_ssize_t)taken), rows, columns + taken, buffers + taken);
        taken++;
    }
    if (fits) {
        const isa_t *isa = isa_of(module);
        size_t size;
        Py_BEGIN_ALLOW_THREADS
        size = json_lines(columns, count, (size_t)rows, isa, NULL);
        Py_END_ALLOW_THREADS
        result = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
        uint8_t *out = result ? (uint8_t *)PyBytes_AsString(result) : NULL;
        if (out) {
            Py_BEGIN_ALLOW_THREADS
            json_lines(columns, count, (size_t)rows, isa, out);
            Py_END_ALLOW_THREADS
        }
    }
    for (size_t i = 0; i < taken; i++) {
        PyBuffer_Release(&buffers[i].validity);
        PyBuffer_Release(&buffers[i].first);
        PyBuffer_Release(&buffers[i].data);
    }
    free(columns);
    free(buffers);
    return result;
}

#endif
