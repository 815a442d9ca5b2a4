# `cmake --install` gives the program and a package that an outside program can find: find_package(derm).
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
get_property(derm_modules GLOBAL PROPERTY DERM_MODULES)
install(TARGETS ${derm_modules} EXPORT dermTargets FILE_SET HEADERS)
install(TARGETS dermgan RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(EXPORT dermTargets NAMESPACE derm:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/derm)
configure_package_config_file(cmake/dermConfig.cmake.in ${PROJECT_BINARY_DIR}/dermConfig.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/derm)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/dermConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/dermConfig.cmake ${PROJECT_BINARY_DIR}/dermConfigVersion.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/derm)
