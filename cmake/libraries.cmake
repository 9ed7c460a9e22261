# deeplight::core      headers without torch: core, kernels, raster plans, weights
# deeplight::deeplight header-only, with torch
# deeplight::raster    header-only, adds GDAL and xtensor
# deeplight::ops       compiled, registers the operators with PyTorch's dispatcher
# deeplight::compiled  the same headers with their definitions compiled once (DEEPLIGHT_COMPILED)

add_library(deeplight_core INTERFACE)
add_library(deeplight::core ALIAS deeplight_core)
set_target_properties(deeplight_core PROPERTIES EXPORT_NAME core)
target_include_directories(deeplight_core INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:include>)
target_compile_features(deeplight_core INTERFACE cxx_std_20)
target_link_libraries(deeplight_core INTERFACE nlohmann_json::nlohmann_json Threads::Threads
  $<BUILD_INTERFACE:deeplight_xsimd>)

if(DEEPLIGHT_RASTER)
  # GDAL and xtensor without torch: what the raster floor alone needs.
  add_library(deeplight_gdal INTERFACE)
  set_target_properties(deeplight_gdal PROPERTIES EXPORT_NAME gdal)
  target_link_libraries(deeplight_gdal INTERFACE deeplight_core GDAL::GDAL xtensor)
endif()

if(NOT DEEPLIGHT_ASAN)
  add_library(deeplight INTERFACE)
  add_library(deeplight::deeplight ALIAS deeplight)
  target_link_libraries(deeplight INTERFACE deeplight_core LibTorch::LibTorch)

  file(GLOB _ops CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/bindings/torch/*_op.cpp)
  add_library(deeplight_ops SHARED ${_ops})
  add_library(deeplight::ops ALIAS deeplight_ops)
  set_target_properties(deeplight_ops PROPERTIES EXPORT_NAME ops)
  target_link_libraries(deeplight_ops PUBLIC deeplight PRIVATE deeplight_warnings)
  target_compile_definitions(deeplight_ops INTERFACE DEEPLIGHT_OPS)
  include(cmake/simd_levels.cmake)
  deeplight_add_simd_levels(deeplight_ops)
  if(NOT SKBUILD)
    # An installed program finds LibTorch through it; in a wheel, `import torch` came first.
    set_target_properties(deeplight_ops PROPERTIES INSTALL_RPATH "${LibTorch_LIBRARY_DIR}")
  endif()
  if(DEEPLIGHT_HAS_CUDA)
    file(GLOB _kernels CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/bindings/torch/*_kernel.cu)
    target_sources(deeplight_ops PRIVATE ${_kernels})
    set_target_properties(deeplight_ops PROPERTIES CUDA_STANDARD 20 CUDA_RUNTIME_LIBRARY None
      CUDA_VISIBILITY_PRESET hidden)
    target_include_directories(deeplight_ops SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
    target_compile_options(deeplight_ops PRIVATE
      $<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr;-diag-suppress=20012>)
    target_compile_definitions(deeplight_ops PRIVATE DEEPLIGHT_CUDA_KERNELS)
    target_link_libraries(deeplight_ops PRIVATE LibTorch::CUDA)
  endif()

  # One small source per floor, so that two cores share the work.
  file(GLOB _compiled CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/*.cpp)
  list(FILTER _compiled EXCLUDE REGEX "/(raster|infer)[^/]*\\.cpp$")
  add_library(deeplight_compiled STATIC ${_compiled})
  add_library(deeplight::compiled ALIAS deeplight_compiled)
  set_target_properties(deeplight_compiled PROPERTIES EXPORT_NAME compiled)
  target_compile_definitions(deeplight_compiled PUBLIC DEEPLIGHT_COMPILED)
  target_link_libraries(deeplight_compiled PUBLIC deeplight_ops PRIVATE deeplight_warnings)
  target_precompile_headers(deeplight_compiled PRIVATE ${PROJECT_SOURCE_DIR}/cmake/pch.hpp)

  if(DEEPLIGHT_RASTER)
    add_library(deeplight_raster INTERFACE)
    add_library(deeplight::raster ALIAS deeplight_raster)
    set_target_properties(deeplight_raster PROPERTIES EXPORT_NAME raster)
    target_link_libraries(deeplight_raster INTERFACE deeplight deeplight_gdal)

    file(GLOB _compiled CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/raster*.cpp
      ${PROJECT_SOURCE_DIR}/src/infer*.cpp)
    add_library(deeplight_raster_compiled STATIC ${_compiled})
    add_library(deeplight::raster_compiled ALIAS deeplight_raster_compiled)
    set_target_properties(deeplight_raster_compiled PROPERTIES EXPORT_NAME raster_compiled)
    target_link_libraries(deeplight_raster_compiled PUBLIC deeplight_compiled deeplight_raster
      PRIVATE deeplight_warnings)
    target_precompile_headers(deeplight_raster_compiled REUSE_FROM deeplight_compiled)
  endif()
endif()
