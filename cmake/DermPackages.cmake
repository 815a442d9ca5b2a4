# Everything outside, found once.
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json 3.9 REQUIRED)
find_package(tomlplusplus REQUIRED)
find_package(CLI11 REQUIRED)
find_package(PNG REQUIRED)
find_package(JPEG REQUIRED)

# The servers (dermgan serve, dermgan study) need Boost's headers; training and generation do without.
find_package(Boost 1.74 QUIET)
option(DERM_SERVING "Build the servers: web studio, REST API" ${Boost_FOUND})
if(DERM_SERVING AND NOT Boost_FOUND)
  message(FATAL_ERROR "DERM_SERVING needs Boost's headers (Debian: libboost-dev); install them or give -DDERM_SERVING=OFF")
endif()

# Reader studies need SQLite besides.
find_package(SQLite3 3.35 QUIET)
if(DERM_SERVING AND SQLite3_FOUND)
  set(derm_study_default ON)
else()
  set(derm_study_default OFF)
endif()
option(DERM_STUDY "Build reader studies (dermgan study)" ${derm_study_default})
if(DERM_STUDY AND NOT (DERM_SERVING AND SQLite3_FOUND))
  message(FATAL_ERROR "DERM_STUDY needs DERM_SERVING and SQLite (Debian: libsqlite3-dev); install it or give -DDERM_STUDY=OFF")
endif()

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
# A libtorch with CUDA has made sure that the toolkit's headers are there.
if(TARGET torch_cuda)
  set(DERM_HAS_CUDA ON)
else()
  set(DERM_HAS_CUDA OFF)
endif()
message(STATUS "libtorch ${Torch_VERSION} in ${TORCH_INSTALL_PREFIX}, with CUDA: ${DERM_HAS_CUDA}")

if(DERM_TESTS)
  find_package(GTest REQUIRED)
  include(GoogleTest)
endif()
