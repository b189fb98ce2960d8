#!/usr/bin/python3
"""The primary's host loses power under eight clients behind a gateway: nobody hangs, neither where the gateway may end
the dead connections nor where only their own timeouts do. Needs namespaces (root)."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lab"))
import sandbox  # noqa: E402
from gateway_outages import Led, describe, measure  # noqa: E402
from host_lab import HostLab  # noqa: E402

DYNAMIC = {"ttl": 30, "loop_wait": 2, "retry_timeout": 5, "primary_start_timeout": 0, "synchronous_mode": "quorum"}


def loses_power(lab, number, may_end_connections):
    gateway = Led(lab, f"gw-{number}", host=lab.client)
    gateway.may_end_connections = may_end_connections
    try:
        gateway.start()
        outage = measure(lab, gateway, "power", number)
        print(f"{'with' if may_end_connections else 'without'} CAP_NET_ADMIN: {describe(outage)}", flush=True)
        said = "CAP_NET_ADMIN is missing" in gateway.log()
        # What the machine is busy with beside this test is in the gap; hanging clients are not.
        good = (outage.hung == 0 and outage.worst <= 2 and outage.lost == 0 and outage.gap < 5
                and said != may_end_connections)
        if not good:
            print(gateway.log(), lab.logs(30))
        return good
    finally:
        gateway.stop()


def main(directory):
    lab = HostLab(os.path.join(directory, "lab"), 3, 3, dynamic=DYNAMIC, keep=False)
    try:
        lab.start(wait=120)
        lab.wait_settled()
        return 0 if loses_power(lab, 1, True) and loses_power(lab, 2, False) else 1
    finally:
        lab.stop()


if __name__ == "__main__":
    sandbox.run_test(main, "relevo-gateway-")
