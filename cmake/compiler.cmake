# How every file of ours is compiled and linked: which compilers are accepted, the
# warnings, the linker, the sanitizers, ccache.

if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    message(FATAL_ERROR
        "gcc ${CMAKE_CXX_COMPILER_VERSION} cannot build pgrelevo: gcc before 13 silently "
        "miscompiles common coroutine forms (a braced temporary or a by-value capturing "
        "lambda in a statement that awaits, `c ? co_await a : b`), which ends in double "
        "frees at run time. Use clang 19: `make deps`, or apt-get install clang-19 lld-19. "
        "See docs/adr/0002-coroutines-and-clang-19.md.")
elseif(CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 19)
    message(FATAL_ERROR
        "clang ${CMAKE_CXX_COMPILER_VERSION} cannot build pgrelevo: before clang 19 there is "
        "no std::expected with libstdc++ 12. Use clang 19: `make deps`, or apt-get install "
        "clang-19 lld-19.")
elseif(NOT CMAKE_CXX_COMPILER_ID MATCHES "^(Clang|GNU)$")
    message(FATAL_ERROR "pgrelevo is built with clang 19 (found ${CMAKE_CXX_COMPILER_ID})")
endif()

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

# Line tables are what a backtrace needs; full debug information of Asio's
# templates doubles the size and a good part of the build time.
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -gline-tables-only -fno-omit-frame-pointer")
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g -fno-omit-frame-pointer")
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1 -fno-omit-frame-pointer")
endif()

# Where the programs go; the release preset says build/bin.
set(RELEVO_BIN_DIR ${CMAKE_BINARY_DIR}/bin CACHE PATH "Where the programs are put")
set(RELEVO_SANITIZE "" CACHE STRING "Sanitizers, as in -fsanitize=")
option(RELEVO_COVERAGE "Instrument for llvm-cov" OFF)

# The assertions of the standard library stay on in every build: an index out of
# range in a program that decides who may write is not a thing to run past.
add_compile_definitions(_GLIBCXX_ASSERTIONS)

if(RELEVO_SANITIZE)
    add_compile_options(-fsanitize=${RELEVO_SANITIZE} -fno-sanitize-recover=all -O1)
    add_link_options(-fsanitize=${RELEVO_SANITIZE})
endif()
if(RELEVO_COVERAGE)
    add_compile_options(-fprofile-instr-generate -fcoverage-mapping)
    add_link_options(-fprofile-instr-generate)
endif()

find_program(RELEVO_LLD NAMES ld.lld-19)
if(RELEVO_LLD AND CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    add_link_options(--ld-path=${RELEVO_LLD})
endif()
add_link_options(-Wl,--as-needed)

# Everything we wrote gets these; the headers of others are system headers and
# generated code is compiled without them (cmake/proto.cmake).
add_library(relevo_warnings INTERFACE)
target_compile_options(relevo_warnings INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion
    -Wnon-virtual-dtor -Woverloaded-virtual -Wcast-qual -Wformat=2 -Wswitch-enum
    -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    target_compile_options(relevo_warnings INTERFACE -Wthread-safety)
endif()

# ccache: the sloppiness is what lets it cache a file that uses a precompiled
# header; -fno-pch-timestamp keeps that header's bytes the same from build to build.
# NOHASHDIR lets build directories share: what differs is the compilation directory in the
# line tables, and our paths are absolute. BASEDIR lets clones share: paths below the source
# directory count as relative ones.
find_program(RELEVO_CCACHE NAMES ccache)
if(RELEVO_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
    set(CMAKE_CXX_COMPILER_LAUNCHER
        ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros CCACHE_NOHASHDIR=1
        CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} ${RELEVO_CCACHE})
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    add_compile_options("SHELL:-Xclang -fno-pch-timestamp")
endif()
