"""Scenarios that need a name server on port 53, which is the only one that the system's resolver asks."""
import functools
import os
import shutil
import subprocess
import sys
import tempfile

from registry import check, scenario

NAME_SERVER = "127.0.0.153"  # in a network namespace of our own: the system's port 53 is not touched


def in_own_network(*programs):
    """Runs the scenario in a network of its own, where /etc/resolv.conf names our server and anybody may listen on its
    port; skips where that, or one of the programs, is not to be had."""
    def wrap(f):
        @functools.wraps(f)
        def outer():
            if os.environ.get("RELEVO_OWN_NETWORK") == f.__name__:
                return f()
            missing = [p for p in ("unshare", "ip", "mount", *programs) if not shutil.which(p)]
            trial = ["unshare", "-n", "-m", "true"]
            if missing or subprocess.run(trial, capture_output=True).returncode != 0:
                why = (", ".join(missing) + " not installed" if missing
                       else "no right to make network namespaces (root has)")
                print(f"SKIPPED: {f.__name__}: {why}", flush=True)
                sys.exit(77)
            with tempfile.NamedTemporaryFile("w", prefix="relevo-resolv-") as resolv:
                resolv.write(f"nameserver {NAME_SERVER}\noptions timeout:1 attempts:2\n")
                resolv.flush()
                os.chmod(resolv.name, 0o644)
                done = subprocess.run(
                    ["unshare", "-n", "-m", "sh", "-c",
                     'ip link set lo up && echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start && '
                     'mount --bind "$1" /etc/resolv.conf && shift && exec "$@"',
                     "sh", resolv.name, sys.executable, os.path.abspath(sys.modules[f.__module__].__file__),
                     f.__name__],
                    env={**os.environ, "RELEVO_OWN_NETWORK": f.__name__})
            check(done.returncode == 0, f"in its own network: exit code {done.returncode}")
        return scenario(outer)
    return wrap
