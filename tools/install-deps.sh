#!/bin/bash
# Installs the Debian packages that are missing, and nothing else:
#
#   tools/install-deps.sh          what tools/packages.txt lists
#   tools/install-deps.sh bench    and what tools/packages-bench.txt lists
#   tools/install-deps.sh test     and, where npm is there, s3rver into build/, for one test that is skipped without
#
# Says nothing and needs no rights when nothing is missing, so every make target may
# call it. Works as root (sudo need not exist) and as a user with sudo; says what to do
# when it is neither.
set -euo pipefail
cd "$(dirname "$0")"

lists=(packages.txt)
if [ "${1:-}" = bench ]; then
    lists+=(packages-bench.txt)
fi

if ! command -v dpkg-query >/dev/null; then
    echo "install-deps: not a Debian system; needed are the equivalents of:" >&2
    sed 's/#.*//' "${lists[@]}" | xargs >&2
    exit 0 # perhaps they are all here: cmake will tell
fi

# An object store of others for tests/e2e/s3_cluster_scenarios.py, which says so when it has none. npm is
# nobody's duty: what goes wrong is told, once (`make clean` forgets it), and never fails the rest. Nothing
# of it runs here (--ignore-scripts), and what it needs is as it was on that day.
fetch_s3rver() {
    local place=../build/s3rver
    if [ -e $place ] || ! command -v npm >/dev/null || ! command -v node >/dev/null; then return 0; fi
    mkdir -p $place 2>/dev/null || return 0
    echo "install-deps: s3rver, for one test, into build/s3rver"
    if timeout -k 5 120 npm install --prefix $place --no-audit --no-fund --ignore-scripts --loglevel error \
        --no-update-notifier --before 2026-01-01 s3rver@3.7.1 </dev/null >$place/npm.log 2>&1; then
        return 0
    fi
    echo "install-deps: npm could not (build/s3rver/npm.log); that test is skipped" >&2
    rm -rf $place/node_modules
}

is_installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

missing=()
for package in $(sed 's/#.*//' "${lists[@]}"); do
    is_installed "$package" || missing+=("$package")
done
if [ "${1:-}" = test ]; then fetch_s3rver; fi
[ ${#missing[@]} -gt 0 ] || exit 0

echo "install-deps: missing: ${missing[*]}"
if [ "$(id -u)" = 0 ]; then
    as_root=()
elif command -v sudo >/dev/null && sudo true; then
    as_root=(sudo)
else
    # Not `apt-get install` by hand: what follows keeps Debian's own servers from starting.
    echo "install-deps: they need root, and $(id -un) can't use sudo here." >&2
    echo "install-deps: run this once as root, then make again:" >&2
    echo "    $(printf %q "$PWD/install-deps.sh")${1:+ $1}" >&2
    exit 1
fi

# The tests and the demo start their own PostgreSQL and etcd, on their own ports and
# under temporary directories. Debian's packages would also start one of each on the
# default ports, and on every boot. Both are asked not to, each by its own means and
# only while apt runs, so that a machine with a PostgreSQL or an etcd of its own, and
# what its owner installs later, stay as they are:
#  - postgresql-15 creates a cluster "main" when it is installed, unless
#    postgresql-common's configuration says otherwise: a drop-in, removed at the end.
#    A server that already runs is not touched by this file.
#  - etcd-server starts etcd.service: a policy-rc.d that denies that one service,
#    patroni's, haproxy's and pgbackrest's, which would do nothing without a configuration,
#    and the name servers' and pgbouncer's, which would take ports 53 and 6432. Where there already is a
#    policy (containers have one that denies all) it stays.
no_cluster=/etc/postgresql-common/createcluster.d/pgrelevo-no-main-cluster.conf
policy=/usr/sbin/policy-rc.d
made=()
undo() {
    [ ${#made[@]} = 0 ] || "${as_root[@]}" rm -f "${made[@]}"
}
trap undo EXIT

put() { # put PATH MODE: a file from standard input, to be removed at the end
    "${as_root[@]}" mkdir -p "$(dirname "$1")"
    "${as_root[@]}" tee "$1" >/dev/null
    "${as_root[@]}" chmod "$2" "$1"
    made+=("$1")
}

new_services=()
for package in "${missing[@]}"; do
    case $package in
        postgresql-15)
            put $no_cluster 644 <<<"create_main_cluster = false"
            ;;
        etcd-server | patroni | pgbackrest | pgbouncer | bind9 | knot | vip-manager | haproxy)
            service=${package%-server}
            new_services+=("${service/bind9/named}.service")
            if [ ! -e $policy ]; then
                put $policy 755 <<'POLICY'
#!/bin/sh
# Left by pgrelevo's tools/install-deps.sh while it runs; may be removed.
for word; do
    case ${word%.service} in etcd | patroni | pgbackrest | pgbouncer | named | bind9 | knot | vip-manager | haproxy) exit 101 ;; esac
done
exit 0
POLICY
            fi
            ;;
    esac
done

apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q
     -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
"${apt[@]}" update

# Boost 1.81's headers replace those of 1.74; anything else that would have to go is
# the owner's to decide.
doomed=$("${apt[@]}" -s install --no-install-recommends "${missing[@]}" |
    sed -n 's/^Remv \([^ ]*\).*/\1/p' | grep -Ev '^libboost.*-dev$' || true)
if [ -n "$doomed" ]; then
    echo "install-deps: installing ${missing[*]}" >&2
    echo "install-deps: would remove: $(xargs <<<"$doomed"). Not done; decide by hand." >&2
    exit 1
fi
"${apt[@]}" install -y --no-install-recommends "${missing[@]}"

if [ ${#new_services[@]} -gt 0 ] && [ -d /run/systemd/system ]; then
    "${as_root[@]}" systemctl disable --now --quiet "${new_services[@]}" || true
fi
