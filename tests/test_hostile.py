"""Files made to do harm, and files that are merely broken: plain values or an ArtifactError, at once.

Nothing that a file asks for may happen: every payload here is shown to work on Python's own reader first, and
leaves a trace when it does.
"""

from __future__ import annotations

import builtins
import functools
import io
import json
import operator
import os
import pickle
import re
import resource
import struct
import subprocess
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from helpers import mutated

import lefs
from lefs.files.publishers import nvlabs_stylegan2, nvlabs_stylegan3, tensorflow
from lefs.files.reading import Global, Instance, is_inert, read_tree, walk
from lefs.records import ArtifactError

FIXTURES = Path(__file__).parent / "fixtures"


def saved(value: Any, *, zipped: bool, protocol: int = 2) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


LEGACY = saved(None, zipped=False)[:15]


class Call:
    """Pickled as a call of `function`; also stands for the result where a function is expected."""

    def __init__(self, function: Any, *args: Any, state: Any = None):
        self.how = (function, args) if state is None else (function, args, state)

    def __reduce__(self) -> Any:
        return self.how

    def __call__(self) -> None:
        """Python's writer asks that what is called be callable."""

    def __hash__(self) -> int:
        return 0


# -- payloads ------------------------------------------------------------------------------------------------


def _attribute(value: Any, *names: str) -> Any:
    for name in names:
        value = Call(getattr, value, name)
    return value


class Tripwire:
    """What looks at an attribute of it, or sets one, leaves a trace."""

    looked: ClassVar[list[str]] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self.looked.append(name)
        return self


def payloads(trace: Path) -> dict[str, Any]:
    """What to run, by name; each makes the file `trace`."""
    command = f"touch {trace}"
    touch = f"__import__('pathlib').Path({str(trace)!r}).touch()"
    module = Call(__import__, "os")
    inner = io.BytesIO()
    torch.save(Call(os.system, command), inner, _use_new_zipfile_serialization=False)
    return {
        "os.system": Call(os.system, command),
        "subprocess": Call(subprocess.check_call, ["touch", str(trace)]),
        "eval": Call(builtins.eval, touch),
        "exec": Call(builtins.exec, touch),
        "open": Call(builtins.open, str(trace), "w"),
        "getattr chain": Call(_attribute(module, "system"), command),
        "long getattr chain": Call(_attribute(Call(__import__, "shutil"), "os", "system"), command),
        "partial": Call(functools.partial(os.system, command)),
        "partial by call": Call(Call(functools.partial, os.system, command)),
        "reduce": Call(functools.reduce, operator.add, [1, 2], Call(eval, touch)),
        "operator.methodcaller": Call(Call(operator.methodcaller, "system", command), module),
        "operator.attrgetter": Call(Call(Call(operator.attrgetter, "system"), module), command),
        "map": Call(list, Call(map, os.system, [command])),
        "torch.load": Call(torch.load, Call(io.BytesIO, inner.getvalue()), None, Call(__import__, "pickle")),
        "payload in a payload": Call(torch.storage._load_from_bytes, inner.getvalue()),
        "pickle.loads": Call(pickle.loads, pickle.dumps(Call(os.system, command))),
        "getattr of an object": Call(Call(getattr, Call(type(trace), str(trace)), "touch")),
        "getattr of getattr": Call(
            Call(getattr, Call(getattr, Call(type(trace), str(trace)), "touch"), "__call__")
        ),
        "partial of a method": Call(Call(functools.partial, type(trace).touch, trace)),
        "partial of getattr": Call(Call(functools.partial, Call(getattr, trace, "touch"))),
        "attribute set, then called": [
            Call(setattr, Tripwire, "planted", Call(getattr, trace, "touch")),
            Call(Call(getattr, Tripwire, "planted")),
        ],
    }


NAMES = tuple(payloads(Path("x")))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("protocol", range(6))
def test_nothing_of_a_payload_runs(name: str, protocol: int, tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    written = pickle.dumps(payloads(trace)[name], protocol)
    before = set(sys.modules)
    with pytest.raises(ArtifactError, match=r"is refused: .*which could run code|is refused: it calls"):
        read_tree(written)
    assert not trace.exists()
    assert set(sys.modules) == before
    run_for_real(written)
    assert trace.exists(), "the payload is a blank, so this test shows nothing"


def run_for_real(written: bytes) -> None:
    """Open as a victim would; what the payload touches shows that it is live."""
    try:
        pickle.loads(written)
    except Exception:
        # Most payloads break the reader after they have run.
        return


def places(bomb: Any) -> dict[str, Any]:
    """The payload in every place that a value can have."""
    array: Any = (np._core if hasattr(np, "_core") else np.core).multiarray
    rebuild, tensor = torch._utils._rebuild_tensor_v2, torch.ones(3)
    storage = tensor.untyped_storage()
    dtype = np.dtype("f4")
    return {
        "root": bomb,
        "list": [1, bomb],
        "tuple": (bomb,),
        "long tuple": (1, 2, 3, bomb),
        "value": {"a": bomb},
        "key": {bomb: 1},
        "ordered": OrderedDict(a=bomb),
        "set": {bomb},
        "frozen set": frozenset([bomb]),
        "state": Call(Instance, "a", "b", state={"x": bomb}),
        "slots": Call(Instance, "a", "b", state=(None, {"x": bomb})),
        "argument": Call(Instance, bomb),
        "deep": [[[[{"a": ({"b": bomb},)}]]]],
        "shape": Call(array._reconstruct, np.ndarray, (bomb,), b"b"),
        "array's state": Call(
            array._reconstruct, np.ndarray, (0,), b"b", state=(1, (1,), dtype, False, bomb)
        ),
        "array's type": Call(array._reconstruct, np.ndarray, (0,), b"b", state=(1, (1,), bomb, False, b"")),
        "array's class": Call(array._reconstruct, bomb, (0,), b"b"),
        "scalar": Call(array.scalar, dtype, bomb),
        "object array": np.array([bomb], dtype=object),
        "storage": Call(rebuild, bomb, 0, (3,), (1,), False, OrderedDict()),
        "offset": Call(rebuild, storage, bomb, (3,), (1,), False, OrderedDict()),
        "size": Call(rebuild, storage, 0, (bomb,), (1,), False, OrderedDict()),
        "stride": Call(rebuild, storage, 0, (3,), (bomb,), False, OrderedDict()),
        "hooks": Call(rebuild, storage, 0, (3,), (1,), False, OrderedDict(a=bomb)),
        "parameter": Call(torch._utils._rebuild_parameter, bomb, False, OrderedDict()),
        "attributes": Call(torch._tensor._rebuild_from_type_v2, rebuild, torch.Tensor, (bomb,), {}),
        "nested": Call(torch.storage._load_from_bytes, saved([bomb], zipped=False)),
        "nested zip": Call(torch.storage._load_from_bytes, saved([bomb], zipped=True)),
        "nested bytes": Call(torch.storage._load_from_bytes, bomb),
    }


PLACES = tuple(places(1))


@pytest.mark.parametrize("place", PLACES)
def test_payloads_in_every_place(place: str, tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    bombs = [
        Call(os.system, f"touch {trace}"),
        Call(Call(getattr, Call(__import__, "os"), "system"), "touch x"),
    ]
    for value in (places(bomb)[place] for bomb in bombs):
        files = [pickle.dumps(value, p) for p in range(6)]
        files += [saved(value, zipped=z) for z in (True, False)]
        for written in files:
            with pytest.raises(ArtifactError, match="is refused"):
                read_tree(written)
    assert not trace.exists()


def test_payloads_in_persistent_ids_and_headers(tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    bomb = b"cos\nsystem\n(S'touch %s'\ntR" % str(trace).encode()
    whole = saved(torch.ones(3), zipped=False)
    for before in (b"ctorch\nFloatStorage", b"X\x03\x00\x00\x00cpu", b"X\x07\x00\x00\x00storage"):
        assert before in whole
        with pytest.raises(ArtifactError, match=r"os\.system"):
            read_tree(whole.replace(before, bomb))
    for at in (b"little_endianq", b"protocol_versionq", b"]q"):
        position = whole.index(at) + len(at) + 1
        with pytest.raises(ArtifactError, match=r"is refused|is damaged"):
            read_tree(whole[:position] + bomb + whole[position:])
    assert not trace.exists()


# -- instructions written by hand ----------------------------------------------------------------------------

RUN = b"(S'touch TRACE'\nt"


def _dill(name: bytes, arguments: bytes) -> bytes:
    return b"cdill._dill\n" + name + b"\n(" + arguments + b"tR"


BY_HAND = {
    "GLOBAL": b"cos\nsystem\n" + RUN + b"R.",
    "INST": b"(S'touch TRACE'\nios\nsystem\n.",
    "OBJ": b"(cos\nsystem\nS'touch TRACE'\no.",
    "NEWOBJ": b"\x80\x02cos\nsystem\n" + RUN + b"\x81.",
    "NEWOBJ_EX": b"\x80\x04cos\nsystem\n" + RUN + b"}\x92.",
    "STACK_GLOBAL": b"\x80\x04\x8c\x02os\x8c\x06system\x93" + RUN + b"R.",
    "STACK_GLOBAL through the memo": b"\x80\x04\x8c\x06system\x940\x8c\x02os\x94h\x00\x93" + RUN + b"R.",
    "STACK_GLOBAL after DUP": b"\x80\x04\x8c\x02os2\x93" + RUN + b"R.",
    "names built by calls": b"\x80\x04c_codecs\nencode\n(\x8c\x02os\x8c\x06latin1tR\x8c\x06system\x93"
    + RUN
    + b"R.",
    "name joined by call": b"\x80\x04cbuiltins\nstr\n\x8c\x02os\x85R\x8c\x06system\x93" + RUN + b"R.",
    "dotted name": b"\x80\x04\x8c\x05torch\x8c\x17serialization.os.system\x93" + RUN + b"R.",
    "dotted globals": b"\x80\x04\x8c\x08argparse\x8c\x22Namespace.__init__.__globals__.get\x93)R.",
    "other spelling": b"c__builtin__\neval\n(S'1'\ntR.",
    "inner module": b"cos.path\nos\n.",
    "EXT1": b"\x80\x02\x82\x01" + RUN + b"R.",
    "EXT2": b"\x80\x02\x83\x01\x00" + RUN + b"R.",
    "EXT4": b"\x80\x02\x84\x01\x00\x00\x00" + RUN + b"R.",
    "memo swapped": b"cargparse\nNamespace\np0\n0cos\nsystem\np0\n0g0\n" + RUN + b"R.",
    "PERSID": b"Pos.system\n.",
    "BINPERSID": b"\x80\x02cos\nsystem\nQ.",
    "NEXT_BUFFER": b"\x80\x05\x97.",
    "READONLY_BUFFER": b"\x80\x05C\x01a\x98.",
    "calls a call": b"cargparse\nNamespace\n)R)R.",
    "calls a getattr": b"cbuiltins\ngetattr\n(cpathlib\nPath\nS'touch'\ntR(tR.",
    "INST of a getattr's name": b"(S'os'\nS'system'\nibuiltins\ngetattr\n" + RUN + b"R.",
    "OBJ of a getattr's name": b"(cbuiltins\ngetattr\nS'os'\nS'system'\no" + RUN + b"R.",
    "NEWOBJ of a partial": b"\x80\x02cfunctools\npartial\n(cpathlib\nPath\nt\x81)R.",
    "NEWOBJ_EX of a partial": b"\x80\x04cfunctools\npartial\n(cpathlib\nPath\nt}\x92)R.",
    "state of a getattr": b"cbuiltins\ngetattr\n}S'x'\nI1\nsb.",
    "getattr of old": b"c__builtin__\ngetattr\n(cpathlib\nPath\nS'touch'\ntR(tR.",
    "dill's function": _dill(b"_create_function", b"cpathlib\nPath\n") + b")R.",
    "dill's type of functions": _dill(b"_load_type", b"S'FunctionType'\n") + b"(tR)R.",
    "dill's type of methods": _dill(b"_load_type", b"S'MethodType'\n") + b"(cpathlib\nPath\ntR)R.",
    "dill's type that is no name": _dill(b"_load_type", b"S'os.system'\n") + RUN + b"R.",
    "dill's setattr": b"cbuiltins\ngetattr\n(cdill\n_dill\nS'_setattr'\ncbuiltins\nsetattr\ntR(tR)R.",
    "dill's getattr": b"cbuiltins\ngetattr\n(cdill\n_dill\nS'_getattribute'\ncbuiltins\ngetattr\ntR(tR.",
    "dill's attribute of a class": _dill(b"_get_attr", b"cpathlib\nPath\nS'touch'\n") + b"(tR.",
    "dill's attribute of a module": _dill(b"_get_attr", b"cpathlib\nos\nS'system'\n") + RUN + b"R.",
    "dill's module": _dill(b"_import_module", b"S'os'\n") + b".",
    "dill's module without a name": _dill(b"_import_module", b"I1\n") + b".",
    "dill's code": _dill(b"_eval_repr", b"S'1'\n") + b")R.",
    "calls text": b"S'os.system'\n)R.",
    "calls a tensor": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR)R.",
}


@pytest.mark.parametrize("name", BY_HAND)
def test_instructions_by_hand(name: str, tmp_path: Path) -> None:
    trace, before = tmp_path / "ran", set(sys.modules)
    with pytest.raises(ArtifactError, match=r"is refused|is damaged|refers to data outside itself"):
        read_tree(BY_HAND[name].replace(b"TRACE", str(trace).encode()))
    assert not trace.exists()
    assert set(sys.modules) == before


REFUSED = """
    os.system posix.system nt.system subprocess.Popen sys.modules importlib.import_module shutil.rmtree
    socket.socket runpy.run_path ctypes.CDLL operator.attrgetter functools.reduce _functools.partial
    functools.partial.func functools.partialmethod builtins.getattr.__call__ builtins.vars
    builtins.delattr builtins.hasattr
    types.FunctionType types.MethodType
    types.CodeType pickle.loads _pickle.loads cPickle.loads marshal.loads code.interact pty.spawn
    pdb.run bdb.Bdb timeit.timeit cProfile.run webbrowser.open builtins.eval builtins.exec
    builtins.compile builtins.open builtins.__import__
    builtins.globals builtins.map builtins.apply builtins.type __builtin__.eval __builtin__.execfile
    copyreg.add_extension copy_reg.pickle _codecs.decode codecs.open torch.load torch.hub.load
    torch.jit.load torch.serialization.load torch.package.PackageImporter torch.utils.data.DataLoader
    torch.save torch.storage.torch.load torch.ops.load_library torch.classes.load_library
    torch._C._jit_init numpy.load numpy.testing._private.utils.runstring numpy.f2py.compile
    numpy.lib.npyio.load multiprocessing.Process threading.Thread asyncio.run urllib.request.urlopen
    pip.main io.open tempfile.mkstemp logging.config.listen collections.OrderedDict.__init__.__globals__
    torch.nn.Module.__class__.__subclasses__ zipfile.ZipFile
"""


@pytest.mark.parametrize("name", REFUSED.split())
def test_names_that_are_refused_at_once(name: str) -> None:
    """Also where nothing is called: as a value, under protocol 0 and 4, and split at any dot."""
    parts = name.split(".")
    for cut in range(1, len(parts)):
        module, inner = ".".join(parts[:cut]), ".".join(parts[cut:])
        for written in (
            f"c{module}\n{inner}\n.".encode(),
            b"\x80\x04\x8c"
            + bytes([len(module)])
            + module.encode()
            + b"\x8c"
            + bytes([len(inner)])
            + inner.encode()
            + b"\x93.",
        ):
            with pytest.raises(ArtifactError, match="could run code"):
                read_tree(written)


@pytest.mark.parametrize("name", REFUSED.split())
def test_names_that_are_refused_as_dill_spells_them(name: str) -> None:
    """Compiled functions are named by a module and an attribute; the same names are refused."""
    module, _, own = name.rpartition(".")
    found = b"(S'%s'\ntR" % module.encode()
    written = b"cdill._dill\n_get_attr\n(cdill._dill\n_import_module\n" + found + b"S'%s'\ntR." % own.encode()
    with pytest.raises(ArtifactError, match="could run code"):
        read_tree(written)


# -- names that honest files mention -------------------------------------------------------------------------

INERT = ("builtins.getattr", "builtins.setattr", "functools.partial")


@pytest.mark.parametrize("name", INERT)
def test_inert_names_are_names(name: str) -> None:
    module, own = name.encode().split(b".")
    assert read_tree(b"c" + module + b"\n" + own + b"\n.") == Global(module.decode(), own.decode())
    found = read_tree(b"c" + module + b"\n" + own + b"\n(cpathlib\nPath\nS'y'\nI1\ntR.")
    assert (f"{found.module}.{found.name}", found.args[1:]) == (name, ("y", 1))


@pytest.mark.parametrize("protocol", range(6))
def test_inert_calls_are_not_made(protocol: int) -> None:
    """What they would do is done by Python's own reader, and shows."""
    for how, trace in (
        (Call(getattr, Call(Tripwire), "attribute"), lambda: "attribute" in Tripwire.looked),
        (Call(setattr, Tripwire, "planted", 1), lambda: hasattr(Tripwire, "planted")),
    ):
        Tripwire.looked.clear()
        if hasattr(Tripwire, "planted"):
            del Tripwire.planted
        written = pickle.dumps(how, protocol)
        found = read_tree(written)
        assert isinstance(found, Instance)
        assert found.module == "builtins"
        assert not trace()
        run_for_real(written)
        assert trace()


MENTIONS: list[Global | Instance] = [Global(*name.split(".")) for name in INERT]
MENTIONS += [Instance(*name.split("."), args=(1,)) for name in INERT]
MENTIONS += [Instance("dill._dill", n, (1,)) for n in ("_create_function", "MethodType", "_setattr")]


def _inside(tree: Any, network: str, *names: str) -> dict[str, Any]:
    """The attributes of a module of a snapshot."""
    record = tree[network]
    for name in names:
        record = record.state["_modules"][name]
    state: dict[str, Any] = record.state
    return state


@pytest.mark.parametrize("file", ["nvlabs_stylegan2/ada_skip_conditional.pkl", "stylegan3/r_conditional.pkl"])
def test_what_is_used_may_not_hold_them(file: str) -> None:
    """In any place of the generator and however deep; what lies beside it may."""
    reader = nvlabs_stylegan3 if file.startswith("stylegan3") else nvlabs_stylegan2
    tree = read_tree(FIXTURES / file)
    for value in MENTIONS:
        message = re.escape(f"file.pkl is refused: its G_ema holds {value.module}.{value.name},")
        for hidden in (value, [({"deep": (value,)},)], Instance("a", "b", (), {}, {"x": value})):
            for place in ((), ("mapping",), ("mapping", "fc0"), ("synthesis",)):
                state = _inside(tree, "G_ema", *place)
                for key in ("_forward_hooks", "forward", "w_dim"):
                    before = dict(state)
                    state[key] = hidden
                    with pytest.raises(ArtifactError, match=message):
                        reader.read(tree, Path("file.pkl"))
                    state.clear()
                    state.update(before)
        _inside(tree, "D")["_forward_hooks"] = tree["training_set_kwargs"] = value
        assert reader.read(tree, Path("file.pkl")).tensors


def test_a_used_network_may_not_be_deep() -> None:
    tree, deep = read_tree(FIXTURES / "stylegan3/r_conditional.pkl"), list[Any]()
    for _ in range(1000):
        deep = [deep]
    _inside(tree, "D")["_forward_hooks"] = deep
    assert nvlabs_stylegan3.read(tree, Path("file.pkl")).tensors
    _inside(tree, "G_ema")["_forward_hooks"] = deep
    with pytest.raises(
        ArtifactError, match=r"file\.pkl is refused: its values lie more than 400 levels deep"
    ):
        nvlabs_stylegan3.read(tree, Path("file.pkl"))


def test_networks_of_tensorflow_may_not_hold_them() -> None:
    network = read_tree(FIXTURES / "tensorflow/stylegan2.pkl")[2]
    for value in MENTIONS:
        network.state["static_kwargs"]["func"] = value
        with pytest.raises(ArtifactError, match=rf"file\.pkl is refused: its generator holds {value.module}"):
            tensorflow.read(network, Path("file.pkl"))


def test_stylegan_xl_is_read_without_its_bound_methods() -> None:
    """Its discriminator holds functions, their code and bound methods, as dill writes them: records here."""
    before = set(sys.modules)
    tree = read_tree(FIXTURES / "stylegan3/xl_conditional.pkl")
    names = {str(v.name) for v in walk(tree["D"]) if isinstance(v, Instance) and v.module == "dill._dill"}
    assert names >= {"_create_function", "_create_code", "_create_cell", "MethodType"}
    assert not any(is_inert(v) for v in walk(tree["G_ema"]))
    assert set(sys.modules) == before


def test_unknown_names_are_never_looked_up() -> None:
    before = set(sys.modules)
    for module in ("this", "antigravity_", "xml.dom.minidom", "no.such.module", "lefs", "turtledemo"):
        found = read_tree(f"c{module}\nanything\n(I1\ntR}}S'x'\nI2\nsb.".encode())
        assert (found.module, found.name, found.args, found.state) == (module, "anything", (1,), {"x": 2})
    assert set(sys.modules) == before


def test_attributes_of_real_things_cannot_be_set() -> None:
    """BUILD with a slot state sets attributes of whatever stands beneath: here nothing real ever does."""
    names = (
        b"cargparse\nNamespace\n",
        b"ctorch._utils\n_rebuild_tensor_v2\n",
        b"ccollections\nOrderedDict\n",
    )
    for name in names:
        for state in (b"}S'x'\nI1\ns", b"(N}S'x'\nI1\nst"):
            with pytest.raises(ArtifactError, match="sets attributes of"):
                read_tree(name + state + b"b.")
    for value in (b"I1\n", b"S'a'\n", b"(lp0\n", b"(t"):
        with pytest.raises(ArtifactError, match="sets attributes of"):
            read_tree(value + b"}S'x'\nI1\nsb.")
    for name in names:
        module, attribute = name[1:].decode().split()
        assert not hasattr(getattr(sys.modules[module], attribute), "x")
    assert not hasattr(Instance, "x")


def test_object_arrays_are_refused() -> None:
    for value in (
        np.array([{}], dtype=object),
        np.array([None, "a"], dtype=object),
        np.array({}, dtype=object),
    ):
        for protocol in range(6):
            with pytest.raises(ArtifactError, match="numpy array of Python objects"):
                read_tree(pickle.dumps(value, protocol))


def test_arrays_of_other_things_stay_records() -> None:
    for value in (
        np.array(["a"]),
        np.array([b"a"]),
        np.array(["2020-01-01"], dtype="M8[D]"),
        np.zeros(2, "f4,i4"),
    ):
        found = read_tree(pickle.dumps(value))
        assert (found.module, found.name, found.args[0]) == ("numpy", "ndarray", value.shape)


def test_arrays_before_their_content_go_nowhere() -> None:
    begun = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
    for rest in (b".", b"\x85.", b"p0\ng0\n.", b"2.", b"0N.", b"p0\n(g0\nl."):
        with pytest.raises(ArtifactError):
            read_tree(begun + rest)


# -- claims --------------------------------------------------------------------------------------------------

MEGABYTE = 2**20


def float_storage(geometry: bytes) -> bytes:
    """A tensor over three floats, with this offset, size and stride."""
    payload = saved(torch.ones(3)._typed_storage(), zipped=False)
    return (
        b"\x80\x04ctorch._utils\n_rebuild_tensor_v2\n(ctorch.storage\n_load_from_bytes\nB"
        + struct.pack("<I", len(payload)) + payload + b"\x85R" + geometry + b"\x89}tR."
    )  # fmt: skip


def array_of(shape: bytes, kind: bytes = b"f4", raw: bytes = b"") -> bytes:
    return (
        b"\x80\x04cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tC\x01btR(K\x01" + shape
        + b"cnumpy\ndtype\n(\x8c" + bytes([len(kind)]) + kind + b"K\x00K\x01tR(K\x03\x8c\x01<NNN"
        b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89C" + bytes([len(raw)]) + raw + b"tb."
    )  # fmt: skip


def squeezed(name: str, size: int, claimed: int | None = None) -> bytes:
    """A zip archive with a member of `size` zeros, of which its table of contents claims `claimed`."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, b"\0" * size)
    content = target.getvalue()
    return (
        content if claimed is None else content.replace(struct.pack("<I", size), struct.pack("<I", claimed))
    )


def changed_storage(items: int) -> bytes:
    whole = saved(torch.ones(3), zipped=False)
    return whole.replace(b"K\x03", b"\x8a\x08" + struct.pack("<q", items))


BIG = b"\x8a\x08" + struct.pack("<q", 2**42)
LAUGHS = b"\x80\x04)\x94" + b"".join(b"0h%ch%ch%c\x87\x94" % (i, i, i) for i in range(60)) + b"."
# name → (content, whether it may be read): what a few bytes may claim
CLAIMS: dict[str, Callable[[], bytes]] = {
    "bytes of 2^50": lambda: b"\x80\x04\x8e" + struct.pack("<Q", 2**50) + b"abc.",
    "text of 2^50": lambda: b"\x80\x04\x8d" + struct.pack("<Q", 2**50) + b"abc.",
    "text of 2^64 - 1": lambda: b"\x80\x04\x8d" + b"\xff" * 8 + b"abc.",
    "byte array of 2^50": lambda: b"\x80\x05\x96" + struct.pack("<Q", 2**50) + b"abc.",
    "old text of 2^31": lambda: b"T\xff\xff\xff\x7fabc.",
    "old text of -1": lambda: b"T\xff\xff\xff\xffabc.",
    "integer of 2^31 bytes": lambda: b"\x80\x02\x8b\xff\xff\xff\x7fabc.",
    "integer of a million digits": lambda: b"L" + b"9" * 1_000_000 + b"L\n.",
    "integer of a megabyte": lambda: b"\x80\x02\x8b" + struct.pack("<I", MEGABYTE) + b"\1" * MEGABYTE + b".",
    "name of a megabyte": lambda: b"c" + b"a" * MEGABYTE + b"\nb\n.",
    "bytes(10^12)": lambda: b"\x80\x04cbuiltins\nbytes\n" + BIG + b"\x85R.",
    "bytearray(10^12)": lambda: b"\x80\x04cbuiltins\nbytearray\n" + BIG + b"\x85R.",
    "list(range(10^12))": lambda: b"\x80\x04cbuiltins\nlist\ncbuiltins\nrange\n" + BIG + b"\x85R\x85R.",
    "int of text": lambda: b"\x80\x04cbuiltins\nint\n\x8c\x019\x85R.",
    "codec that inflates": lambda: b"\x80\x04c_codecs\nencode\n\x8c\x01a\x8c\x04zlib\x86R.",
    "tensor beyond its storage": lambda: float_storage(b"K\x00K\x04\x85K\x01\x85"),
    "offset beyond the storage": lambda: float_storage(b"K\x03K\x01\x85K\x01\x85"),
    "offset below zero": lambda: float_storage(b"J\xff\xff\xff\xffK\x01\x85K\x01\x85"),
    "stride beyond the storage": lambda: float_storage(b"K\x00K\x02\x85K\x03\x85"),
    "stride below zero": lambda: float_storage(b"K\x02K\x02\x85J\xff\xff\xff\xff\x85"),
    "stride 0, 2^42 items": lambda: float_storage(b"K\x00" + BIG + b"\x85K\x00\x85"),
    "stride 0, 2^20 items": lambda: float_storage(b"K\x00J\x00\x00\x10\x00\x85K\x00\x85"),
    "stride 0, twice 2^42": lambda: float_storage(b"K\x00" + BIG + BIG + b"\x86K\x00K\x00\x86"),
    "stride 0, 2^42 and 0": lambda: float_storage(b"K\x00" + BIG + BIG + b"K\x00\x87K\x00K\x00K\x00\x87"),
    "size of floats": lambda: float_storage(b"K\x00G?\xf0\x00\x00\x00\x00\x00\x00\x85K\x01\x85"),
    "laughs as a stride": lambda: float_storage(b"K\x00K\x01\x85" + LAUGHS[2:-1] + b"\x85"),
    "laughs as an offset": lambda: float_storage(LAUGHS[2:-1] + b"K\x01\x85K\x01\x85"),
    "sizes and strides differ": lambda: float_storage(b"K\x00K\x01\x85K\x01K\x01\x86"),
    "storage of 2^60 items": lambda: changed_storage(2**60),
    "storage of 2^40 items": lambda: changed_storage(2**40),
    "storage of -1 items": lambda: changed_storage(-1),
    "storage of 4 items": lambda: changed_storage(4),
    "array of 2^42": lambda: array_of(BIG + b"\x85"),
    "array of 2^42 by 0": lambda: array_of(BIG + BIG + b"K\x00\x87"),
    "array below zero": lambda: array_of(b"J\xff\xff\xff\xff\x85"),
    "array of 33 dimensions": lambda: array_of(b"(" + b"K\x01" * 33 + b"t", raw=b"\0" * 4),
    "array too short": lambda: array_of(b"K\x02\x85", raw=b"\0" * 4),
    "tuples a million deep": lambda: b"\x80\x04)" + b"\x85" * 1_000_000 + b".",
    "lists a hundred thousand deep": lambda: b"\x80\x04" + b"]" * 100_000 + b"a" * 99_999 + b".",
    "marks without end": lambda: b"\x80\x04" + b"(" * 1_500_000,
    "sets without end": lambda: b"\x80\x04" + b"\x8f" * 1_500_000,
    "values without end": lambda: b"\x80\x04" + b"N0" * 1_500_000 + b"N.",
    "frame of 2^60": lambda: b"\x80\x04" + b"\x95" + b"\x10" * 8 + b"\x8e" + b"\x10" * 8 + b".",
    "keys that hash alike": lambda: b"\x80\x04}(" + b"".join(
        b"\x8a\x0b" + (i * (2**61 - 1)).to_bytes(11, "little") + b"N" for i in range(1, 5000)) + b"u.",
    "key of 4^40 parts": lambda: b"\x80\x04}" + LAUGHS[2:-1] + b"Ns.",
    "lists copied over and over": lambda: b"\x80\x04(" + b"N" * 10_000
        + b"t\x94cbuiltins\nlist\nh\x00\x85\x94"
        + b"0cbuiltins\nlist\n\x94" + b"h\x02h\x01R0" * 10_000 + b"N.",
    "bytes copied over and over": lambda: b"\x80\x04c_codecs\nencode\n\x94X" + struct.pack("<I", 60_000)
        + b"a" * 60_000 + b"\x8c\x06latin1\x86\x94" + b"h\x00h\x01R0" * 10_000 + b"N.",
    "keys that are compared for long": lambda: b"\x80\x04}\x94"
        + (b"X\x40\x42\x0f\0" + b"a" * 1_000_000 + b"\x94") * 2
        + b"000h\x00h\x01Ns" + b"h\x02Ns" * 30_000 + b".",
    "tuples that hash alike": lambda: b"\x80\x04}(" + b"".join(
        b"J" + struct.pack("<i", i) + b"K\x01\x86N" for i in range(6000)) + b"u.",
    "complex keys": lambda: b"\x80\x04}cbuiltins\ncomplex\nK\x01K\x02\x86RNs.",
    "memo names that hash alike": lambda: b"(" + b"".join(
        b"Np%d\n" % (i * (2**61 - 1)) for i in range(1, 5000)) + b"t.",
    "laughs as a version": lambda: LEGACY + LAUGHS + b"}." + b"N." * 2,
    "laughs as a storage": lambda: LEGACY + b"\x80\x02M\xe9\x03.}.N." + LAUGHS[:-1] + b"\x85" + b".",
    "numbers copied over and over": lambda: b"\x80\x04cnumpy.core.multiarray\nscalar\n\x94"
        + b"cnumpy\ndtype\n\x8c\x02S8\x85R"
        + b"B" + struct.pack("<I", 60_000) + b"a" * 60_000 + b"\x86\x94R0" + b"h\x00h\x01R0" * 30_000 + b"N.",
    "records within records": lambda: b"\x80\x04ca\nB\n\x94" + b"h\x00" * 100_000 + b")R"
        + b"\x85R" * 100_000 + b".",
    "a payload read over and over": lambda: float_storage(b"")[:-5].replace(b"\x85R", b"\x85\x94", 1)
        + b"0ctorch.storage\n_load_from_bytes\n\x94" + b"h\x01h\x00R0" * 30_000 + b"N.",
    "payloads in payloads": lambda: nested(50),
    "zip bomb": lambda: squeezed("a/data.pkl", 200 * MEGABYTE),
    "zip bomb that claims little": lambda: squeezed("a/data.pkl", 200 * MEGABYTE, 1000),
    "zip with a table of 2^32": lambda: b"PK\3\4" + b"\0" * 30 + b"PK\1\2" + b"\xff" * 60
        + b"PK\5\6" + b"\0" * 4 + b"\xff\xff" * 2 + b"\xff" * 4 + struct.pack("<I", 34) + b"\0\0",
}  # fmt: skip


def nested(depth: int) -> bytes:
    content: Any = Call(torch.storage._load_from_bytes, b"")
    for _ in range(depth):
        content = Call(torch.storage._load_from_bytes, saved(content, zipped=False, protocol=4))
    return pickle.dumps(content)


MEASURE = """
import json, resource, sys, time
sys.path.insert(0, sys.argv[1])
import test_hostile as t

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

t.read_tree_or_error(b"")
found = {}
for name, make in t.CLAIMS.items():
    content = make()
    before, started = peak(), time.process_time()
    error = t.read_tree_or_error(content)
    seconds = time.process_time() - started
    found[name] = {"error": str(error), "seconds": seconds, "megabytes": peak() - before}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def measured() -> dict[str, dict[str, Any]]:
    """Every claim read in a process of its own, where memory that Python does not see counts too."""
    command = [sys.executable, "-c", MEASURE, str(Path(__file__).parent)]
    done = subprocess.run(command, check=True, capture_output=True, cwd=Path(__file__).parents[1])
    result: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("name", CLAIMS)
def test_claims_are_refused_before_memory_is_taken(name: str, measured: dict[str, dict[str, Any]]) -> None:
    found = measured[name]
    assert found["error"].startswith("the content is ")
    assert found["megabytes"] < 100
    assert found["seconds"] < 10


def read_tree_or_error(written: bytes) -> Any:
    """The error, or a note that there was none."""
    try:
        read_tree(written)
    except ArtifactError as error:
        return error
    return "it was read"


def test_a_billion_laughs_take_no_longer_than_a_few() -> None:
    found = read_tree(LAUGHS)
    assert len(list(walk(found))) == 61


@pytest.mark.timeout(60)
def test_errors_do_not_write_out_what_is_shared_without_end() -> None:
    laughs = read_tree(LAUGHS)
    for file, reader, changes in (
        ("stylegan3/t.pkl", nvlabs_stylegan3, {"layer_names": [laughs]}),
        ("stylegan3/t.pkl", nvlabs_stylegan3, {"L0_36_10": {"padding": [laughs] * 4}}),
    ):
        tree = read_tree(FIXTURES / file)
        for name, value in changes.items():
            inside = () if name == "layer_names" else (name,)
            _inside(tree, "G_ema", "synthesis", *inside).update(value if inside else {name: value})
        with pytest.raises(ArtifactError):
            reader.read(tree, Path("file.pkl"))
    network = read_tree(FIXTURES / "tensorflow/stylegan2.pkl")[2]
    network.state["build_func_name"] = laughs
    with pytest.raises(ArtifactError, match="holds networks built by nobody"):
        tensorflow.read(network, Path("file.pkl"))


def test_what_holds_no_network_is_refused_for_what_it_is(tmp_path: Path) -> None:
    written = tmp_path / "tensors.pkl"
    written.write_bytes(FILES["tensors in a pickle"])
    with pytest.raises(ArtifactError, match=r"tensors\.pkl holds no generator that lefs knows"):
        lefs.load(written)
    written.write_bytes(b"\x80\x04" + b"]" * 1000 + b"a" * 999 + b".")
    with pytest.raises(ArtifactError, match=r"tensors\.pkl is refused: its values lie more than 400 levels"):
        lefs.load(written)


# -- broken files --------------------------------------------------------------------------------------------


def small_files() -> dict[str, bytes]:
    """A few hundred bytes each, with everything that occurs in weights files."""
    tensors = {"w": torch.arange(6.0).view(2, 3), "b": torch.ones(2).half().t()}
    arrays = {
        "a": np.arange(6.0).reshape(2, 3),
        "s": np.float32(1),
        "n": [1, 2.5, "x", None, True],
        "k": {1: {2}},
    }
    files = {f"protocol {p}": pickle.dumps(arrays, p) for p in range(6)}
    files["tensors in a pickle"] = pickle.dumps({"G_ema": tensors["w"]})
    files["zip"] = saved(tensors, zipped=True)
    files["legacy"] = saved(tensors, zipped=False)
    return files


FILES = small_files()


def survives(reader: Callable[[bytes], Any], written: bytes) -> bool:
    """Whether `written` can be read; fails on anything but a sound tree or an `ArtifactError`."""
    try:
        tree = reader(written)
    except ArtifactError:
        return False
    for value in walk(tree):
        assert isinstance(value, SOUND), type(value)
        if isinstance(value, torch.Tensor):
            # Reading every item shows that the memory is there.
            assert value.numel() <= max(len(written), 4096)
            assert value.dtype is torch.bool or value.abs().sum().item() is not None
    return True


SOUND = (
    *(type(None), bool, int, float, complex, str, bytes, memoryview, tuple, list, dict, set, frozenset),
    *(torch.Tensor, Instance, type(read_tree(b"ca\nb\n."))),
)


@pytest.mark.parametrize("name", FILES)
def test_truncated_at_every_length(name: str) -> None:
    written = FILES[name]
    assert survives(read_tree, written)
    assert not any(survives(read_tree, written[:length]) for length in range(len(written)))


@pytest.mark.parametrize("name", FILES)
def test_a_thousand_mutations_of_each(name: str, record_property: Callable[[str, object], None]) -> None:
    record_property("inputs", 1000)
    rng = np.random.default_rng(len(name))
    sum(survives(read_tree, mutated(FILES[name], rng)) for _ in range(1000))


# What a random program is put together from: values, containers, memo, names, calls, arrays and storages.
F4 = b"cnumpy\ndtype\n\x8c\x02f4\x85R"
BEGUN = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR"
PARTS = [
    *(bytes([b]) for b in b"(.012NRQabde}l]ostu)\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94"),
    *(b"K\x00", b"K\x03", b"M\xff\xff", b"J\xff\xff\xff\xff", b"I01\n", b"F1.5\n", b"S'ab'\n", b"V\\u00e9\n"),
    *(b"h\x00", b"h\x01", b"q\x00", b"q\x01", b"g0\n", b"p1\n", b"\x8a\x02\x01\x01", b"U\x04abcd"),
    *(b"X\x01\0\0\0a", b"C\x08" + bytes(8), b"\x8c\x02f4", b"\x8c\x06latin1", b"G?\xf0\0\0\0\0\0\0"),
    *(b"\x80\x04", b"K\x02\x85", b"}\x8c\x01xK\x01sb", b"ca\nEasyDict\n)R", b"ca\nB\n)R"),
    *(b"ccollections\nOrderedDict\n", b"cbuiltins\nset\n", b"cbuiltins\nlist\n", b"cbuiltins\nbytes\n"),
    *(b"ca\nB\n", b"c_codecs\nencode\n", b"ccopyreg\n_reconstructor\n", b"cbuiltins\nobject\n"),
    *(b"cnumpy\nndarray\n", b"cnumpy\ndtype\n", b"cnumpy.core.multiarray\n_reconstruct\n", BEGUN),
    *(b"cnumpy.core.multiarray\nscalar\n", b"cnumpy.core.numeric\n_frombuffer\n", F4),
    *(b"(K\x01K\x02\x85" + F4 + b"\x89C\x08" + bytes(8) + b"tb", b"ctorch\nFloatStorage\n"),
    *(b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch.storage\n_load_from_bytes\n"),
]  # fmt: skip


def program(rng: np.random.Generator) -> bytes:
    """A random row of instructions, of which each by itself makes sense."""
    return b"\x80\x04" + b"".join(PARTS[i] for i in rng.integers(len(PARTS), size=rng.integers(1, 30))) + b"."


def test_random_programs(record_property: Callable[[str, object], None]) -> None:
    record_property("inputs", 4000)
    rng = np.random.default_rng(0)
    read = sum(survives(read_tree, program(rng)) for _ in range(4000))
    assert read > 20, "hardly any of the programs makes sense"


def fuzzed(inputs: int, seed: int) -> tuple[int, float]:
    """Read so many programs and mutated files: how many could be read, and what the peak grew by in MiB."""
    rng, names, read = np.random.default_rng(seed), list(FILES), 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for i in range(inputs):
        if i % 3 == 0:
            read += survives(read_tree, program(rng))
            continue
        name = names[i % len(names)]
        written = FILES[name]
        for _ in range(int(rng.integers(1, 6))):
            written = mutated(written, rng) or b"."
        read += survives(read_tree, written)
    return read, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


FUZZ = """
import json, sys
sys.path.insert(0, sys.argv[1])
import test_hostile as t
print(json.dumps(t.fuzzed(int(sys.argv[2]), int(sys.argv[3]))))
"""


@pytest.mark.slow
@pytest.mark.parametrize("usual", [60_000, pytest.param(300_000, marks=pytest.mark.soak)])
def test_fuzz(usual: int, record_property: Callable[[str, object], None]) -> None:
    """A long run: LEFS_FUZZ inputs, or as many as are usual, from seed LEFS_FUZZ_SEED, in two processes."""
    inputs, seed = int(os.environ.get("LEFS_FUZZ", usual)), int(os.environ.get("LEFS_FUZZ_SEED", "1"))
    record_property("inputs", inputs)
    here = Path(__file__).parent
    shares = {seed: inputs - inputs // 2, seed + 1: inputs // 2}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", FUZZ, str(here), str(count), str(own)],
            cwd=here.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for own, count in shares.items()
    ]  # fmt: skip
    for process, (own, count) in zip(running, shares.items(), strict=True):
        written, errors = process.communicate()
        assert process.returncode == 0, f"LEFS_FUZZ={2 * count} LEFS_FUZZ_SEED={own}\n{errors}"
        read, grown = json.loads(written)
        sys.stdout.write(f"\n{count:,} inputs, {read:,} could be read, {grown:.0f} MiB more at the peak\n")
        assert read
        assert grown < 300


def test_deflated_checkpoints_that_lie_about_their_size() -> None:
    content = saved([1, 2], zipped=True)
    source, target = zipfile.ZipFile(io.BytesIO(content)), io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in source.namelist():
            archive.writestr(name, source.read(name))
    packed = target.getvalue()
    assert read_tree(packed) == [1, 2]
    size = len(source.read("archive/data.pkl"))
    for claimed in (size - 1, size + 1, 0):
        with pytest.raises(ArtifactError, match=r"does not have the|cannot be unpacked"):
            read_tree(packed.replace(struct.pack("<I", size), struct.pack("<I", claimed)))


def rezipped(change: Callable[[bytes], bytes]) -> bytes:
    """A checkpoint whose table of contents, behind its members, is changed."""
    content = saved(torch.arange(6.0), zipped=True)
    start = content.index(b"PK\1\2")
    return content[:start] + change(content[start:])


def _moved(table: bytes) -> bytes:
    """Every member at the place of the first one."""
    at = 0
    while (at := table.find(b"PK\1\2", at)) >= 0:
        table = table[: at + 42] + bytes(4) + table[at + 46 :]
        at += 46
    return table


ARCHIVES: dict[str, tuple[Callable[[], bytes], str]] = {
    "members over each other": (lambda: rezipped(_moved), "lie over each other"),
    "encrypted": (
        lambda: rezipped(lambda t: t[:8] + b"\1\0" + t[10:]),
        "encrypted",
    ),
    "packed otherwise": (lambda: rezipped(lambda t: t[:10] + b"\x0c\0" + t[12:]), "never uses"),
    "members that are elsewhere": (
        lambda: rezipped(lambda t: t[:42] + struct.pack("<I", 5) + t[46:]),
        "lie over|is not where",
    ),
    "members beyond the end": (
        lambda: rezipped(lambda t: t[:20] + struct.pack("<II", 2**30, 2**30) + t[28:]),
        "lie over|beyond",
    ),
    "a name that is no text": (
        lambda: rezipped(lambda t: t[:8] + b"\0\x08" + t[10:46] + b"\xff" + t[47:]),
        "is damaged",
    ),
    "a table of a million members": (
        lambda: _crowded(1_000_000),
        "table of contents at its end is missing, broken or larger",
    ),
}


def _crowded(count: int) -> bytes:
    whole = rezipped(lambda table: table)
    start = whole.index(b"PK\1\2")
    entry = whole[start : whole.index(b"PK\1\2", start + 1)]
    table = entry * count
    return (
        whole[:start]
        + table
        + b"PK\5\6"
        + bytes(4)
        + b"\xff\xff" * 2
        + struct.pack("<IIH", len(table), start, 0)
    )


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives_that_contradict_themselves(name: str) -> None:
    make, expected = ARCHIVES[name]
    before = set(sys.modules)
    with pytest.raises(ArtifactError, match=expected):
        read_tree(make())
    assert set(sys.modules) == before
