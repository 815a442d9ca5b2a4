# Everything outside, found once.
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json 3.9 REQUIRED)
find_package(tomlplusplus REQUIRED)
find_package(CLI11 REQUIRED)
find_package(PNG REQUIRED)
find_package(JPEG REQUIRED)

# libtorch: Debian's own, or the one that DERM_TORCH names (an unpacked libtorch, or a Python package's torch folder).
set(DERM_TORCH "" CACHE PATH "Another libtorch than the system's")
if(DERM_TORCH)
  list(PREPEND CMAKE_PREFIX_PATH ${DERM_TORCH} ${DERM_TORCH}/share/cmake)
endif()
set(derm_saved_flags "${CMAKE_CXX_FLAGS}")
find_package(Torch REQUIRED)
# TorchConfig adds its ABI switch to CMAKE_CXX_FLAGS only by variable: take it over, and nothing else.
set(CMAKE_CXX_FLAGS "${derm_saved_flags}")
if(TORCH_CXX_FLAGS)
  separate_arguments(derm_torch_flags UNIX_COMMAND "${TORCH_CXX_FLAGS}")
  add_compile_options(${derm_torch_flags})
endif()
message(STATUS "libtorch ${Torch_VERSION} in ${TORCH_INSTALL_PREFIX}")

if(DERM_TESTS)
  find_package(GTest REQUIRED)
  include(GoogleTest)
endif()
