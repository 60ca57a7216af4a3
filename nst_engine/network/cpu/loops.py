"""Loops in machine code, compiled while the program runs.

torch reads and writes memory at every operation and rounds bf16 after each in a dozen instructions; several operations
in one loop do both once. Where the package llvmlite is installed, LLVM compiles such loops for this processor.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import logging
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

log = logging.getLogger("nst_engine.network.cpu.loops")

LINE = 64  # bytes that a loop processes at a time: a whole line of the cache
FORMATS = (torch.bfloat16, torch.float32, torch.float64)


Value = Any  # of llvmlite, which has no type hints


@dataclass(frozen=True)
class Numbers:
    """A line of numbers, in formulas written as for one number; bf16 is computed with in fp32."""

    builder: Value
    value: Value

    def __add__(self, other: Numbers) -> Numbers:
        return Numbers(self.builder, self.builder.fadd(self.value, other.value, flags=["contract"]))

    def __sub__(self, other: Numbers) -> Numbers:
        return Numbers(self.builder, self.builder.fsub(self.value, other.value, flags=["contract"]))

    def __rmul__(self, factor: float) -> Numbers:
        return Numbers(self.builder, self.builder.fmul(self.value, _all(self.value.type, factor), flags=["contract"]))

    def above_0(self) -> Numbers:
        """max(x, 0); NaN stays NaN."""
        return self.where_above_0(self)

    def where_above_0(self, other: Numbers) -> Numbers:
        """These where the other is above 0 or NaN, and 0 elsewhere."""
        zero = _all(self.value.type, 0.0)
        above = self.builder.fcmp_unordered(">", other.value, zero)
        return Numbers(self.builder, self.builder.select(above, self.value, zero))


@dataclass(frozen=True)
class Bits:
    """A line of integers, or of other numbers as integers of their length: those not below 0 have the same order."""

    builder: Value
    value: Value

    def all(self, number: int) -> Bits:
        return Bits(self.builder, _all(self.value.type, number))

    def __gt__(self, other: Bits) -> Value:
        return self.builder.icmp_signed(">", self.value, other.value)

    def equals(self, number: int) -> Value:
        return self.builder.icmp_signed("==", self.value, _all(self.value.type, number))

    def where(self, truth: Value, other: Bits) -> Bits:
        """These where it is true, the others elsewhere."""
        return Bits(self.builder, self.builder.select(truth, self.value, other.value))


@dataclass(frozen=True)
class Integer:
    """A size, an index or an address. Comparison is unsigned, so that a number below 0 is greater than every size; such
    a number must not be divided."""

    builder: Value
    value: Value

    def _other(self, other: Integer | int) -> Value:
        return other.value if isinstance(other, Integer) else self.value.type(other)

    def __add__(self, other: Integer | int) -> Integer:
        return Integer(self.builder, self.builder.add(self.value, self._other(other)))

    def __sub__(self, other: Integer | int) -> Integer:
        return Integer(self.builder, self.builder.sub(self.value, self._other(other)))

    def __mul__(self, other: Integer | int) -> Integer:
        return Integer(self.builder, self.builder.mul(self.value, self._other(other)))

    def __floordiv__(self, other: Integer | int) -> Integer:
        return Integer(self.builder, self.builder.udiv(self.value, self._other(other)))

    def __mod__(self, other: Integer | int) -> Integer:
        return Integer(self.builder, self.builder.urem(self.value, self._other(other)))

    def __lt__(self, other: Integer | int) -> Truth:
        return Truth(self.builder, self.builder.icmp_unsigned("<", self.value, self._other(other)))


@dataclass(frozen=True)
class Truth:
    builder: Value
    value: Value

    def __and__(self, other: Truth) -> Truth:
        return Truth(self.builder, self.builder.and_(self.value, other.value))

    def choose(self, this: Integer, that: Integer) -> Integer:
        return Integer(self.builder, self.builder.select(self.value, this.value, that.value))


class Function:
    """A function under construction. Its arguments are 64-bit integers: sizes and addresses."""

    def __init__(self, dtype: torch.dtype, arguments: Sequence[str]) -> None:
        from llvmlite import ir

        self.ir = ir
        self.integer = ir.IntType(64)
        self.dtype = dtype
        self.lanes = LINE // dtype.itemsize
        self.module = ir.Module()
        function = ir.Function(
            self.module, ir.FunctionType(ir.VoidType(), [self.integer.as_pointer()]), name="function"
        )
        self.builder = b = ir.IRBuilder(function.append_basic_block())
        self.arguments = {
            name: Integer(b, b.load(b.gep(function.args[0], [self.integer(k)]))) for k, name in enumerate(arguments)
        }

    def __getitem__(self, argument: str) -> Integer:
        return self.arguments[argument]

    def number(self, value: int) -> Integer:
        return Integer(self.builder, self.integer(value))

    @contextlib.contextmanager
    def loop(self, first: Integer | int, end: Integer, step: int = 1) -> Iterator[Integer]:
        b = self.builder
        before = b.block
        head, body, after = (b.append_basic_block() for _ in range(3))
        b.branch(head)
        b.position_at_end(head)
        i = b.phi(self.integer)
        i.add_incoming((self.number(first) if isinstance(first, int) else first).value, before)
        number = Integer(b, i)
        b.cbranch((number < end).value, body, after)
        b.position_at_end(body)
        yield number
        i.add_incoming((number + step).value, b.block)
        b.branch(head)
        b.position_at_end(after)

    def load(self, address: Integer) -> Numbers:
        b, ir = self.builder, self.ir
        if self.dtype != torch.bfloat16:
            number = ir.FloatType() if self.dtype == torch.float32 else ir.DoubleType()
            return Numbers(b, b.load(self._line(address, number), align=self.dtype.itemsize))
        # bf16 is the upper half of an fp32 number.
        halves = b.load(self._line(address, ir.IntType(16)), align=2)
        bits = ir.VectorType(ir.IntType(32), self.lanes)
        whole = b.shl(b.zext(halves, bits), _all(bits, 16))
        return Numbers(b, b.bitcast(whole, ir.VectorType(ir.FloatType(), self.lanes)))

    def store(self, numbers: Numbers, address: Integer) -> None:
        b, ir = self.builder, self.ir
        value = numbers.value
        if self.dtype == torch.bfloat16:
            bits = ir.VectorType(ir.IntType(32), self.lanes)
            whole = b.bitcast(value, bits)
            # To the nearest, from the middle to the even one: as torch does.
            even = b.and_(b.lshr(whole, _all(bits, 16)), _all(bits, 1))
            rounded = b.add(whole, b.add(even, _all(bits, 0x7FFF)))
            value = b.trunc(b.lshr(rounded, _all(bits, 16)), ir.VectorType(ir.IntType(16), self.lanes))
        b.store(value, self._line(address, value.type.element), align=self.dtype.itemsize)

    def load_bits(self, address: Integer, size: int | None = None) -> Bits:
        """Integers as long as the numbers, from a line of such or of integers of another size."""
        b, ir = self.builder, self.ir
        size = size or self.dtype.itemsize
        found = b.load(self._line(address, ir.IntType(8 * size)), align=size)
        kind = ir.VectorType(ir.IntType(8 * self.dtype.itemsize), self.lanes)
        return Bits(b, found if size == self.dtype.itemsize else b.zext(found, kind))

    def store_bits(self, bits: Bits, address: Integer, size: int | None = None) -> None:
        b, ir = self.builder, self.ir
        size = size or self.dtype.itemsize
        kind = ir.VectorType(ir.IntType(8 * size), self.lanes)
        value = bits.value if size == self.dtype.itemsize else b.trunc(bits.value, kind)
        b.store(value, self._line(address, kind.element), align=size)

    def _line(self, address: Integer, number: Value) -> Value:
        return self.builder.inttoptr(address.value, self.ir.VectorType(number, self.lanes).as_pointer())

    def compile(self) -> Callable[..., None]:
        """The function, to be called with its arguments in order, in any thread."""
        import llvmlite.binding as llvm

        self.builder.ret_void()
        llvm.check_jit_execution()  # raises on systems that forbid it, where calling the code would end the program
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=2, jit=True
        )
        module = llvm.parse_assembly(str(self.module))
        module.verify()
        engine = llvm.create_mcjit_compiler(module, machine)
        engine.finalize_object()
        function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(engine.get_function_address("function"))
        arguments = ctypes.c_int64 * len(self.arguments)

        def call(*values: int, _alive: object = (engine, machine)) -> None:
            function(arguments(*values))  # other threads can run Python meanwhile

        return call


def _all(kind: Value, number: float) -> Value:
    from llvmlite import ir

    return ir.Constant(kind, [number] * kind.count)


def compiled(make: Callable[[torch.dtype], Function]) -> Callable[[torch.dtype], Callable[..., None] | None]:
    """Compiles for each number format once; None where that cannot be done."""

    @functools.cache
    def get(dtype: torch.dtype) -> Callable[..., None] | None:
        if dtype not in FORMATS or not _tried_here():
            return None
        try:
            return make(dtype).compile()
        except ImportError:
            _recommend()
            return None
        except Exception as problem:  # LLVM can fail in many ways, and without loops steps only take longer
            log.warning("Loops are not compiled, so steps take longer: %s", problem)
            return None

    return get


def _tried_here() -> bool:
    return sys.platform == "linux" and platform.machine().lower() in ("x86_64", "amd64")


@functools.cache  # once per process
def _recommend() -> None:
    log.info("On this processor, steps take a third less time with llvmlite: python -m pip install llvmlite")
