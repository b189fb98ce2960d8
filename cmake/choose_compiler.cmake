# Picks clang 19 when nobody has picked a compiler. Included before project().
if(NOT DEFINED CMAKE_CXX_COMPILER AND NOT DEFINED ENV{CXX})
    find_program(RELEVO_CLANGXX NAMES clang++-19)
    if(RELEVO_CLANGXX)
        set(CMAKE_CXX_COMPILER ${RELEVO_CLANGXX})
    endif()
endif()

if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()
