"""Machine code for :func:`.kernel.step`: compiled once on a machine, kept as an object file, loaded without Numba.

Importing Numba and readying its compiler takes longer than writing a page, so the code is kept in the user's cache folder under
a name that tells the source, the compiler and the processor apart; loading it needs LLVM's linker alone.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from artgen.files import cache_folder, write_atomically

COMPILING = "compiling the text engine, once on this machine"
_NAME = "artgen_step"
_ARGUMENTS = 20
_DIGEST = 32
_LISTED = 72  # a block of rows and a group of them, as in kernel.py

Step = Callable[..., None]
"""The compiled function; it takes addresses as int."""


@cache
def load(say: Callable[[str], None]) -> Step:
    """The compiled :func:`.kernel.step`; ``say`` is told when it has to be compiled.

    Raises:
        ImportError: Numba or LLVM cannot be used here.
    """
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = _target(llvm)
    path = _place(llvm)
    code = _kept(path)
    if code is None:
        say(COMPILING)
        code = _compile(llvm, machine)
        _keep(path, code)
    return _link(llvm, machine, code)


def room(rows: int, width: int, context: int, vocabulary: int) -> tuple[int, int, int]:
    """The entries of ``scratch`` (float32), ``bits`` (int32) and ``index`` (int64) that so many rows need."""
    longest = max(4 * width, context, vocabulary)
    return 10 * rows * width + context + _LISTED + longest, longest, _LISTED


def _target(llvm: Any) -> Any:
    features = llvm.get_host_cpu_features().flatten()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu=llvm.get_host_cpu_name(), features=features, opt=3, jit=True)


def _place(llvm: Any) -> Path:
    try:
        compilers = [version("numba"), version("llvmlite")]
    except PackageNotFoundError as error:
        raise ImportError(str(error)) from None
    # weights.py has the numbers of the hashes.
    source = b"".join(Path(__file__).with_name(name).read_bytes() for name in ("kernel.py", "weights.py"))
    machine = [llvm.get_process_triple(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()]
    mark = hashlib.sha256("\0".join([*compilers, *machine]).encode() + source).hexdigest()
    return cache_folder() / "compiled" / f"text-{mark[:16]}.o"


def _kept(path: Path) -> bytes | None:
    """The code that was kept, or None where there is none or it is not whole."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    code = data[_DIGEST:]
    return code if data[:_DIGEST] == hashlib.sha256(code).digest() else None


def _keep(path: Path, code: bytes) -> None:
    from artgen.errors import OutputError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, hashlib.sha256(code).digest() + code)
    except (OutputError, OSError):
        return  # compiled again next time; nothing else hangs on it


def _compile(llvm: Any, machine: Any) -> bytes:
    # Before a loop is vectorised, code must show that nothing it writes is read by it: more such checks than LLVM likes.
    llvm.set_option("artgen", "-runtime-memory-check-threshold=64")
    from numba import cfunc

    from artgen.backends.text.transformer import kernel

    compiled = cfunc(kernel.SIGNATURE, **kernel.OPTIONS)(kernel.step)
    module = llvm.parse_assembly(compiled.inspect_llvm())
    wrapper = module.get_function(compiled.native_name)
    # The wrapper would tell Python of an exception, which there is none; without it the code stands alone.
    module.get_function(compiled.native_name.removeprefix("cfunc.")).name = _NAME
    wrapper.linkage = "internal"
    tuning = llvm.create_pipeline_tuning_options(speed_level=3)
    passes = llvm.create_pass_builder(machine, tuning)
    passes.getModulePassManager().run(module, passes)
    code: bytes = machine.emit_object(module)
    return code


def _link(llvm: Any, machine: Any, code: bytes) -> Step:
    linker = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    linker.add_object_file(llvm.ObjectFileRef.from_data(code))
    linker.finalize_object()
    address = linker.get_function_address(_NAME)
    if not address:
        raise ImportError("the compiled text engine has no entry")
    function = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * (_ARGUMENTS + 2))(address)
    # Numba's own convention: where the result goes and where an exception would go stand before the arguments.
    places = [(ctypes.c_void_p * 1)() for _ in range(2)]
    before = [ctypes.addressof(place) for place in places]
    _KEPT.append((linker, places))  # the code lives as long as its linker
    return lambda *arguments: function(*before, *arguments)


_KEPT: list[Any] = []
