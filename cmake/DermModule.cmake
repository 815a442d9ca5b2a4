# derm_module(name [TORCH] [SOURCES ...] [LINK ...] [PRIVATE_LINK ...] [TEST_LINK ...])
#
# A folder under src/derm is a library derm::name with the headers, sources and tests that stand in it:
# foo.h and foo.cpp belong to the library, foo_test.cpp to its test program.
# TORCH: the sources use libtorch, through the one precompiled header.
function(derm_module name)
  cmake_parse_arguments(arg "TORCH" "" "LINK;PRIVATE_LINK;TEST_LINK" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  file(GLOB headers CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.h)
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  list(FILTER sources EXCLUDE REGEX "_test\\.cpp$")
  list(FILTER sources EXCLUDE REGEX "/main\\.cpp$")

  add_library(derm_${name} STATIC ${sources})
  add_library(derm::${name} ALIAS derm_${name})
  set_target_properties(derm_${name} PROPERTIES EXPORT_NAME ${name} LINKER_LANGUAGE CXX)
  target_sources(derm_${name} PUBLIC FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}/src FILES ${headers})
  target_link_libraries(derm_${name} PUBLIC ${arg_LINK} PRIVATE ${arg_PRIVATE_LINK} $<BUILD_INTERFACE:derm_flags>)
  if(arg_TORCH)
    derm_use_torch(derm_${name})
    set(uses_torch TORCH)
  endif()
  set_property(GLOBAL APPEND PROPERTY DERM_MODULES derm_${name})

  if(DERM_TESTS AND tests)
    derm_test(${name}_test SOURCES ${tests} LINK derm::${name} ${arg_TEST_LINK} ${uses_torch})
  endif()
endfunction()

# derm_test(name SOURCES ... LINK ... [LABEL unit|e2e|slow|gpu] [TORCH])
function(derm_test name)
  cmake_parse_arguments(arg "TORCH" "LABEL" "SOURCES;LINK" ${ARGN})
  if(NOT arg_LABEL)
    set(arg_LABEL unit)
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_LINK} GTest::gmock GTest::gtest GTest::gtest_main derm_flags)
  target_compile_definitions(${name} PRIVATE DERM_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  # Unoptimised: a test program is read and compiled far longer than it runs outside the libraries.
  target_compile_options(${name} PRIVATE -O0)
  if(arg_TORCH)
    target_link_libraries(${name} PRIVATE torch)
    derm_precompile(${name} torch_gtest HEADERS ${DERM_TORCH_HEADERS} ${DERM_GTEST_HEADERS} LINK torch fmt::fmt GTest::gmock FLAGS -O0)
  else()
    derm_precompile(${name} gtest HEADERS ${DERM_GTEST_HEADERS} LINK GTest::gmock FLAGS -O0)
  endif()
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  # One ctest entry a program: starting libtorch for every single case would cost more than the cases.
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${PROJECT_BINARY_DIR})
  set_tests_properties(${name} PROPERTIES LABELS ${arg_LABEL} TIMEOUT 900)
endfunction()

# libtorch's header takes twenty seconds to read, GoogleTest's four.
set(DERM_TORCH_HEADERS <torch/torch.h> <fmt/format.h> <nlohmann/json.hpp>)
set(DERM_GTEST_HEADERS <gmock/gmock.h> <gtest/gtest.h>)

# derm_precompile(target name HEADERS ... LINK ... [FLAGS ...]): the headers are read once for all targets that say the same name.
function(derm_precompile target name)
  cmake_parse_arguments(arg "" "" "HEADERS;LINK;FLAGS" ${ARGN})
  set(holder derm_${name}_pch)
  if(NOT TARGET ${holder})
    # file(CONFIGURE) leaves an equal file alone, so that configuring again builds nothing.
    file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/${holder}.cpp CONTENT "// holds the precompiled header\n")
    add_library(${holder} OBJECT ${PROJECT_BINARY_DIR}/${holder}.cpp)
    target_link_libraries(${holder} PRIVATE ${arg_LINK} derm_flags)
    target_compile_options(${holder} PRIVATE ${arg_FLAGS})
    target_precompile_headers(${holder} PRIVATE ${arg_HEADERS})
  endif()
  get_target_property(type ${target} TYPE)
  if(type STREQUAL "EXECUTABLE")
    # CMake would compile a program with -fPIE, and the header's -fPIC does not fit that: it would be read anew each time.
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(${target} PRIVATE -fPIC)
  endif()
  target_precompile_headers(${target} REUSE_FROM ${holder})
endfunction()

function(derm_use_torch target)
  target_link_libraries(${target} PRIVATE torch)
  derm_precompile(${target} torch HEADERS ${DERM_TORCH_HEADERS} LINK torch fmt::fmt)
endfunction()
