// Build switches shared by every floor.
//
// DEEPLIGHT_COMPILED  defined: headers only declare, the definitions come from the compiled library
//                     (`deeplight::compiled`); undefined: each header includes its own `_inl.hpp`.
// DEEPLIGHT_OPS       defined when `deeplight::ops` is linked: `functional/` calls PyTorch's
//                     dispatcher, so that export, compile and CUDA see the library's operators.
#pragma once

#ifdef DEEPLIGHT_COMPILED
#define DEEPLIGHT_INLINE
#else
#define DEEPLIGHT_INLINE inline
#endif

namespace deeplight {

/// Version of the library, semantic versioning. The build reads it from here.
inline constexpr const char* version = "0.1.0";

}  // namespace deeplight
