# Compiler settings that every target of the project shares.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()
# -O2 without -ffast-math: the same request has to give the same bytes. Line tables only, so that linking stays quick.
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1")

# Flags of our own code go here, so that they reach no outside consumer of the package.
add_library(derm_flags INTERFACE)
target_compile_options(derm_flags INTERFACE -Wall -Wextra -Wshadow -Wno-unknown-pragmas)
if(DERM_SANITIZE)
  target_compile_options(derm_flags INTERFACE -fsanitize=${DERM_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(derm_flags INTERFACE -fsanitize=${DERM_SANITIZE})
endif()

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  # A precompiled header is cached only with these two settings.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE_PROGRAM})
  add_compile_options(-fpch-preprocess)
endif()
