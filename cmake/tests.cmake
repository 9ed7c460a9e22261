# Two programs: floors without torch, and floors with torch. Under sanitizers the first alone, its
# kernels in a program for each instruction set.
find_path(DOCTEST_INCLUDE_DIR doctest/doctest.h REQUIRED)

if(DEEPLIGHT_ASAN)
  # A report needs lines; to describe every variable as well takes a fourth of the time to compile.
  add_compile_options(-g1 -fsanitize=address,undefined -fno-sanitize-recover=undefined
    -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
endif()

# doctest itself is compiled once for all programs.
add_library(deeplight_test_main OBJECT ${PROJECT_SOURCE_DIR}/tests/cpp/main.cpp)
target_include_directories(deeplight_test_main SYSTEM PRIVATE ${DOCTEST_INCLUDE_DIR})
target_compile_features(deeplight_test_main PRIVATE cxx_std_20)
target_compile_options(deeplight_test_main PRIVATE -O1)

function(deeplight_add_tests target)
  cmake_parse_arguments(_arg "" "WITHOUT" "FOLDERS;LIBRARIES" ${ARGN})
  set(_sources $<TARGET_OBJECTS:deeplight_test_main>)
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

set(_base_folders core weights)
set(_base_libraries deeplight_core)
if(DEEPLIGHT_RASTER)
  list(APPEND _base_folders raster radiometry)
  list(APPEND _base_libraries deeplight_gdal)
endif()

if(DEEPLIGHT_ASAN)
  deeplight_add_tests(deeplight_base_tests FOLDERS ${_base_folders} LIBRARIES ${_base_libraries})
  # Only loops over vectors are too slow without inlining, which takes as long to compile again.
  target_compile_options(deeplight_base_tests PRIVATE -Og)
  deeplight_add_tests(deeplight_kernel_tests_baseline FOLDERS kernels LIBRARIES deeplight_core)
  # The kernels once more with each instruction set that this machine runs.
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
    endif()
  endforeach()
  return()
endif()

deeplight_add_tests(deeplight_base_tests FOLDERS ${_base_folders} kernels
  LIBRARIES ${_base_libraries})
include(${CMAKE_CURRENT_LIST_DIR}/header_checks.cmake)

set(_torch_folders functional losses metrics data nn models)
set(_torch_library deeplight_compiled)
if(DEEPLIGHT_RASTER)
  list(APPEND _torch_folders infer)
  set(_torch_library deeplight_raster_compiled)
endif()
deeplight_add_tests(deeplight_torch_tests FOLDERS ${_torch_folders} LIBRARIES ${_torch_library})
deeplight_reuse_precompiled(deeplight_torch_tests)
