/* Memory that the process has freed. */

#ifndef TRACKPARSE_NATIVE_MEMORY_H
#define TRACKPARSE_NATIVE_MEMORY_H

#include "native_common.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

/* glibc keeps what is freed below the end of its heap, for itself alone: Arrow's allocator cannot take it. */
static PyObject *kernel_release_unused(PyObject *module, PyObject *ignored)
{
    (void)module;
    (void)ignored;
#ifdef __GLIBC__
    Py_BEGIN_ALLOW_THREADS
    malloc_trim(0);
    Py_END_ALLOW_THREADS
#endif
    Py_RETURN_NONE;
}

#endif
