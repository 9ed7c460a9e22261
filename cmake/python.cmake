# deeplight._native: one extension; raster bindings are left out with DEEPLIGHT_RASTER=OFF.
# torch brings its own pybind11: one copy of it, so that tensors cross the boundary.
file(GLOB _bindings CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/bindings/python/*.cpp)
set(_raster_bindings ${_bindings})
list(FILTER _raster_bindings INCLUDE REGEX "/(raster|infer)[^/]*\\.cpp$")
list(FILTER _bindings EXCLUDE REGEX "/(raster|infer|module)[^/]*\\.cpp$")

add_library(deeplight_bindings OBJECT ${_bindings})
target_link_libraries(deeplight_bindings PUBLIC deeplight_compiled Python3::Module
  LibTorch::Python PRIVATE deeplight_warnings)
target_precompile_headers(deeplight_bindings PRIVATE ${PROJECT_SOURCE_DIR}/cmake/pch_python.hpp)

# $ORIGIN finds the operators beside the extension; torch itself is already loaded by `import torch`.
function(deeplight_add_extension target)
  Python3_add_library(${target} MODULE WITH_SOABI
    ${PROJECT_SOURCE_DIR}/bindings/python/module.cpp)
  target_link_libraries(${target} PRIVATE deeplight_bindings deeplight_warnings)
  set_target_properties(${target} PROPERTIES INSTALL_RPATH "$ORIGIN")
endfunction()

set(_package_folder ${PROJECT_SOURCE_DIR}/python/deeplight)
if(SKBUILD)
  set(_package_folder ${PROJECT_BINARY_DIR}/package)
endif()

deeplight_add_extension(_native)
if(DEEPLIGHT_RASTER)
  add_library(deeplight_raster_bindings OBJECT ${_raster_bindings})
  target_link_libraries(deeplight_raster_bindings PUBLIC deeplight_raster_compiled Python3::Module
    LibTorch::Python PRIVATE deeplight_warnings)
  target_precompile_headers(deeplight_raster_bindings REUSE_FROM deeplight_bindings)
  target_link_libraries(_native PRIVATE deeplight_raster_bindings)
  target_compile_definitions(_native PRIVATE DEEPLIGHT_RASTER)

  # The package of a machine without GDAL, from the same objects.
  if(NOT SKBUILD)
    deeplight_add_extension(_native_no_raster)
    target_compile_definitions(_native_no_raster PRIVATE DEEPLIGHT_MODULE_NAME=_native_no_raster)
    set_target_properties(_native_no_raster PROPERTIES
      LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/no_raster BUILD_RPATH
      "${_package_folder};${LibTorch_LIBRARY_DIR}")
  endif()
endif()
set_target_properties(_native deeplight_ops PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${_package_folder})
set_target_properties(_native PROPERTIES BUILD_RPATH "$ORIGIN;${LibTorch_LIBRARY_DIR}")

if(SKBUILD)
  install(TARGETS _native deeplight_ops LIBRARY DESTINATION deeplight COMPONENT python)
endif()
