/* What the parts of the binding share. Only native.c and native_*.h know of Python. */

#ifndef TRACKPARSE_NATIVE_COMMON_H
#define TRACKPARSE_NATIVE_COMMON_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "isa.h"

/* The state of the module. */
typedef struct {
    const isa_t *isa;                                                    /* which runs */
    PyObject *indexed, *text_buffers, *payload_buffers, *field, *memory; /* types */
} state_t;

static inline state_t *state_of(PyObject *module)
{
    return PyModule_GetState(module);
}

static inline const isa_t *isa_of(PyObject *module)
{
    return state_of(module)->isa;
}

/* A new instance of a type with nothing in it. */
static inline PyObject *new_instance(PyTypeObject *type, Py_ssize_t items)
{
    return ((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, items);
}

/* Give its memory back, at the end of a deallocator. */
static inline void free_instance(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

/* The items of a tuple as a NamedTuple. Takes the tuple, NULL with an error set, too. */
static inline PyObject *as_named(PyObject *type, PyObject *items)
{
    if (!items)
        return NULL;
    Py_ssize_t count = PyTuple_Size(items);
    PyObject *named = new_instance((PyTypeObject *)type, count);
    for (Py_ssize_t i = 0; named && i < count; i++) {
        PyObject *item = PyTuple_GetItem(items, i);
        Py_INCREF(item);
        if (PyTuple_SetItem(named, i, item) < 0)
            Py_CLEAR(named);
    }
    Py_DECREF(items);
    return named;
}

#endif
