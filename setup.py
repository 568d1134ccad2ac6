"""Builds the one extension module; everything else stands in pyproject.toml.

Without a C compiler the wheel holds Python only. Its tag says so (py3-none-any), so that no cache and no index gives it
out instead of the one with the C kernel. A compiler that is there and fails is an error.
"""

import os
import shutil
import sys
import sysconfig
from distutils.ccompiler import new_compiler
from distutils.sysconfig import customize_compiler
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError, CompileError, PlatformError

KERNEL = Path("src/trackparse/records/kernel")
WINDOWS = os.name == "nt"
# The reference in Python is asked for by TRACKPARSE_BUILD=reference, where the compiler cannot be mended.
REFERENCE = os.environ.get("TRACKPARSE_BUILD") == "reference"
FAILED = """the C kernel of trackparse cannot be compiled; what the compiler said stands above.
If Python.h is missing, install the headers of Python (Debian: python3-dev; Fedora: python3-devel).
To install without the C kernel, which is about a hundred times slower, set TRACKPARSE_BUILD=reference."""


def has_compiler() -> bool:
    """Whether the compiler that setuptools would call is there."""
    compiler = new_compiler()
    customize_compiler(compiler)
    if WINDOWS:
        try:
            compiler.initialize()
        except PlatformError:
            return False
        return True
    # One that the user names and that is not there is a mistake, and no reason to do without.
    return bool(os.environ.get("CC")) or shutil.which(compiler.compiler_so[0]) is not None


class BuildKernel(build_ext):
    """Says what to do where the compiler fails."""

    def build_extension(self, ext: Extension) -> None:
        try:
            super().build_extension(ext)
        except CCompilerError as error:
            raise CompileError(f"{error}\n{FAILED}") from None


if sysconfig.get_config_var("Py_GIL_DISABLED"):
    sys.exit(
        "trackparse does not support free-threaded Python, which cannot load what is built for the stable ABI: "
        "use the ordinary build of the same version"
    )

kernel = Extension(
    "trackparse.records.kernel.native",
    sources=[f"{KERNEL}/native.c"],
    depends=[str(path) for pattern in ("*.h", "*.inc") for path in sorted(KERNEL.glob(pattern))],
    define_macros=[("Py_LIMITED_API", "0x030B0000")],
    extra_compile_args=["/std:c11"] if WINDOWS else ["-O3", "-std=c11", "-Wall", "-Wextra", "-fno-strict-aliasing"],
    py_limited_api=True,
)
with_kernel = not REFERENCE and has_compiler()
if not with_kernel:
    print("trackparse: no C compiler is used, so the C kernel is left out", file=sys.stderr)
setup(
    ext_modules=[kernel] if with_kernel else [],
    cmdclass={"build_ext": BuildKernel},
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if with_kernel else {},
)
