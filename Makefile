# pgrelevo's front door. Each target stands alone on a fresh Debian 12: it installs
# what is missing (tools/install-deps.sh), builds, and does its work.

JOBS ?= $(shell nproc)
# Test processes beside each other. Those that time something say so in CTest
# (RUN_SERIAL, RESOURCE_LOCK), the others mostly wait.
TEST_JOBS ?= $(JOBS)

.DEFAULT_GOAL := help
# make chaos ROUNDS=3 SEED=7 MEMBERS=5 SOAK=10 CHAOS='--only "power loss"'
chaos_options = $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SEED),--seed $(SEED)) $(if $(MEMBERS),--members $(MEMBERS)) \
                $(if $(SOAK),--soak $(SOAK)) $(CHAOS)

.PHONY: help deps build test unit demo demo-failover chaos bench bench-failover bench-gateway bench-client bench-backup asan tsan coverage lint format clean

help: ## this list
	@sed -n 's/^\([a-z -]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

deps: ## install the Debian packages that are missing
	@tools/install-deps.sh

build: deps ## the programs, in build/bin
	@mkdir -p build
	@cmake --preset release >build/configure.log 2>&1 || { cat build/configure.log; exit 1; }
	cmake --build --preset release --parallel $(JOBS)

test: build ## every test: unit, simulation, contract, real clusters
	@tools/install-deps.sh test
	ctest --preset release --parallel $(TEST_JOBS)

unit: build ## the tests that need no server, in seconds
	ctest --preset release --parallel $(TEST_JOBS) --label-regex '^unit$$'

demo: build ## three members and a gateway on this machine, until Ctrl-C
	tools/demo run

demo-failover: build ## kill the primary of the running demo, see what a client sees
	tools/demo failover

chaos: build ## faults drawn by a seed on a real cluster, until a promise breaks; needs root
	tests/chaos/chaos.py $(chaos_options)

bench: build ## measure, beside Debian's Patroni
	@tools/install-deps.sh bench
	tools/bench

# make bench-failover BENCH='--only power cut --repeat 3 --patroni'
bench-failover: build ## how long nobody can write, fault by fault; needs root
	tools/bench-failover $(BENCH)

bench-client: build ## librelevo beside bare libpq
	tools/bench-client

# make bench-backup BENCH='--size 500 --repeat 1'
bench-backup: build ## backups and replicas beside pgBackRest and pg_basebackup by hand
	tools/bench-backup $(BENCH)

bench-gateway: build ## what applications behind a gateway see, beside PgBouncer by hand; needs root
	tools/bench-gateway $(BENCH)

asan tsan: deps ## unit tests under AddressSanitizer and UBSan, or ThreadSanitizer
	cmake --preset $@
	cmake --build --preset $@ --parallel $(JOBS)
	ctest --preset $@ --parallel $(TEST_JOBS)

coverage: deps ## lines the unit tests run, in build/coverage/html
	tools/coverage

lint: build ## layout, our own rules, clang-tidy
	git ls-files '*.h' '*.cpp' | xargs clang-format-19 --dry-run --Werror
	tools/tidy.py
	tools/lint --jobs $(JOBS)

format: ## let clang-format decide
	git ls-files '*.h' '*.cpp' | xargs clang-format-19 -i

clean: ## remove build/
	rm -rf build
