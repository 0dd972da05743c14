"""Which names a file may mention. What is merely unknown stays inert; what runs code is an error at once."""

from __future__ import annotations

from lefs.files.reading.values import Global, Instance, damaged, refused

__all__ = ["is_inert", "is_plain_type", "name_global"]

_RENAMED = {"__builtin__": "builtins", "copy_reg": "copyreg"}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Top-level modules whose mention in a weights file has no honest reason.
_DANGEROUS = _words("""
    os posix nt ntpath posixpath subprocess _posixsubprocess sys importlib _frozen_importlib shutil socket
    _socket runpy ctypes _ctypes operator _operator functools _functools types pickle _pickle cPickle
    pickletools marshal code codeop codecs pty pdb bdb timeit cProfile profile doctest unittest webbrowser
    commands popen2 platform tempfile io _io pip setuptools distutils ensurepip venv site gc inspect ast dis
    imp pkgutil zipimport atexit signal _signal resource fcntl mmap linecache logging idlelib lib2to3 pydoc
    threading _thread thread multiprocessing concurrent asyncio ssl urllib urllib2 urllib3 http httplib
    httplib2 ftplib smtplib telnetlib poplib imaplib nntplib xmlrpc xmlrpclib socketserver SocketServer
    requests aiohttp paramiko fabric antigravity shelve dbm sqlite3 _sqlite3 zipfile tarfile fileinput getpass
    pwd spwd crypt winreg _winreg msvcrt winapi _winapi pipes asyncore joblib cloudpickle IPython ipykernel
    nbformat execnet pexpect psutil cffi
""")
# Modules of which only a few names are harmless.
_STRICT = _words("builtins __builtins__ copyreg _codecs types")
_HARMLESS = {
    "builtins": _words("""
        set frozenset list dict tuple object bytes bytearray int float complex bool str unicode long slice
        range xrange basestring NoneType NotImplementedType ellipsis
    """),
    "copyreg": _words("_reconstructor __newobj__ __newobj_ex__"),
    "_codecs": _words("encode"),
    "types": _words("SimpleNamespace NoneType NotImplementedType EllipsisType"),
}
_TORCH_RUNS_CODE = _words("""
    hub jit serialization package ops classes _ops _C _inductor _dynamo distributed multiprocessing utils onnx
    fx export testing compiler load save compile frombuffer from_file tensor as_tensor import_ir_module
""")
_NUMPY_RUNS_CODE = _words("load save savez fromfile memmap DataSource f2py testing distutils ctypeslib lib")
_INNER = _words("eval exec system popen getattr __import__ __globals__ __builtins__ __subclasses__")


# Names that could run code elsewhere and that honest files mention, as the parts of StyleGAN-XL's that hold
# bound methods and hooks. Here their calls are records like any other, and no reader may use what holds one.
_INERT = frozenset([("builtins", "getattr"), ("builtins", "setattr"), ("functools", "partial")])


_RECORDS = (Global, Instance)


def is_plain_type(name: str) -> bool:
    """Whether `name` is that of a type of values, such as ``"set"``."""
    return name in _HARMLESS["builtins"]


def is_inert(value: object) -> bool:
    """Whether `value` is the name, or the record of a call, of what no part that is used may hold."""
    if not isinstance(value, _RECORDS):
        return False
    return (value.module, value.name) in _INERT or value.module.startswith("dill.")


def name_global(module: str, name: str) -> Global:
    """The record of ``module.name``.

    Raises
    ------
    ArtifactError
        If it belongs to what could run code; the message names it.
    """
    if not (0 < len(module) <= 500 and 0 < len(name) <= 500 and (module + name).isprintable()):
        raise damaged("what stands where the name of a class is expected is none")
    module = _RENAMED.get(module, module)
    if _runs_code(module, name):
        raise refused(f"it asks for {module}.{name}, which could run code and which no weights file needs")
    return Global(module, name)


def _runs_code(module: str, name: str) -> bool:
    if name in _HARMLESS.get(module, ()) or (module, name) in _INERT:
        return False
    first, *inner = module.split(".")
    path = [*inner, *name.split(".")]
    if first in _DANGEROUS or first in _STRICT or _INNER.intersection(path):
        return True
    if first == "torch" and path[0] == "storage":
        return path[-1] != "_load_from_bytes" and not path[-1].endswith("Storage")
    return path[0] in {"torch": _TORCH_RUNS_CODE, "numpy": _NUMPY_RUNS_CODE}.get(first, ())
