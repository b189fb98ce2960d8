# What we take from the system, each under one simple name. Everything here is a
# Debian 12 package (tools/packages.txt); nothing is downloaded by the build.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(GTest REQUIRED)
include(GoogleTest)

# 1.81 is the first with asio::as_tuple outside experimental; Debian 12 has it
# beside its default 1.74 (libboost1.81-dev). Headers only.
find_package(Boost 1.81 REQUIRED)

# Asio and Beast are compiled once, here, instead of in every file that uses them
# (BOOST_ASIO_SEPARATE_COMPILATION): seconds less for each such file.
add_library(relevo_boost_asio STATIC
    ${PROJECT_SOURCE_DIR}/cmake/asio/asio.cpp
    ${PROJECT_SOURCE_DIR}/cmake/asio/beast.cpp)
add_library(relevo::boost_asio ALIAS relevo_boost_asio)
target_compile_definitions(relevo_boost_asio PUBLIC
    BOOST_ASIO_NO_DEPRECATED
    BOOST_ASIO_SEPARATE_COMPILATION
    BOOST_BEAST_SEPARATE_COMPILATION)
target_link_libraries(relevo_boost_asio PUBLIC
    Boost::headers OpenSSL::SSL OpenSSL::Crypto Threads::Threads)

# relevo_pkg(NAME module...): relevo::NAME from pkg-config. Only the libraries named
# after the modules are linked: grpc++.pc lists 60 private parts of a shared library,
# of which its headers use one, absl::Mutex.
function(relevo_pkg name)
    cmake_parse_arguments(arg "" "" "MODULES;LIBRARIES" ${ARGN})
    pkg_check_modules(RELEVO_${name} REQUIRED ${arg_MODULES})
    add_library(relevo_pkg_${name} INTERFACE)
    add_library(relevo::${name} ALIAS relevo_pkg_${name})
    target_include_directories(relevo_pkg_${name} SYSTEM INTERFACE
        ${RELEVO_${name}_INCLUDE_DIRS})
    target_link_directories(relevo_pkg_${name} INTERFACE ${RELEVO_${name}_LIBRARY_DIRS})
    target_link_libraries(relevo_pkg_${name} INTERFACE ${arg_LIBRARIES})
endfunction()

relevo_pkg(libpq MODULES libpq LIBRARIES pq)
relevo_pkg(ldns MODULES ldns LIBRARIES ldns)
relevo_pkg(systemd MODULES libsystemd LIBRARIES systemd)
relevo_pkg(protobuf MODULES protobuf LIBRARIES protobuf-lite protobuf Threads::Threads)
relevo_pkg(grpc MODULES grpc++ LIBRARIES grpc++ grpc gpr absl_synchronization relevo::protobuf)
relevo_pkg(absl_time MODULES absl_time LIBRARIES absl_time absl_time_zone absl_civil_time)
relevo_pkg(prometheus MODULES prometheus-cpp-core LIBRARIES prometheus-cpp-core)
