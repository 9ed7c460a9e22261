# Compiler launcher and warnings: all optional, none changes what is built.
find_program(DEEPLIGHT_CCACHE ccache)
if(DEEPLIGHT_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Base folder and sloppiness let a second checkout and precompiled headers hit the cache.
  set(_launcher ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1
    CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
    ${DEEPLIGHT_CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${_launcher})
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${_launcher})
endif()

add_library(deeplight_warnings INTERFACE)
target_compile_options(deeplight_warnings INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wno-unused-parameter;-fvisibility=hidden>)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  # A precompiled header is keyed by its content, so that ccache can use it.
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fpch-preprocess>)
endif()

# Torch precompiled for deeplight_compiled serves what links it, given that a program, too, has -fPIC.
function(deeplight_reuse_precompiled target)
  target_precompile_headers(${target} REUSE_FROM deeplight_compiled)
  target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU,Clang>:-fPIC>)
endfunction()
