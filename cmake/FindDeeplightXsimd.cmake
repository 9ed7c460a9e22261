# Finds the headers of xsimd. Its package file asks for xtl, which nothing here needs.
#
# Input   XSIMD_INCLUDE_DIR (optional), CMAKE_PREFIX_PATH
# Output  XSIMD_INCLUDE_DIR
find_path(XSIMD_INCLUDE_DIR xsimd/xsimd.hpp)
set(_xsimd_major 0)
if(XSIMD_INCLUDE_DIR)
  file(STRINGS "${XSIMD_INCLUDE_DIR}/xsimd/config/xsimd_config.hpp" _xsimd_line
    REGEX "define XSIMD_VERSION_MAJOR")
  string(REGEX MATCH "[0-9]+$" _xsimd_major "${_xsimd_line}")
endif()
if(_xsimd_major LESS 8)
  message(FATAL_ERROR "deeplight's CPU kernels need the headers of xsimd 8 or later (Debian, Ubuntu: "
    "libxsimd-dev; conda-forge: xsimd). Found: '${XSIMD_INCLUDE_DIR}'. Set XSIMD_INCLUDE_DIR to the "
    "folder that holds xsimd/xsimd.hpp.")
endif()
