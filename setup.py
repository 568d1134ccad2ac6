"""Builds the one extension module; everything else stands in pyproject.toml."""

from pathlib import Path

from setuptools import Extension, setup

KERNEL = "src/trackparse/records/kernel"

setup(
    ext_modules=[
        Extension(
            "trackparse.records.kernel.native",
            sources=[f"{KERNEL}/native.c"],
            depends=[str(path) for pattern in ("*.h", "*.inc") for path in sorted(Path(KERNEL).glob(pattern))],
            define_macros=[("Py_LIMITED_API", "0x030B0000")],
            extra_compile_args=["-O3", "-std=c11", "-Wall", "-Wextra", "-fno-strict-aliasing"],
            py_limited_api=True,
            # Without a compiler the reference takes over, with one warning.
            optional=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
