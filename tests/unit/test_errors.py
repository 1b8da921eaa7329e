import errno
from resource import RLIM_INFINITY

import pytest

from astromodal.errors import FormatError, machine_error, must_be, nearest, suggestion


def test_must_be_says_what_must_got_and_do():
    """An error names the thing, the demand, the finding and the remedy."""
    assert must_be("a.b", "an int", 1.5, "round it") == "a.b must be an int, got 1.5; round it"


def test_must_be_shows_text_as_it_is():
    """A finding that is text already is not quoted again."""
    assert must_be("a", "b", "nothing") == "a must be b, got nothing"


def test_nearest_finds_the_closest_spelling():
    """A misspelt name leads to the right one."""
    assert nearest("mag_pstotal_r", ["mag_psf_r", "ra", "dec"]) == "mag_psf_r"


def test_nearest_is_none_where_nothing_is_close():
    """No suggestion is better than a silly one."""
    assert nearest("parallax", ["ra", "id"]) is None
    assert suggestion("parallax", ["ra", "id"]) == ""


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.ENOSPC, "on a disk with room for it, got No space left on device; make room"),
        (errno.EDQUOT, "within your quota, got Disk quota exceeded; delete what is not needed"),
        (errno.EFBIG, "within the limit of a file's size, got File too large; raise it"),
        (errno.EROFS, "on a disk that may be written, got Read-only file system; have it mounted"),
        (errno.EACCES, "yours to read and write, got Permission denied; see whose"),
        (errno.EPERM, "yours to read and write, got Operation not permitted; see whose"),
        (errno.EIO, "on a disk that works, got Input/output error; see what the system says"),
    ],
)
def test_what_the_disk_refuses(code, message):
    """An error of the disk names the file, what is wrong with the disk, and the remedy."""
    text = str(machine_error(OSError(code, "text", "a.npz")))
    assert text.startswith(f"a.npz must be {message}")
    assert text.endswith("and run the same command again")


def test_the_file_is_the_one_that_was_written():
    """Writes of bytes name no file: whoever writes them does."""
    error = OSError(errno.ENOSPC, "text")
    assert machine_error(error) is None
    assert "b.npz must be on a disk" in str(machine_error(error, "b.npz"))


def test_the_cause_of_a_library_s_error():
    """A full disk is found behind what a library made of it, unless it said that it is not."""
    behind = RuntimeError("unexpected pos 704")
    behind.__context__ = OSError(errno.ENOSPC, "text", "a.pt")
    assert "a.pt must be on a disk" in str(machine_error(behind))
    behind.__suppress_context__ = True
    assert machine_error(behind) is None


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 3 GiB"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."),
        RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"),
        OSError("Failed to launch worker thread: Resource temporarily unavailable"),
        RuntimeError("can't start new thread"),
        ImportError("libtorch.so: failed to map segment from shared object"),
    ],
)
def test_too_little_memory(error):
    """However a library says it, memory is short, and the message has the remedy."""
    assert str(machine_error(error)).startswith("memory must be enough for the job, got ")
    behind = FormatError("a.pt must be whole, got a file that cannot be read; delete it")
    behind.__cause__ = error
    assert "run fewer jobs at once (--cores)" in str(machine_error(behind))


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EMFILE, "Too many open files", "a"),
        OSError(errno.ENFILE, "Too many open files in system"),
        RuntimeError("unable to open file </a> in read-only mode: Too many open files (24)"),
    ],
)
def test_too_many_open_files(error):
    """However a library says it, the limit is named, and how it is raised."""
    text = str(machine_error(error, "b.npz"))
    assert text.startswith("open files must be fewer than the system allows, got Too many open")
    assert "ulimit -n" in text


def test_other_errors_are_not_the_machine_s():
    """A file that is not there, and a bug, are what they are."""
    assert machine_error(FileNotFoundError(errno.ENOENT, "text", "a")) is None
    assert machine_error(KeyError("a")) is None


@pytest.mark.parametrize(("limit", "is_memory"), [(1 << 40, True), (RLIM_INFINITY, False)])
def test_an_error_of_python_s_own_where_the_address_space_is_limited(monkeypatch, limit, is_memory):
    """A library in C that forgets to say why it failed had too little of it; else nobody knows."""
    monkeypatch.setattr("resource.getrlimit", lambda _: (limit, RLIM_INFINITY))
    found = machine_error(SystemError("error return without exception set"))
    assert (found is not None) == is_memory
