# Three programs: floors without torch, floors with torch, and the raster engine.
find_path(DOCTEST_INCLUDE_DIR doctest/doctest.h REQUIRED)

function(deeplight_add_tests target)
  cmake_parse_arguments(_arg "" "WITHOUT" "FOLDERS;LIBRARIES" ${ARGN})
  set(_sources ${PROJECT_SOURCE_DIR}/tests/cpp/main.cpp)
  foreach(_folder IN LISTS _arg_FOLDERS)
    file(GLOB _found CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/cpp/${_folder}/*_test.cpp)
    list(APPEND _sources ${_found})
  endforeach()
  if(_arg_WITHOUT)
    list(FILTER _sources EXCLUDE REGEX ${_arg_WITHOUT})
  endif()
  add_executable(${target} ${_sources})
  target_include_directories(${target} SYSTEM PRIVATE ${DOCTEST_INCLUDE_DIR})
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests/cpp)
  target_compile_definitions(${target} PRIVATE
    DEEPLIGHT_TEST_DATA="${PROJECT_SOURCE_DIR}/tests/data")
  target_compile_options(${target} PRIVATE -O1)  # what they test is compiled for speed already
  target_link_libraries(${target} PRIVATE ${_arg_LIBRARIES} deeplight_warnings)
  add_test(NAME ${target} COMMAND ${target})
endfunction()

set(_base_folders core kernels weights)
set(_base_libraries deeplight_core)
if(DEEPLIGHT_RASTER)
  list(APPEND _base_folders raster radiometry)
  list(APPEND _base_libraries deeplight_gdal)
endif()
deeplight_add_tests(deeplight_base_tests FOLDERS ${_base_folders} LIBRARIES ${_base_libraries})

if(DEEPLIGHT_ASAN)
  # The kernels once more with each instruction set that this machine runs.
  set(_sanitized deeplight_base_tests)
  include(${CMAKE_CURRENT_LIST_DIR}/simd_levels.cmake)
  include(CheckCXXSourceRuns)
  foreach(_level IN ITEMS avx2 avx512)
    if(NOT _level IN_LIST _simd_levels)
      continue()
    endif()
    string(REPLACE avx512 avx512bw _feature ${_level})
    check_cxx_source_runs("int main() { return __builtin_cpu_supports(\"${_feature}\") ? 0 : 1; }"
      DEEPLIGHT_RUNS_${_level})
    if(DEEPLIGHT_RUNS_${_level})
      # Kernels for CUDA are the same in each.
      deeplight_add_tests(deeplight_kernel_tests_${_level} FOLDERS kernels LIBRARIES deeplight_core
        WITHOUT "_cuda_test\\.cpp$")
      target_compile_options(deeplight_kernel_tests_${_level} PRIVATE ${_simd_flags_${_level}})
      list(APPEND _sanitized deeplight_kernel_tests_${_level})
    endif()
  endforeach()
  foreach(_target IN LISTS _sanitized)
    # What the sanitizers see does not need -O3, which takes several times as long to compile.
    target_compile_options(${_target} PRIVATE -O1 -fsanitize=address,undefined
      -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
    target_link_options(${_target} PRIVATE -fsanitize=address,undefined)
  endforeach()
  return()
endif()

include(${CMAKE_CURRENT_LIST_DIR}/header_checks.cmake)

set(_torch_folders functional losses metrics data nn models)
set(_torch_library deeplight_compiled)
if(DEEPLIGHT_RASTER)
  list(APPEND _torch_folders infer)
  set(_torch_library deeplight_raster_compiled)
endif()
deeplight_add_tests(deeplight_torch_tests FOLDERS ${_torch_folders} LIBRARIES ${_torch_library})
target_precompile_headers(deeplight_torch_tests PRIVATE ${PROJECT_SOURCE_DIR}/cmake/pch.hpp)
