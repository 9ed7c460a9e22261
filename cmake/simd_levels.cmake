# Compiles each bindings/torch/x_simd.cpp once per instruction set, each with its own flags and in a
# source of its own: see bindings/torch/simd_levels.hpp. Nothing else is built with these flags.
set(_simd_levels scalar baseline)
set(_simd_flags_scalar "")
set(_simd_flags_baseline "")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$" AND CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
  list(APPEND _simd_levels avx2 avx512)
  set(_simd_flags_avx2 -mavx2 -mfma)
  # GCC's own AVX-512 headers start from registers that they leave unset on purpose.
  set(_simd_flags_avx512 -mavx2 -mfma -mavx512f -mavx512cd -mavx512dq -mavx512bw -mavx512vl
    -Wno-uninitialized -Wno-maybe-uninitialized)
endif()

# Loops with a selection become vectors only where a comparison may not trap; nothing here asks for
# floating point traps.
set(_simd_common "")
if(CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
  set(_simd_common -fno-trapping-math -fno-math-errno)
endif()

function(deeplight_add_simd_levels target)
  file(GLOB _found CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/bindings/torch/*_simd.cpp)
  foreach(_source IN LISTS _found)
    cmake_path(GET _source STEM _name)
    foreach(_level IN LISTS _simd_levels)
      set(_copy ${PROJECT_BINARY_DIR}/simd/${_name}_${_level}.cpp)
      file(CONFIGURE OUTPUT ${_copy}
        CONTENT "#define DEEPLIGHT_SIMD_LEVEL ${_level}\n#include \"${_source}\"\n")
      set_source_files_properties(${_copy} PROPERTIES COMPILE_OPTIONS
        "-O3;${_simd_common};${_simd_flags_${_level}}")
      target_sources(${target} PRIVATE ${_copy})
    endforeach()
  endforeach()
  if(avx512 IN_LIST _simd_levels)
    target_compile_definitions(${target} PRIVATE DEEPLIGHT_SIMD_X86)
  endif()
endfunction()
