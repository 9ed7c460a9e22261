# install() and find_package(deeplight). A Python wheel takes only its own component.
if(SKBUILD OR DEEPLIGHT_ASAN)
  return()
endif()
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(_targets deeplight_core deeplight deeplight_ops deeplight_compiled)
if(DEEPLIGHT_RASTER)
  list(APPEND _targets deeplight_gdal deeplight_raster deeplight_raster_compiled)
endif()
set(_config_dir ${CMAKE_INSTALL_LIBDIR}/cmake/deeplight)

install(DIRECTORY include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
# The private warning flags of our own build are no part of the interface.
install(TARGETS ${_targets} deeplight_warnings EXPORT deeplightTargets)
install(EXPORT deeplightTargets NAMESPACE deeplight:: DESTINATION ${_config_dir})
configure_package_config_file(cmake/deeplightConfig.cmake.in
  ${PROJECT_BINARY_DIR}/deeplightConfig.cmake INSTALL_DESTINATION ${_config_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/deeplightConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/deeplightConfig.cmake
  ${PROJECT_BINARY_DIR}/deeplightConfigVersion.cmake cmake/FindLibTorch.cmake
  cmake/FindDeeplightXsimd.cmake
  DESTINATION ${_config_dir})
