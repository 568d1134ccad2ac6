/* The binding of the dictionary. */

#ifndef TRACKPARSE_NATIVE_DICTIONARY_H
#define TRACKPARSE_NATIVE_DICTIONARY_H

#include "native_common.h"

#include <stdint.h>
#include <stdlib.h>

#include "dictionary.h"
#include "native_values.h"

/* Memory that Python reads as a buffer. It grows with the dictionary; earlier views of it stay as long as they were. */
typedef struct {
    PyObject_HEAD void *start;
    Py_ssize_t size;
} memory_t;

static int memory_getbuffer(PyObject *self, Py_buffer *view, int flags)
{
    memory_t *memory = (memory_t *)self;
    return PyBuffer_FillInfo(view, self, memory->start ? memory->start : "", memory->size, 1, flags);
}

static void memory_dealloc(PyObject *self)
{
    free(((memory_t *)self)->start);
    free_instance(self);
}

static PyType_Slot memory_slots[] = {
    {Py_tp_dealloc, memory_dealloc},
    {Py_bf_getbuffer, memory_getbuffer},
    {0, NULL},
};

static PyType_Spec memory_spec = {"trackparse.records.kernel.native.Memory", sizeof(memory_t), 0,
                                  Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, memory_slots};

typedef struct {
    PyObject_HEAD values_t values;
    memory_t *bytes, *offsets; /* owners of the memory that is lent; NULL if none is */
    int busy;                  /* a thread is in encode, without the GIL */
} dictionary_t;

/* The values, to be changed; NULL with an error set while another thread changes them. */
static values_t *open_values(PyObject *self)
{
    dictionary_t *dictionary = (dictionary_t *)self;
    if (!dictionary->busy)
        return &dictionary->values;
    PyErr_SetString(PyExc_RuntimeError, "Dictionary: in use by another thread");
    return NULL;
}

/* Take back memory that nobody reads any more: it may grow where it is. */
static void take_back(memory_t **owner, pile_t *pile)
{
    if (*owner && Py_REFCNT((PyObject *)*owner) == 1) {
        (*owner)->start = NULL;
        Py_CLEAR(*owner);
        pile->lent = 0;
    }
}

/* Leave memory that was outgrown to its readers. */
static void let_go(memory_t **owner, const pile_t *pile)
{
    if (*owner && !pile->lent)
        Py_CLEAR(*owner);
}

/* A view of the first `size` bytes, which do not move as long as the view lives. */
static PyObject *lend(PyObject *self, memory_t **owner, pile_t *pile, size_t size)
{
    if (!*owner) {
        PyTypeObject *type = (PyTypeObject *)((state_t *)PyType_GetModuleState(Py_TYPE(self)))->memory;
        *owner = (memory_t *)new_instance(type, 0);
        if (!*owner)
            return NULL;
        (*owner)->start = pile->start;
        pile->lent = 1;
    }
    (*owner)->size = (Py_ssize_t)size;
    return PyMemoryView_FromObject((PyObject *)*owner);
}

static Py_ssize_t dictionary_length(PyObject *self)
{
    return (Py_ssize_t)((dictionary_t *)self)->values.count;
}

/* Seed the hash with Python's hash of a text, which differs from process to process; 0 with an error set. */
static int seed_values(values_t *d)
{
    PyObject *text = PyUnicode_FromString("trackparse");
    if (!text)
        return 0;
    d->seed = (uint64_t)PyObject_Hash(text) * 0x9E3779B97F4A7C15u;
    Py_DECREF(text);
    return 1;
}

/* Memory for so many codes; NULL with an error set. */
static PyObject *new_codes(values_t *d, size_t count)
{
    if (!d->seed && !seed_values(d))
        return NULL;
    return PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(count * sizeof(int32_t)));
}

static void begin_encoding(dictionary_t *dictionary)
{
    take_back(&dictionary->bytes, &dictionary->values.bytes);
    take_back(&dictionary->offsets, &dictionary->values.offsets);
    dictionary->busy = 1;
}

static void end_encoding(dictionary_t *dictionary)
{
    dictionary->busy = 0;
    let_go(&dictionary->bytes, &dictionary->values.bytes);
    let_go(&dictionary->offsets, &dictionary->values.offsets);
}

/* The codes; NULL with an error set after a failure. */
static PyObject *encoded(PyObject *codes, int failure)
{
    if (failure)
        Py_CLEAR(codes);
    if (failure == TOO_MANY_BYTES)
        PyErr_SetString(PyExc_OverflowError, "Dictionary: more than 2 GiB of distinct values");
    else if (failure && !PyErr_Occurred())
        PyErr_NoMemory();
    return codes;
}

/* Whether these are the buffers of a string array: nothing is read behind them. 0 with an error set. */
static int are_strings(Py_ssize_t count, const Py_buffer *validity, const Py_buffer *offsets, const Py_buffer *data)
{
    const int32_t *ends = offsets->buf;
    int fit = count >= 0 && (uintptr_t)ends % sizeof *ends == 0 &&
              (size_t)offsets->len / sizeof *ends > (size_t)count &&
              (!validity->buf || (size_t)validity->len >= ((size_t)count + 7) / 8) && ends[0] >= 0;
    for (Py_ssize_t i = 0; fit && i < count; i++)
        fit = ends[i] <= ends[i + 1];
    if (fit && ends[count] <= (data->buf ? data->len : 0))
        return 1;
    PyErr_SetString(PyExc_ValueError, "encode_strings: arguments out of range");
    return 0;
}

static PyObject *dictionary_encode(PyObject *self, PyObject *args)
{
    dictionary_t *dictionary = (dictionary_t *)self;
    values_t *d = open_values(self);
    PyObject *list, *codes = NULL;
    int empty_is_null;
    int failure = NO_MEMORY;
    column_t column = {0};
    const runs_t *runs = &column.runs;
    if (!d || !PyArg_ParseTuple(args, "O!p:encode", &PyList_Type, &list, &empty_is_null) || !take_column(list, &column))
        return NULL;
    uint8_t *scratch = malloc(runs->bytes + 64);
    codes = new_codes(d, runs->records);
    if (codes && scratch) {
        int32_t *out = (int32_t *)PyBytes_AsString(codes);
        const isa_t *isa = ((state_t *)PyType_GetModuleState(Py_TYPE(self)))->isa;
        begin_encoding(dictionary);
        Py_BEGIN_ALLOW_THREADS
        failure = fill_codes(d, runs, empty_is_null, isa, out, scratch);
        Py_END_ALLOW_THREADS
        end_encoding(dictionary);
    }
    free(scratch);
    release_column(&column);
    return encoded(codes, failure);
}

static PyObject *dictionary_encode_strings(PyObject *self, PyObject *args)
{
    dictionary_t *dictionary = (dictionary_t *)self;
    values_t *d = open_values(self);
    Py_ssize_t count;
    Py_buffer validity = {0}, offsets = {0}, data = {0};
    PyObject *codes = NULL;
    int failure = NO_MEMORY;
    if (!d || !PyArg_ParseTuple(args, "nz*y*z*:encode_strings", &count, &validity, &offsets, &data))
        return NULL;
    if (are_strings(count, &validity, &offsets, &data))
        codes = new_codes(d, (size_t)count);
    if (codes) {
        int32_t *out = (int32_t *)PyBytes_AsString(codes);
        const uint8_t *text = data.buf ? data.buf : (const uint8_t *)"";
        begin_encoding(dictionary);
        Py_BEGIN_ALLOW_THREADS
        failure = fill_codes_of_strings(d, (size_t)count, validity.buf, offsets.buf, text, out);
        Py_END_ALLOW_THREADS
        end_encoding(dictionary);
    }
    PyBuffer_Release(&validity);
    PyBuffer_Release(&offsets);
    PyBuffer_Release(&data);
    return encoded(codes, failure);
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

static PyObject *dictionary_size(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromSize_t(((dictionary_t *)self)->values.size);
}

static void dictionary_dealloc(PyObject *self)
{
    dictionary_t *dictionary = (dictionary_t *)self;
    values_t *d = &dictionary->values;
    if (!d->bytes.lent)
        free(d->bytes.start);
    if (!d->offsets.lent)
        free(d->offsets.start);
    Py_XDECREF((PyObject *)dictionary->bytes);
    Py_XDECREF((PyObject *)dictionary->offsets);
    free(d->slots);
    free_instance(self);
}

static PyMethodDef dictionary_methods[] = {
    {"encode", dictionary_encode, METH_VARARGS, NULL},
    {"encode_strings", dictionary_encode_strings, METH_VARARGS, NULL},
    {"strings", dictionary_strings, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef dictionary_properties[] = {
    {"size", dictionary_size, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot dictionary_slots[] = {
    {Py_tp_dealloc, dictionary_dealloc},
    {Py_tp_methods, dictionary_methods},
    {Py_tp_getset, dictionary_properties},
    {Py_sq_length, dictionary_length},
    {Py_tp_doc, "The distinct values of a column in the order in which they were met."},
    {0, NULL},
};

static PyType_Spec dictionary_spec = {"trackparse.records.kernel.native.Dictionary", sizeof(dictionary_t), 0,
                                      Py_TPFLAGS_DEFAULT, dictionary_slots};

#endif
