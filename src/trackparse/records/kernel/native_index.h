/* The binding of index. */

#ifndef TRACKPARSE_NATIVE_INDEX_H
#define TRACKPARSE_NATIVE_INDEX_H

#include "native_common.h"

#include <stdint.h>
#include <stdlib.h>

#include "index.h"

/* What is asked; 0 with an error set. `data` is to be released in any case. */
static int take_question(PyObject *question, Py_buffer *data, indexer_t *x, size_t *start)
{
    Py_ssize_t begin, stop, max_record_bytes, names_size;
    const char *names;
    int final, width, timestamp, payload, automatic, dialect;
    long long credit;
    if (!PyTuple_Check(question)) {
        PyErr_SetString(PyExc_TypeError, "index: expected a Question");
        return 0;
    }
    if (!PyArg_ParseTuple(question, "y*nnpiiiy#pinL:index", data, &begin, &stop, &final, &width, &timestamp, &payload,
                          &names, &names_size, &automatic, &dialect, &max_record_bytes, &credit))
        return 0;
    if (begin < 0 || stop < 0 || width < 1 || timestamp < 0 || timestamp >= width || payload < NO_COLUMN ||
        payload >= width || max_record_bytes < 1 || max_record_bytes > INT64_MAX / 64 || credit > INT64_MAX / 4 ||
        credit < INT64_MIN / 4 || data->len > INT32_MAX || (dialect != RFC4180 && dialect != PHP) ||
        !take_names(x, names, (size_t)names_size)) {
        PyErr_SetString(PyExc_ValueError, "index: arguments out of range");
        return 0;
    }
    *start = (size_t)begin;
    x->data = data->buf;
    x->size = (size_t)data->len;
    x->stop = (size_t)stop;
    x->final = final;
    x->automatic = automatic;
    x->dialect = dialect;
    x->width = (uint32_t)width;
    x->timestamp = (uint32_t)timestamp;
    x->payload = payload;
    x->max_record_bytes = (size_t)max_record_bytes;
    x->credit = credit;
    return 1;
}

/* The rejects as a list of BadRecord. */
static PyObject *list_of_rejects(const state_t *state, const found_t *f)
{
    PyObject *list = PyList_New((Py_ssize_t)f->reject_count);
    for (size_t i = 0; list && i < f->reject_count; i++) {
        const reject_t *r = f->rejects + i;
        PyObject *items = Py_BuildValue("KKnni", (unsigned long long)r->records, (unsigned long long)r->lines,
                                        (Py_ssize_t)r->start, (Py_ssize_t)r->end, r->reason);
        PyObject *bad = as_named(state->bad_record, items);
        if (!bad || PyList_SetItem(list, (Py_ssize_t)i, bad) < 0)
            Py_CLEAR(list);
    }
    return list;
}

/* What was found, as an Indexed. */
static PyObject *indexed_of(const state_t *state, const indexer_t *x, const found_t *f, int status, size_t position)
{
    PyObject *rejects = list_of_rejects(state, f);
    if (!rejects)
        return NULL;
    PyObject *items = Py_BuildValue(
        "iniKKy#y#NKKKKKL", status, (Py_ssize_t)position, x->dialect, (unsigned long long)f->records,
        (unsigned long long)f->blank_lines, f->records ? (const char *)f->fields : "",
        (Py_ssize_t)(f->records * ((size_t)x->width + 1) * sizeof *f->fields),
        f->records ? (const char *)f->timestamps : "", (Py_ssize_t)(f->records * sizeof *f->timestamps), rejects,
        (unsigned long long)f->record_bytes, (unsigned long long)f->blank_bytes, (unsigned long long)f->mark_bytes,
        (unsigned long long)f->lines, (unsigned long long)f->unresolved, (long long)x->credit);
    return as_named(state->indexed, items);
}

static PyObject *kernel_index(PyObject *module, PyObject *question)
{
    Py_buffer data = {0};
    PyObject *result = NULL;
    found_t f = {0};
    size_t position = 0;
    indexer_t *x = calloc(1, sizeof *x);
    if (!x)
        return PyErr_NoMemory();
    x->isa = isa_of(module);
    if (take_question(question, &data, x, &position)) {
        int status = NO_MEMORY;
        if (new_workspace(x)) {
            Py_BEGIN_ALLOW_THREADS
            status = index_records(x, &position, &f);
            Py_END_ALLOW_THREADS
        }
        result = status == NO_MEMORY ? PyErr_NoMemory() : indexed_of(state_of(module), x, &f, status, position);
    }
    free(f.fields);
    free(f.timestamps);
    free(f.rejects);
    release_workspace(x);
    free(x);
    PyBuffer_Release(&data);
    return result;
}

#endif
