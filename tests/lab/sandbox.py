"""Namespaces of our own for a whole test: network, mounts, processes, shared memory. Nothing in them can reach
anything outside or be met by a second run, and the kernel removes all of it (processes, bridges, loop mounts) with
the test's first process, however that ends. Only the directory is ours to remove: a run that was killed with -9
leaves it to the next one.

  sys.exit(sandbox.run(main))      main(directory) -> exit code, inside; its Ctrl-C is a KeyboardInterrupt
"""
import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

INSIDE = "RELEVO_SANDBOX"  # "directory:file descriptor", set for the inner half
NEEDED = ("ip", "nft", "unshare", "nsenter", "setpriv", "mount")
UNSHARE = ["unshare", "--net", "--mount", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc"]
TRIAL = ("ip link add name lab0 type bridge && ip link add name v0 type veth peer name v1 && nft add table inet t && "
         "mount -t tmpfs tmpfs /dev/shm")
SECONDS_TO_END = 20


def unavailable():
    """Why there can be no hosts of our own here, or None."""
    if os.geteuid() != 0:
        return "hosts in network namespaces need root"
    missing = [p for p in NEEDED if not shutil.which(p)]
    if missing:
        return f"{', '.join(missing)} not installed (make deps installs what is missing)"
    trial = subprocess.run([*UNSHARE, "sh", "-c", TRIAL], capture_output=True, text=True)
    if trial.returncode:
        return "this machine gives no namespaces with bridges and nftables: " + trial.stderr.strip()
    return None


def run(main, prefix="relevo-hosts-"):
    if INSIDE in os.environ:
        return inside(main)
    sweep(prefix)
    directory = tempfile.mkdtemp(prefix=prefix)
    os.chmod(directory, 0o755)
    lock = os.open(directory, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    read, write = os.pipe()
    # A session of its own: Ctrl-C reaches it through the pipe, once, and so does our death.
    inner = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *UNSHARE, sys.executable, *sys.argv],
                             env={**os.environ, INSIDE: f"{directory}:{read}"}, pass_fds=[read],
                             start_new_session=True)
    os.close(read)

    def end(*_):
        try:
            os.write(write, b"!")
        except OSError:
            pass
        threading.Timer(SECONDS_TO_END, inner.kill).start()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    code = inner.wait()
    shutil.rmtree(directory, ignore_errors=True)
    sys.stdout.flush()
    os._exit(code if code >= 0 else 128 - code)  # without waiting for the timer


def sweep(prefix):
    """What runs left that could not clear up: nobody holds its lock, and it is not just being made."""
    place = tempfile.gettempdir()
    for name in os.listdir(place):
        path = os.path.join(place, name)
        try:
            if not name.startswith(prefix) or time.time() - os.stat(path).st_ctime < 10:
                continue
            held = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(held)
        except OSError:
            pass


def inside(main):
    """Process 1 of the namespace: it ends orphans, as an init does; its child is the test."""
    directory, read = os.environ.pop(INSIDE).rsplit(":", 1)
    read = int(read)
    os.set_inheritable(read, False)
    os.makedirs("/run/netns", exist_ok=True)
    for place in ("/dev/shm", "/run/netns"):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", place], check=True)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` has it ignored
            threading.Thread(target=obey, args=(read,), daemon=True).start()
            code = main(directory)
        except KeyboardInterrupt:
            code = 130
        except SystemExit as e:
            code = e.code if isinstance(e.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code or 0)
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            os._exit(os.waitstatus_to_exitcode(status) & 0xff)


def obey(read):
    while os.read(read, 1):
        os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGKILL)  # the outer half is dead


LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


def enter_network(fd):
    """The calling thread's new sockets are that namespace's from now on; old ones stay where they are."""
    if LIBC.setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def run_test(main, prefix):
    """A test's last line: main(directory) in a sandbox, or the reason why it is skipped, for ctest (77)."""
    why = unavailable()
    if why:
        print(f"SKIPPED: {why}")
        sys.exit(77)
    sys.exit(run(main, prefix))
