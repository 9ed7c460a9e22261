# Finds LibTorch without asking for a CUDA toolkit.
#
# PyTorch's own package file stops when the wheel was built with CUDA and no toolkit is installed,
# although a program that only uses tensors needs none. This module reads the folder instead.
#
# Input   LibTorch_ROOT (folder with include/ and lib/), or a Python with torch (Python3_EXECUTABLE)
# Output  LibTorch::LibTorch, LibTorch::Python (when present), LibTorch_VERSION, LibTorch_HAS_CUDA,
#         LibTorch_LIBRARY_DIR

if(NOT LibTorch_ROOT AND DEFINED ENV{LibTorch_ROOT})
  set(LibTorch_ROOT "$ENV{LibTorch_ROOT}")
endif()

if(NOT LibTorch_ROOT)
  find_package(Python3 QUIET COMPONENTS Interpreter)
  if(Python3_EXECUTABLE)
    execute_process(
      COMMAND "${Python3_EXECUTABLE}" -c
        "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '')"
      OUTPUT_VARIABLE _deeplight_torch_root OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    set(LibTorch_ROOT "${_deeplight_torch_root}")
  endif()
endif()

find_path(LibTorch_INCLUDE_DIR NAMES ATen/ATen.h
  HINTS "${LibTorch_ROOT}/include" PATHS ${CMAKE_PREFIX_PATH} PATH_SUFFIXES include
  NO_CMAKE_SYSTEM_PATH NO_CACHE)
if(LibTorch_INCLUDE_DIR)
  get_filename_component(LibTorch_LIBRARY_DIR "${LibTorch_INCLUDE_DIR}/../lib" ABSOLUTE)
  foreach(_name IN ITEMS c10 torch_cpu torch torch_python c10_cuda torch_cuda)
    find_library(LibTorch_${_name} NAMES ${_name} HINTS "${LibTorch_LIBRARY_DIR}" NO_DEFAULT_PATH
      NO_CACHE)
  endforeach()
  set(_deeplight_version_file "${LibTorch_INCLUDE_DIR}/torch/headeronly/version.h")
  if(NOT EXISTS "${_deeplight_version_file}")
    set(_deeplight_version_file
      "${LibTorch_INCLUDE_DIR}/torch/csrc/api/include/torch/version.h")
  endif()
  if(EXISTS "${_deeplight_version_file}")
    file(READ "${_deeplight_version_file}" _deeplight_version_text)
    set(LibTorch_VERSION "")
    foreach(_part IN ITEMS MAJOR MINOR PATCH)
      string(REGEX MATCH "TORCH_VERSION_${_part} ([0-9]+)" _ "${_deeplight_version_text}")
      list(APPEND LibTorch_VERSION ${CMAKE_MATCH_1})
    endforeach()
    list(JOIN LibTorch_VERSION "." LibTorch_VERSION)
  endif()
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch
  REQUIRED_VARS LibTorch_INCLUDE_DIR LibTorch_c10 LibTorch_torch_cpu LibTorch_torch
  VERSION_VAR LibTorch_VERSION)

if(LibTorch_FOUND AND NOT TARGET LibTorch::LibTorch)
  set(LibTorch_HAS_CUDA FALSE)
  if(LibTorch_torch_cuda)
    set(LibTorch_HAS_CUDA TRUE)
  endif()
  add_library(LibTorch::LibTorch INTERFACE IMPORTED)
  target_include_directories(LibTorch::LibTorch SYSTEM INTERFACE
    "${LibTorch_INCLUDE_DIR}" "${LibTorch_INCLUDE_DIR}/torch/csrc/api/include")
  # libtorch registers the CUDA backend by being loaded, not by being called: keep it as needed.
  # It also exports a std::filesystem of its own, whose remove_all crashes: the compiler's comes first.
  target_link_libraries(LibTorch::LibTorch INTERFACE
    "$<$<PLATFORM_ID:Linux>:stdc++>"
    "${LibTorch_c10}" "${LibTorch_torch_cpu}"
    "-Wl,--push-state,--no-as-needed" "${LibTorch_torch}" "-Wl,--pop-state")
  # The CUDA libraries that libtorch needs are found by its own run path, not by ours.
  target_link_options(LibTorch::LibTorch INTERFACE "-Wl,--allow-shlib-undefined")
  if(LibTorch_torch_python)
    add_library(LibTorch::Python INTERFACE IMPORTED)
    target_link_libraries(LibTorch::Python INTERFACE LibTorch::LibTorch "${LibTorch_torch_python}")
  endif()
  if(LibTorch_HAS_CUDA)
    add_library(LibTorch::CUDA INTERFACE IMPORTED)
    target_link_libraries(LibTorch::CUDA INTERFACE LibTorch::LibTorch
      "${LibTorch_c10_cuda}" "${LibTorch_torch_cuda}")
  endif()
endif()
