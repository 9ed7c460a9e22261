# Each public header compiles alone, header-only: included first, and twice.
set(_torch_free core kernels raster radiometry weights)
foreach(_kind IN ITEMS base torch)
  set(_sources_${_kind} "")
endforeach()
file(GLOB_RECURSE _headers CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}/include
  ${PROJECT_SOURCE_DIR}/include/deeplight/*.hpp)
list(FILTER _headers EXCLUDE REGEX "_inl\\.hpp$")  # reached through their own header only
foreach(_header IN LISTS _headers)
  string(REGEX MATCH "deeplight/([a-z]+)/" _ "${_header}")
  set(_floor ${CMAKE_MATCH_1})
  if(_floor STREQUAL "raster" AND NOT DEEPLIGHT_RASTER OR _floor STREQUAL "infer" AND NOT DEEPLIGHT_RASTER)
    continue()
  endif()
  string(REPLACE "/" "_" _name "${_header}")
  set(_source ${PROJECT_BINARY_DIR}/header_checks/${_name}.cpp)
  file(CONFIGURE OUTPUT ${_source} CONTENT "#include \"${_header}\"\n#include \"${_header}\"\n")
  if(_floor IN_LIST _torch_free)
    list(APPEND _sources_base ${_source})
  else()
    list(APPEND _sources_torch ${_source})
  endif()
endforeach()

foreach(_kind IN ITEMS base torch)
  add_library(deeplight_header_checks_${_kind} OBJECT ${_sources_${_kind}})
  target_compile_options(deeplight_header_checks_${_kind} PRIVATE -O0)
  target_link_libraries(deeplight_header_checks_${_kind} PRIVATE deeplight_warnings)
endforeach()
target_link_libraries(deeplight_header_checks_base PRIVATE deeplight_core
  $<$<BOOL:${DEEPLIGHT_RASTER}>:deeplight_gdal>)
target_link_libraries(deeplight_header_checks_torch PRIVATE deeplight
  $<$<BOOL:${DEEPLIGHT_RASTER}>:deeplight_raster>)
# Torch once and not for each: tests/python/packaging/test_headers.py sees to its includes.
target_precompile_headers(deeplight_header_checks_torch PRIVATE ${PROJECT_SOURCE_DIR}/cmake/pch.hpp)
