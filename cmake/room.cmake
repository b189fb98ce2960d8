# The functions that make targets. A room is a folder under src/, one static library
# relevo_<name>, and at most one test program <name>_test.
#
#   relevo_room(NAME
#       SOURCES      a.cpp b.cpp         # relative to src/NAME; none: a room of headers
#       DEPENDS      base cluster        # other rooms
#       LIBS         relevo::boost_asio  # what we take from the system (packages.cmake)
#       TESTS        a_test.cpp          # GoogleTest, run by ctest with label "unit"
#       TEST_DEPENDS sim                 # rooms that only the tests use
#       TEST_LIBS    ...                 # libraries that only the tests use
#       PCH          <vector> <boost/asio.hpp>)
#
#   relevo_test(NAME SOURCES ... DEPENDS ... LIBS ... LABEL contract [TIMEOUT s] [SERIAL])
#       a GoogleTest program outside the rooms (tests/)
#
#   relevo_program(NAME SOURCES ... DEPENDS ... LIBS ...)
#       an executable in RELEVO_BIN_DIR
#
#   relevo_proto(NAME PROTOS a.proto b.proto)
#       relevo_<NAME>: a library of generated messages and gRPC stubs, included as
#       "a.pb.h" and "a.grpc.pb.h"

# A room that is named before it exists is a mistake, in the name or in the order of the
# rooms, unless its folder is there and its CMakeLists.txt is still to come.
function(relevo_rooms_to_targets out)
    set(targets)
    foreach(room IN LISTS ARGN)
        if(TARGET relevo_${room})
            list(APPEND targets relevo_${room})
        elseif(IS_DIRECTORY ${PROJECT_SOURCE_DIR}/src/${room}
               AND NOT EXISTS ${PROJECT_SOURCE_DIR}/src/${room}/CMakeLists.txt)
            message(STATUS "room ${room} has no CMakeLists.txt yet; left out")
        else()
            message(FATAL_ERROR "there is no room ${room} above this one (CMakeLists.txt)")
        endif()
    endforeach()
    set(${out} ${targets} PARENT_SCOPE)
endfunction()

function(relevo_room name)
    cmake_parse_arguments(arg "" "" "SOURCES;DEPENDS;LIBS;TESTS;TEST_DEPENDS;TEST_LIBS;PCH" ${ARGN})
    if(arg_UNPARSED_ARGUMENTS)
        message(FATAL_ERROR "relevo_room(${name}): what is ${arg_UNPARSED_ARGUMENTS}?")
    endif()
    relevo_rooms_to_targets(depends ${arg_DEPENDS})

    if(arg_SOURCES)
        add_library(relevo_${name} STATIC ${arg_SOURCES})
        target_include_directories(relevo_${name} PUBLIC ${PROJECT_SOURCE_DIR}/src)
        target_link_libraries(relevo_${name} PUBLIC ${depends} ${arg_LIBS}
                              PRIVATE relevo_warnings)
        if(arg_PCH)
            target_precompile_headers(relevo_${name} PRIVATE ${arg_PCH})
        endif()
    else()
        add_library(relevo_${name} INTERFACE)
        target_include_directories(relevo_${name} INTERFACE ${PROJECT_SOURCE_DIR}/src)
        target_link_libraries(relevo_${name} INTERFACE ${depends} ${arg_LIBS})
    endif()

    if(arg_TESTS)
        relevo_test(${name}_test
            SOURCES ${arg_TESTS}
            DEPENDS ${name} ${arg_TEST_DEPENDS}
            LIBS ${arg_TEST_LIBS}
            LABEL unit)
    endif()
endfunction()

function(relevo_test name)
    cmake_parse_arguments(arg "SERIAL" "LABEL;TIMEOUT" "SOURCES;DEPENDS;LIBS" ${ARGN})
    if(arg_UNPARSED_ARGUMENTS)
        message(FATAL_ERROR "relevo_test(${name}): what is ${arg_UNPARSED_ARGUMENTS}?")
    endif()
    relevo_rooms_to_targets(depends ${arg_DEPENDS})
    add_executable(${name} ${arg_SOURCES})
    target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/src)
    target_link_libraries(${name} PRIVATE
        ${depends} ${arg_LIBS} GTest::gmock GTest::gtest_main relevo_warnings)

    if(NOT arg_LABEL)
        set(arg_LABEL unit)
    endif()
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 120)
    endif()
    if(RELEVO_SANITIZE)  # each access watched: up to ten times as slow
        math(EXPR arg_TIMEOUT "5 * ${arg_TIMEOUT}")
    endif()
    set(properties LABELS ${arg_LABEL} TIMEOUT ${arg_TIMEOUT})
    if(arg_SERIAL)
        list(APPEND properties RUN_SERIAL TRUE)
    endif()
    # PRE_TEST: the program is asked for its tests when ctest runs, not while others
    # still compile. The prefix keeps tests of the same name in two rooms apart.
    gtest_discover_tests(${name}
        TEST_PREFIX ${name}:
        WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}
        DISCOVERY_MODE PRE_TEST
        DISCOVERY_TIMEOUT 60
        PROPERTIES ${properties})
endfunction()

function(relevo_program name)
    cmake_parse_arguments(arg "" "" "SOURCES;DEPENDS;LIBS" ${ARGN})
    if(arg_UNPARSED_ARGUMENTS)
        message(FATAL_ERROR "relevo_program(${name}): what is ${arg_UNPARSED_ARGUMENTS}?")
    endif()
    relevo_rooms_to_targets(depends ${arg_DEPENDS})
    # Target names may not clash with a room's library, so relevo-sim is relevo-sim and
    # never relevo_sim.
    add_executable(${name} ${arg_SOURCES})
    target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/src)
    target_compile_definitions(${name} PRIVATE RELEVO_VERSION="${PROJECT_VERSION}")
    target_link_libraries(${name} PRIVATE ${depends} ${arg_LIBS} relevo_warnings)
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${RELEVO_BIN_DIR})
endfunction()

function(relevo_proto name)
    cmake_parse_arguments(arg "" "" "PROTOS" ${ARGN})
    find_program(RELEVO_PROTOC NAMES protoc REQUIRED)
    find_program(RELEVO_GRPC_PLUGIN NAMES grpc_cpp_plugin REQUIRED)
    set(out ${CMAKE_CURRENT_BINARY_DIR}/proto)
    file(MAKE_DIRECTORY ${out})
    set(generated)
    foreach(proto IN LISTS arg_PROTOS)
        get_filename_component(file ${proto} ABSOLUTE)
        get_filename_component(folder ${file} DIRECTORY)
        get_filename_component(stem ${file} NAME_WE)
        set(made ${out}/${stem}.pb.cc ${out}/${stem}.pb.h
                 ${out}/${stem}.grpc.pb.cc ${out}/${stem}.grpc.pb.h)
        add_custom_command(
            OUTPUT ${made}
            COMMAND ${RELEVO_PROTOC} -I${folder} --cpp_out=${out} --grpc_out=${out}
                    --plugin=protoc-gen-grpc=${RELEVO_GRPC_PLUGIN} ${file}
            DEPENDS ${file}
            VERBATIM)
        list(APPEND generated ${made})
    endforeach()
    add_library(relevo_${name} STATIC ${generated})
    target_include_directories(relevo_${name} SYSTEM PUBLIC ${out})
    target_link_libraries(relevo_${name} PUBLIC relevo::grpc)
endfunction()
