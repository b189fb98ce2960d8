"""Ports for what the tests start on loopback addresses."""
import random
import socket

LOWEST = 10000  # below are services of this machine's own, which may come up at any time
HANDED_OUT = set()


def given_to_connections():
    """The kernel's range for the near end of connections that go out: whatever is free in it may be one's by the
    time that a server wants it."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as f:
        first, last = map(int, f.read().split())
    return range(first, last + 1)


def free(address, port):
    with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        try:
            stream.bind((address, port))
            datagrams.bind((address, port))
            return True
        except OSError:
            return False


def free_port(address):
    """A port of this address that is free for TCP and UDP. This process never gets the same port twice, on whatever
    address: nobody listens yet on the one handed out before, so that the kernel takes it for free still."""
    taken = given_to_connections()
    for _ in range(1000):
        port = random.randrange(LOWEST, 65536)
        if port not in taken and port not in HANDED_OUT and free(address, port):
            HANDED_OUT.add(port)
            return port
    raise OSError(f"no free port of {address} found from {LOWEST} on, outside {taken.start}-{taken.stop - 1}")
