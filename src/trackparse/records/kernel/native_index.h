/* The binding of index. */

#ifndef TRACKPARSE_NATIVE_INDEX_H
#define TRACKPARSE_NATIVE_INDEX_H

#include "native_common.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "index.h"

/* What is asked; 0 with an error set. `data` is to be released in any case. */
static int take_question(PyObject *question, Py_buffer *data, indexer_t *x)
{
    Py_ssize_t begin, stop, max_record_bytes, names_size;
    const char *names;
    int final, width, timestamp, payload, trusted, automatic, dialect;
    long long credit, record, line, byte_offset;
    if (!PyTuple_Check(question)) {
        PyErr_SetString(PyExc_TypeError, "index: expected a Question");
        return 0;
    }
    if (!PyArg_ParseTuple(question, "y*nnpiiiy#ppinLLLL:index", data, &begin, &stop, &final, &width, &timestamp,
                          &payload, &names, &names_size, &trusted, &automatic, &dialect, &max_record_bytes, &credit,
                          &record, &line, &byte_offset))
        return 0;
    if (begin < 0 || stop < 0 || width < 1 || timestamp < 0 || timestamp >= width || payload < NO_COLUMN ||
        payload >= width || max_record_bytes < 1 || max_record_bytes > INT64_MAX / 64 || credit > INT64_MAX / 4 ||
        credit < INT64_MIN / 4 || data->len > INT32_MAX || (dialect != RFC4180 && dialect != PHP) || record < 0 ||
        record > INT64_MAX / 2 || line < 0 || line > INT64_MAX / 2 || byte_offset < 0 || byte_offset > INT64_MAX / 2 ||
        !take_names(x, names, (size_t)names_size)) {
        PyErr_SetString(PyExc_ValueError, "index: arguments out of range");
        return 0;
    }
    x->start = (size_t)begin;
    x->record = record;
    x->line = line;
    x->byte_offset = byte_offset;
    x->data = data->buf;
    x->size = (size_t)data->len;
    x->stop = (size_t)stop;
    x->final = final;
    x->trusted = trusted;
    x->automatic = automatic;
    x->dialect = dialect;
    x->width = (uint32_t)width;
    x->timestamp = (uint32_t)timestamp;
    x->payload = payload;
    x->max_record_bytes = (size_t)max_record_bytes;
    x->credit = credit;
    return 1;
}

/* The bytes of all rejects, one behind the other. */
static PyObject *raw_of_rejects(const indexer_t *x, const found_t *f)
{
    PyObject *raw = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)f->raw_bytes);
    char *out = raw ? PyBytes_AsString(raw) : NULL;
    for (size_t i = 0; out && i < f->reject_count; i++) {
        const reject_t *r = f->rejects + i;
        memcpy(out, x->data + x->start + (r->byte_offset - x->byte_offset), (size_t)r->size);
        out += r->size;
    }
    return raw;
}

/* What was found, as an Indexed. */
static PyObject *indexed_of(const state_t *state, const indexer_t *x, const found_t *f, int status, size_t position)
{
    PyObject *raw = raw_of_rejects(x, f);
    if (!raw)
        return NULL;
    PyObject *items = Py_BuildValue(
        "iniKKy#y#y#NKKKKKL", status, (Py_ssize_t)position, x->dialect, (unsigned long long)f->records,
        (unsigned long long)f->blank_lines, f->records ? (const char *)f->fields : "",
        (Py_ssize_t)(f->records * ((size_t)x->width + 1) * sizeof *f->fields),
        f->records ? (const char *)f->timestamps : "", (Py_ssize_t)(f->records * sizeof *f->timestamps),
        f->reject_count ? (const char *)f->rejects : "", (Py_ssize_t)(f->reject_count * sizeof *f->rejects), raw,
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
    if (take_question(question, &data, x)) {
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
