/* The binding of the kernel to Python. Buffers in, buffers out; the files beside this one say what each function
 * does: first in Python, then the same in C.
 * While the GIL is released, no Python object is made or touched. */

#include "native_common.h"

#include <string.h>

#include "json.h"
#include "native_dictionary.h"
#include "native_events.h"
#include "native_index.h"
#include "native_jsonl.h"
#include "native_memory.h"
#include "native_parts.h"
#include "native_payload.h"
#include "native_values.h"
#include "timestamp.h"

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
            state_of(module)->isa = ISAS + i;
            Py_RETURN_NONE;
        }
    return PyErr_Format(PyExc_ValueError, "the instruction set '%s' is not available here", name);
}

static PyMethodDef kernel_methods[] = {
    {"index", kernel_index, METH_O, NULL},
    {"records_in", kernel_records_in, METH_VARARGS, NULL},
    {"longest", kernel_longest, METH_O, NULL},
    {"strings", kernel_strings, METH_VARARGS, NULL},
    {"views", kernel_views, METH_VARARGS, NULL},
    {"events", (PyCFunction)(void (*)(void))kernel_events, METH_VARARGS | METH_KEYWORDS, NULL},
    {"days", kernel_days, METH_O, NULL},
    {"parted", kernel_parted, METH_VARARGS, NULL},
    {"payload_columns", kernel_payload_columns, METH_VARARGS, NULL},
    {"release_unused", kernel_release_unused, METH_NOARGS, NULL},
    {"validity_of", kernel_validity_of, METH_O, NULL},
    {"count_lines", kernel_count_lines, METH_VARARGS, NULL},
    {"parse_timestamp", kernel_parse_timestamp, METH_O, NULL},
    {"is_json", kernel_is_json, METH_O, NULL},
    {"json_lines", kernel_json_lines, METH_VARARGS, NULL},
    {"unescape", kernel_unescape, METH_VARARGS, NULL},
    {"instruction_sets", kernel_instruction_sets, METH_NOARGS, "The instruction sets that run here, best first."},
    {"select", kernel_select, METH_VARARGS, "Use this instruction set from now on."},
    {NULL, NULL, 0, NULL},
};

static int kernel_exec(PyObject *module)
{
    state_t *state = state_of(module);
    for (size_t i = ISA_COUNT; i-- > 0;)
        if (isa_runs_here(ISAS + i))
            state->isa = ISAS + i;
    PyObject *codes = PyImport_ImportModule("trackparse.records.kernel.codes");
    if (!codes)
        return -1;
    state->indexed = PyObject_GetAttrString(codes, "Indexed");
    state->text_buffers = PyObject_GetAttrString(codes, "TextBuffers");
    state->payload_buffers = PyObject_GetAttrString(codes, "PayloadBuffers");
    Py_DECREF(codes);
    if (!state->indexed || !state->text_buffers || !state->payload_buffers)
        return -1;
    PyObject *dictionary = PyType_FromModuleAndSpec(module, &dictionary_spec, NULL);
    state->field = PyType_FromModuleAndSpec(module, &field_spec, NULL);
    state->memory = PyType_FromModuleAndSpec(module, &memory_spec, NULL);
    int failed = !dictionary || !state->field || !state->memory ||
                 PyModule_AddObjectRef(module, "Dictionary", dictionary) < 0 ||
                 PyModule_AddObjectRef(module, "Field", state->field) < 0;
    Py_XDECREF(dictionary);
    return failed ? -1 : 0;
}

static int kernel_traverse(PyObject *module, visitproc visit, void *arg)
{
    state_t *state = PyModule_GetState(module);
    if (state) {
        Py_VISIT(state->indexed);
        Py_VISIT(state->text_buffers);
        Py_VISIT(state->payload_buffers);
        Py_VISIT(state->field);
        Py_VISIT(state->memory);
    }
    return 0;
}

static int kernel_clear(PyObject *module)
{
    state_t *state = PyModule_GetState(module);
    if (state) {
        Py_CLEAR(state->indexed);
        Py_CLEAR(state->text_buffers);
        Py_CLEAR(state->payload_buffers);
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
    PyModuleDef_HEAD_INIT, "native",       "The kernel in C; reference says what it does.",
    sizeof(state_t),       kernel_methods, kernel_slots,
    kernel_traverse,       kernel_clear,   kernel_free,
};

PyMODINIT_FUNC PyInit_native(void)
{
    return PyModuleDef_Init(&kernel_module);
}
